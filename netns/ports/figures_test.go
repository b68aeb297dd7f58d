package ports

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctr/libpod/config"
	"ctr/netns"
	"ctr/netns/internal/world"
)

// TestFigures measures rather than tests. It is run as TestWorlds, with a name of its own:
//
//	PORTS_FIGURES=1 go test -v -run 'TestWorlds/root' ./netns/ports
func TestFigures(t *testing.T) {
	world.Need(t, world.Tests)
	if os.Getenv("PORTS_FIGURES") == "" {
		t.Skip("for figures: set PORTS_FIGURES=1 and run TestWorlds -v")
	}
	t.Run("memory", func(t *testing.T) { memory(newStage(t, false)) })
	t.Run("speed", func(t *testing.T) {
		if _, err := exec.LookPath("iperf3"); err != nil {
			t.Skip("there is no program iperf3")
		}
		speed(newStage(t, false))
	})
}

// resident is this process's own memory in KiB, after it has given back what it can, and its descriptors.
func resident() (kib, descriptors int) {
	runtime.GC()
	debug.FreeOSMemory()
	text, _ := os.ReadFile("/proc/self/smaps_rollup")
	for line := range strings.Lines(string(text)) {
		if word := strings.Fields(line); len(word) > 1 && strings.HasPrefix(word[0], "Private_Dirty") {
			kib, _ = strconv.Atoi(word[1])
		}
	}
	open, _ := os.ReadDir("/proc/self/fd")
	return kib, len(open)
}

func memory(w *stage) {
	w.shell(w.container, "true")
	before, _ := resident()
	l := w.publish(tcp(8080, 80))
	one, _ := resident()
	w.t.Logf("1 port without connections: %d KiB", one-before)
	var want []config.PortMapping
	for i := range uint16(1000) {
		want = append(want, tcp(20000+i, 80))
	}
	thousand := w.publish(want...)
	after, _ := resident()
	w.t.Logf("1000 ports without connections: %d KiB", after-one)
	thousand.Close()

	server := w.child(w.container, "socat", "TCP-LISTEN:80,fork,backlog=128,max-children=2000", "PIPE")
	defer server.Process.Kill()
	time.Sleep(time.Second)
	before, files := resident()
	const many = 300
	for range many {
		c, err := w.dial(w.outside, "", host4+":8080")
		if err != nil {
			w.t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			w.t.Fatal(err)
		}
	}
	after, filesAfter := resident()
	w.t.Logf("idle connection: %.1f KiB and %.1f descriptors, of which the client's side in this same process is one", float64(after-before)/many, float64(filesAfter-files)/many)
	l.Close()
}

// child starts a program in a namespace.
func (w *stage) child(ns *os.File, words ...string) *exec.Cmd {
	w.t.Helper()
	c := exec.Command(words[0], words[1:]...)
	if err := netns.Do(ns, c.Start); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c
}

func speed(w *stage) {
	w.child(w.container, "iperf3", "-s")
	w.child(w.host, "iperf3", "-s", "-p", "5202")
	w.publish(tcp(5201, 5201), udp(5201, 5201))
	time.Sleep(500 * time.Millisecond)
	for _, one := range []struct {
		name string
		ns   *os.File
		args string
	}{
		{"bare veth, outside to host", w.outside, "-c " + host4 + " -p 5202"},
		{"bridge, hub to container", w.hub, "-c " + container4},
		{"outside to published port", w.outside, "-c " + host4},
		{"outside from published port", w.outside, "-R -c " + host4},
		{"outside to published port, 4 at once", w.outside, "-P 4 -c " + host4},
		{"host's loopback to published port", w.host, "-c 127.0.0.1"},
		{"host's loopback, bare", w.host, "-c 127.0.0.1 -p 5202"},
		{"UDP, bare veth, 1400 bytes", w.outside, "-u -b 0 -l 1400 -c " + host4 + " -p 5202"},
		{"UDP, outside to published port, 1400 bytes", w.outside, "-u -b 0 -l 1400 -c " + host4},
		{"UDP, outside from published port, 1400 bytes", w.outside, "-R -u -b 0 -l 1400 -c " + host4},
		{"UDP at 1 Gbit/s, outside to published port", w.outside, "-u -b 1G -l 1400 -c " + host4},
	} {
		var out []byte
		before := used()
		netns.Do(one.ns, func() (err error) {
			out, err = exec.Command("iperf3", append(strings.Fields(one.args), "-J", "-t", "4")...).Output()
			return err
		})
		var result struct {
			End struct {
				Received struct {
					Bits float64 `json:"bits_per_second"`
				} `json:"sum_received"`
				Sum struct {
					Bits float64 `json:"bits_per_second"`
					Lost float64 `json:"lost_percent"`
				} `json:"sum"`
			}
			Error string
		}
		json.Unmarshal(out, &result)
		got := result.End.Received.Bits
		w.t.Logf("%-45s %6.2f Gbit/s, lost %.0f %%, relay used %.1f s %s", one.name, got/1e9, result.End.Sum.Lost, (used() - before).Seconds(), result.Error)
	}
}

func used() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
