package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ctr/netns"
	"ctr/netns/internal/world"
)

// TestFigures measures with iperf3 what the relay carries, and logs it:
//
//	NETNS_TEST_ROLE=tests unshare -nm relay.test -test.run TestFigures -test.v
func TestFigures(t *testing.T) {
	world.Need(t, world.Tests)
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skip("needs iperf3")
	}
	for name, open := range map[string]func(*os.File, string, int) (*os.File, error){"tun": OpenTUN, "veth": OpenVeth} {
		s := &served{t: t, stage: newStage(t), open: open, notes: make(chan string, 8), host: new(atomic.Pointer[netip.Addr])}
		s.setHost(hostAddr)
		s.start(t)
		daemon(t, s.outside, "iperf3", "-s")
		iperf := func(what string, ns *os.File, args ...string) {
			t.Helper()
			var out string
			var err error
			for range 3 { // between two tests its server listens to nobody
				if out, err = output(ns, "iperf3", append([]string{"-c", outsideAddr, "-t", "4", "-f", "m"}, args...)...); err == nil {
					break
				}
				time.Sleep(time.Second)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if err != nil || len(lines) < 4 {
				t.Fatalf("%s: %v %s", what, err, out)
			}
			for _, l := range lines[len(lines)-6:] {
				if strings.Contains(l, "receiver") && (strings.Contains(l, "SUM") || !strings.Contains(strings.Join(lines, ""), "SUM")) {
					t.Logf("%s %s: %s", name, what, l)
				}
			}
		}
		own, err := os.Open("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		iperf("bare veth, host to outside", own)
		iperf("TCP up", s.containers[0])
		iperf("TCP down", s.containers[0], "-R")
		iperf("TCP up, 16 connections", s.containers[0], "-P", "16")
		iperf("TCP down, 16 connections", s.containers[0], "-P", "16", "-R")
		iperf("bare veth UDP 1400", own, "-u", "-b", "0", "-l", "1400")
		iperf("UDP up 1400", s.containers[0], "-u", "-b", "0", "-l", "1400")
		iperf("UDP down 1400", s.containers[0], "-u", "-b", "0", "-l", "1400", "-R")
		iperf("UDP up 60000", s.containers[0], "-u", "-b", "0", "-l", "60000")
		iperf("UDP down 60000", s.containers[0], "-u", "-b", "0", "-l", "60000", "-R")
		own.Close()
		rates(t, name, s)
		s.stop()
	}
}

// rates are those of connections and of small questions, one after another.
func rates(t *testing.T, name string, s *served) {
	port := serveTCP(t, s.outside, ":0", func(c *net.TCPConn) { c.Close() })
	const times = 3000
	for _, ns := range []struct {
		name string
		ns   *os.File
	}{{"container", s.containers[0]}, {"host", nil}} {
		begin := time.Now()
		work := func() error {
			for range times {
				c, err := net.Dial("tcp", join(outsideAddr, port))
				if err != nil {
					return err
				}
				io.Copy(io.Discard, c)
				c.Close()
			}
			return nil
		}
		var err error
		if ns.ns == nil {
			err = work()
		} else {
			err = netns.Do(ns.ns, work)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s: %.0f connections/s", name, ns.name, times/time.Since(begin).Seconds())
	}
	u := echoUDP(t, s.outside, outsideAddr+":0")
	c, err := dial(s.containers[0], "udp", join(outsideAddr, u))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begin := time.Now()
	for range 10 * times {
		if err := askOver(c, []byte("question")); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s: %.0f UDP questions/s", name, 10*times/time.Since(begin).Seconds())
}

func daemon(t *testing.T, ns *os.File, name string, args ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan error)
	done := make(chan struct{})
	go netns.Do(ns, func() error {
		c := exec.CommandContext(ctx, name, args...)
		started <- c.Start()
		c.Wait()
		close(done)
		return nil
	})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-done })
	time.Sleep(300 * time.Millisecond)
}

func output(ns *os.File, name string, args ...string) (out string, err error) {
	err = netns.Do(ns, func() error {
		b, err := exec.Command(name, args...).CombinedOutput()
		out = string(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	return out, err
}
