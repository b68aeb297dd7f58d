package dns

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"ctr/netns/lease"
	"ctr/pkg/process"
)

func TestNames(t *testing.T) {
	ns := container(t)
	upstreamAt(t, "127.0.0.53", nil)
	conf := t.TempDir() + "/resolv.conf"
	writeResolvConf(t, conf, "127.0.0.53")
	f := files{t.TempDir()}
	gone := leased("10.1.0.9", "", "gone")
	gone.Holder = ended(t)
	f.write(t, "one", leased("10.1.0.2", "", "web", "www", "0123456789ab"), leased("10.1.0.3", "fd00::3", "db.v2", "www"), gone)
	f.write(t, "two", leased("10.2.0.2", "", "cache"), leased("10.2.0.3", "", "web"))
	f.write(t, "default", leased("10.3.0.2", "", "other"))
	networks := []Attached{
		{NetworkID: "one", Name: "net1", DNS: true, Links: map[string]string{"DbLink": "db.v2", "cache": "WEB", "lost": "gone"}},
		{NetworkID: "two", Name: "my.net2", DNS: true},
		{NetworkID: "default", Name: "bridge"},
		{NetworkID: "missing", Name: "net4", DNS: true},
	}
	start(t, ns, Config{Names: FromLeases(f, func() []Attached { return networks }), HostConfig: conf})
	const upstream = "Success 127.0.0.53"
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"web.", typeA, "Success 10.1.0.2"},
		{"WeB.", typeA, "Success 10.1.0.2"},
		{"0123456789ab.", typeA, "Success 10.1.0.2"},
		{"db.v2.", typeA, "Success 10.1.0.3"},
		{"db.v2.net1.", typeA, "Success 10.1.0.3"},
		{"web.net1.", typeA, "Success 10.1.0.2"},
		{"web.my.net2.", typeA, "Success 10.2.0.3"},
		{"web.MY.Net2.", typeA, "Success 10.2.0.3"},
		{"web.net4.", typeA, upstream},
		{"cache.my.net2.", typeA, "Success 10.2.0.2"},
		{"db.v2.", typeAAAA, "Success fd00::3"},
		{"web.", typeAAAA, "Success"},
		{"web.", 15, "Success"},
		{"web.", 255, "Success"},
		{"dblink.", typeA, "Success 10.1.0.3"},
		{"cache.", typeA, "Success 10.1.0.2"}, // the link, before the container of that name
		{"lost.", typeA, upstream},
		{"gone.", typeA, upstream},
		{"other.", typeA, upstream},
		{"other.bridge.", typeA, upstream},
		{"nobody.", typeA, upstream},
		{"example.org.", typeA, upstream},
		{".", typeA, upstream},
		{"2.0.1.10.in-addr.arpa.", typePTR, "Success web.net1."},
		{"3.0.2.10.IN-ADDR.arpa.", typePTR, "Success web.my.net2."},
		{"9.0.1.10.in-addr.arpa.", typePTR, upstream},
		{"2.0.3.10.in-addr.arpa.", typePTR, upstream},
		{"3." + strings.Repeat("0.", 27) + "0.0.d.f.ip6.arpa.", typePTR, "Success db.v2.net1."},
		{"4." + strings.Repeat("0.", 27) + "0.0.d.f.ip6.arpa.", typePTR, upstream},
		{"web.", typeAXFR, "Refused"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := records(ask(t, client(t, ns, network), question(c.name, c.kind))); got != c.want {
				t.Errorf("%s, type %d, %s: got %s, want %s", c.name, c.kind, network, got, c.want)
			}
		}
	}
	firsts := map[string]bool{}
	conn := client(t, ns, "udp")
	for range 4 {
		m := ask(t, conn, question("www.", typeA))
		firsts[records(m)] = true
	}
	if !firsts["Success 10.1.0.2 10.1.0.3"] || !firsts["Success 10.1.0.3 10.1.0.2"] || len(firsts) != 2 {
		t.Errorf("one name of two containers: %v", firsts)
	}
	dotted := slices.Concat(question("x.", typeA)[:headerSize], []byte("\x05db.v2\x00\x00\x01\x00\x01"))
	if got := askRaw(t, conn, dotted); !bytes.HasSuffix(got, []byte{127, 0, 0, 53}) {
		t.Errorf("a label with a dot in it was taken for two: %x", got)
	}
}

// ended is a process that is no more.
func ended(t *testing.T) process.Process {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process.Of(cmd.Process.Pid)
	in.Close()
	cmd.Wait()
	return p
}

func TestHolderDies(t *testing.T) {
	ns := container(t)
	cmd := exec.Command("/bin/sh", "-c", "read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := files{t.TempDir()}
	l := leased("10.1.0.2", "", "web")
	l.Holder = process.Of(cmd.Process.Pid)
	f.write(t, "one", l)
	start(t, ns, Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", DNS: true, Internal: true}} })})
	conn := client(t, ns, "udp")
	if got := records(ask(t, conn, question("web.", typeA))); got != "Success 10.1.0.2" {
		t.Errorf("while it lives: %s", got)
	}
	in.Close()
	cmd.Wait()
	if got := records(ask(t, conn, question("web.", typeA))); got != "ServerFailure" {
		t.Errorf("when it is dead: %s", got)
	}
}

// TestComingAndGoing has a thousand containers come and go while others ask: what
// was there before the question is answered, what was gone before is not, and what stays is always there.
func TestComingAndGoing(t *testing.T) {
	const containers, present = 1000, 50
	ns := container(t)
	f := files{t.TempDir()}
	stays := leased("10.9.0.1", "", "stays")
	f.write(t, "one", stays)
	start(t, ns, Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", Name: "n", DNS: true, Internal: true}} })})

	var added, removed atomic.Int64 // so many have come and gone for certain
	var going atomic.Int64          // so many may have gone
	done := make(chan struct{})
	failed := make(chan string, 4)
	asked := atomic.Int64{}
	for range 2 {
		conn := client(t, ns, "udp")
		go func() {
			failed <- func() string {
				for i := int64(0); ; i++ {
					select {
					case <-done:
						return ""
					default:
					}
					if got := records(ask(t, conn, question("stays.", typeA))); got != "Success 10.9.0.1" {
						return "stays: " + got
					}
					from, to := removed.Load(), added.Load()
					n := from + i%(to-from+1)
					got := records(ask(t, conn, question(fmt.Sprintf("c%d.", n), typeA)))
					want := fmt.Sprintf("Success 10.1.%d.%d", n/250, n%250)
					if got != want && !(got == "ServerFailure" && (n < going.Load() || n >= to)) {
						return fmt.Sprintf("c%d (%d to %d): %s", n, from, to, got)
					}
					if gone := from - 1 - i%20; gone >= 0 {
						if got := records(ask(t, conn, question(fmt.Sprintf("c%d.", gone), typeA))); got != "ServerFailure" {
							return fmt.Sprintf("c%d, which is gone: %s", gone, got)
						}
					}
					asked.Add(1)
				}
			}()
		}()
	}
	leases := []lease.Lease{stays}
	for i := range containers + present {
		if i < containers {
			leases = append(leases, leased(fmt.Sprintf("10.1.%d.%d", i/250, i%250), "", fmt.Sprintf("c%d", i)))
		}
		if i >= present {
			going.Store(int64(i - present + 1))
			leases = slices.Delete(leases, 1, 2)
		}
		f.write(t, "one", leases...)
		added.Store(int64(min(i+1, containers)))
		removed.Store(going.Load())
	}
	close(done)
	for range 2 {
		if reason := <-failed; reason != "" {
			t.Error(reason)
		}
	}
	t.Logf("%d rounds of questions", asked.Load())
}

func TestOwnListener(t *testing.T) {
	ns := container(t)
	f := files{t.TempDir()}
	f.write(t, "one", leased("10.1.0.2", "", "web"))
	start(t, ns, Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", DNS: true}} })})
	within(t, ns, func() {
		upstreamAt(t, "0.0.0.0", func(_ *fake, query []byte, reply func([]byte)) { reply(resolved(query, "10.66.0.1")) })
	})
	for _, network := range []string{"udp", "tcp"} {
		if got := records(ask(t, client(t, ns, network), question("web.", typeA))); got != "Success 10.1.0.2" {
			t.Errorf("the name server, %s: %s", network, got)
		}
		var own net.Conn
		within(t, ns, func() { own, _ = net.Dial(network, "127.0.0.1:53") })
		if got := records(ask(t, own, question("web.", typeA))); got != "Success 10.66.0.1" {
			t.Errorf("the container's own, %s: %s", network, got)
		}
		own.Close()
	}
}
