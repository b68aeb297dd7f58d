package dns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostConfig is a resolv.conf with these servers.
func hostConfig(t testing.TB, servers ...string) string {
	path := t.TempDir() + "/resolv.conf"
	writeResolvConf(t, path, servers...)
	return path
}

func never(_ *fake, _ []byte, _ func([]byte)) {}

func TestFirstServerDead(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			ns := container(t)
			dead := upstreamAt(t, "127.0.0.2", never)
			upstreamAt(t, "127.0.0.3", nil)
			start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2", "127.0.0.3")})
			for range 20 {
				if got := records(ask(t, client(t, ns, network), question("example.org.", typeA))); got != "Success 127.0.0.3" {
					t.Fatal(got)
				}
			}
			if n := dead.asked.Load(); n > 10 {
				t.Errorf("the dead server was asked %d times for 20 queries", n)
			}
		})
	}
}

func TestRefusingServer(t *testing.T) {
	ns := container(t)
	upstreamAt(t, "127.0.0.4", func(_ *fake, query []byte, reply func([]byte)) {
		a := parsed(query).reply(nil, refused)
		reply(a.finish())
	})
	upstreamAt(t, "127.0.0.3", nil)
	// nothing listens on the first
	start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2", "127.0.0.4", "127.0.0.3")})
	if got := records(ask(t, client(t, ns, "udp"), question("example.org.", typeA))); got != "Success 127.0.0.3" {
		t.Error(got)
	}
}

func TestAllServersRefuse(t *testing.T) {
	ns := container(t)
	start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2")})
	for _, network := range []string{"udp", "tcp"} {
		if got := records(ask(t, client(t, ns, network), question("example.org.", typeA))); got != "ServerFailure" {
			t.Error(got)
		}
	}
}

// TestDenialOfSecondServer has the first server slow, but the one that knows.
func TestDenialOfSecondServer(t *testing.T) {
	ns := container(t)
	denied := make(chan bool)
	upstreamAt(t, "127.0.0.2", func(_ *fake, query []byte, reply func([]byte)) {
		<-denied
		reply(resolved(query, "10.50.0.1"))
	})
	upstreamAt(t, "127.0.0.3", func(_ *fake, query []byte, reply func([]byte)) {
		a := parsed(query).reply(nil, 3)
		reply(a.finish())
		close(denied)
	})
	start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2", "127.0.0.3")})
	if got := records(ask(t, client(t, ns, "udp"), question("git.corp.example.", typeA))); got != "Success 10.50.0.1" {
		t.Error(got)
	}
}

// TestDenialOfFirstServer is believed whoever else has been asked.
func TestDenialOfFirstServer(t *testing.T) {
	first, probe := server{address: netip.MustParseAddrPort("127.0.0.2:53")}, server{address: netip.MustParseAddrPort("127.0.0.3:53")}
	var got []byte
	q := parsed(question("nobody.example.", typeA))
	e := &exchange{u: &upstream{}, q: q, network: "udp", asked: []server{first, probe}, cancel: func() {}, reply: func(b []byte) { got = b }}
	denial := q.reply(nil, 3)
	e.take(result{first, denial.finish()})
	if !bytes.Equal(got, denial.b) || !slices.Equal(e.asked, []server{probe}) {
		t.Errorf("replied %x", got)
	}
}

// TestDeadServerIsTriedAgain has the first server come back.
func TestDeadServerIsTriedAgain(t *testing.T) {
	ns := container(t)
	first := upstreamAt(t, "127.0.0.2", nil)
	upstreamAt(t, "127.0.0.3", nil)
	s := start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2", "127.0.0.3")})
	conn := client(t, ns, "udp")
	back := way{server{address: netip.MustParseAddrPort("127.0.0.2:53")}, "udp"}
	s.upstream.remember(back, false)
	if got := records(ask(t, conn, question("example.org.", typeA))); got != "Success 127.0.0.3" || first.asked.Load() != 0 {
		t.Errorf("while the first is not trusted: %s", got)
	}
	s.upstream.mu.Lock()
	s.upstream.silent[back] = time.Time{}
	s.upstream.mu.Unlock()
	for got := ""; got != "Success 127.0.0.2"; { // go test's limit ends this
		got = records(ask(t, conn, question("example.org.", typeA)))
	}
}

func TestResolvConfChanges(t *testing.T) {
	ns := container(t)
	upstreamAt(t, "127.0.0.2", nil)
	upstreamAt(t, "127.0.0.3", nil)
	conf := hostConfig(t, "127.0.0.2")
	start(t, ns, Config{HostConfig: conf})
	conn := client(t, ns, "udp")
	for i, server := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.1"} {
		switch i {
		case 0:
		case 3:
			upstreamAt(t, "127.0.0.1", nil)
			if err := os.Remove(conf); err != nil {
				t.Fatal(err)
			}
		default: // replaced, as the programs that manage it do
			writeResolvConf(t, conf+".new", server)
			if err := os.Rename(conf+".new", conf); err != nil {
				t.Fatal(err)
			}
		}
		if got := records(ask(t, conn, question("example.org.", typeA))); got != "Success "+server {
			t.Errorf("after change %d: %s", i, got)
		}
	}
}

func TestInternalLeaksNothing(t *testing.T) {
	ns := container(t)
	upstream := upstreamAt(t, "127.0.0.2", nil)
	f := files{t.TempDir()}
	f.write(t, "one", leased("10.1.0.2", "", "web"))
	var networks atomic.Pointer[[]Attached]
	networks.Store(&[]Attached{{NetworkID: "one", Name: "net1", DNS: true, Internal: true}, {NetworkID: "two", Name: "net2", DNS: true, Internal: true}})
	start(t, ns, Config{Names: FromLeases(f, func() []Attached { return *networks.Load() }), HostConfig: hostConfig(t, "127.0.0.2")})
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"secret.example.", "secret.", "9.0.1.10.in-addr.arpa.", "secret.web.", "."} {
			for _, kind := range []uint16{typeA, typeAAAA, typePTR, 16, 255, 65} {
				if got := records(ask(t, client(t, ns, network), question(name, kind))); got != "ServerFailure" {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
	}
	if n := upstream.asked.Load(); n != 0 {
		t.Errorf("the host's server was asked %d times", n)
	}
	networks.Store(&[]Attached{}) // disconnected from all
	if got := records(ask(t, client(t, ns, "udp"), question("secret.example.", typeA))); got != "ServerFailure" || upstream.asked.Load() != 0 {
		t.Errorf("without a network: %s", got)
	}
	networks.Store(&[]Attached{{NetworkID: "one", Internal: true}, {NetworkID: "three"}})
	if got := records(ask(t, client(t, ns, "udp"), question("public.example.", typeA))); got != "Success 127.0.0.2" {
		t.Errorf("with a network that is not internal: %s", got)
	}
}

// TestChosenServers asks servers that are only in the container's view.
func TestChosenServers(t *testing.T) {
	for name, c := range map[string]struct {
		config  Config
		network Attached
	}{
		"--dns":         {config: Config{Servers: []netip.Addr{Address, netip.MustParseAddr("127.0.0.2")}}, network: Attached{Internal: true}},
		"--dns, IPv6":   {config: Config{Servers: []netip.Addr{netip.MustParseAddr("::1")}}},
		"the network's": {network: Attached{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.2")}}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := container(t)
			outside := upstreamAt(t, "127.0.0.2", nil)
			within(t, ns, func() {
				for _, a := range []string{"127.0.0.2", "::1"} {
					upstreamAt(t, a, func(_ *fake, query []byte, reply func([]byte)) { reply(resolved(query, "10.66.0.1")) })
				}
			})
			c.config.Names = FromLeases(files{t.TempDir()}, func() []Attached { return []Attached{c.network} })
			c.config.HostConfig = hostConfig(t, "127.0.0.2")
			start(t, ns, c.config)
			for _, network := range []string{"udp", "tcp"} {
				if got := records(ask(t, client(t, ns, network), question("example.org.", typeA))); got != "Success 10.66.0.1" {
					t.Errorf("%s: %s", network, got)
				}
			}
			if outside.asked.Load() != 0 {
				t.Error("the host's server was asked")
			}
		})
	}
}

func TestNdots(t *testing.T) {
	ns := container(t)
	upstream := upstreamAt(t, "127.0.0.2", nil)
	var named atomic.Bool
	start(t, ns, Config{Ndots: true, HostConfig: hostConfig(t, "127.0.0.2"), Names: FromLeases(files{t.TempDir()}, func() []Attached {
		return []Attached{{NetworkID: "one", DNS: named.Load()}}
	})})
	conn := client(t, ns, "udp")
	if got := records(ask(t, conn, question("intranet.", typeA))); got != "Success 127.0.0.2" {
		t.Errorf("on the default network: %s", got)
	}
	named.Store(true)
	upstream.asked.Store(0)
	for _, kind := range []uint16{typeA, typeAAAA} {
		if got := records(ask(t, conn, question("intranet.", kind))); got != "Success" || upstream.asked.Load() != 0 {
			t.Error(got)
		}
	}
	if got := records(ask(t, conn, question("intranet.example.", typeA))); got != "Success 127.0.0.2" {
		t.Error(got)
	}
}

// TestLinkLocalServer has a server whose address says on which interface it is.
func TestLinkLocalServer(t *testing.T) {
	ns := container(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "zone0"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Skip("no bridge can be made: ", err)
	}
	t.Cleanup(func() { netlink.LinkDel(bridge) })
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("fe80::53"), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
	if err := errors.Join(netlink.LinkSetUp(bridge), netlink.AddrAdd(bridge, address)); err != nil {
		t.Skip("no IPv6: ", err)
	}
	link, err := netlink.LinkByName(bridge.Name)
	if err != nil {
		t.Fatal(err)
	}
	upstreamAt(t, fmt.Sprintf("fe80::53%%%d", link.Attrs().Index), nil)
	start(t, ns, Config{HostConfig: hostConfig(t, "fe80::53%zone0")})
	for _, network := range []string{"udp", "tcp"} {
		if got := records(ask(t, client(t, ns, network), question("example.org.", typeAAAA))); got != "Success fe80::53" {
			t.Error(got)
		}
	}
}

func TestForgedAnswers(t *testing.T) {
	ns := container(t)
	numbers := make(chan uint16, 20)
	upstreamAt(t, "127.0.0.2", func(_ *fake, query []byte, reply func([]byte)) {
		numbers <- binary.BigEndian.Uint16(query)
		forged := resolved(query, "10.66.0.1")
		forged[1]++
		reply(forged)
		reply(query)
		reply(nil)
		reply(resolved(question("other.example.", typeA), "10.66.0.2"))
		other := resolved(append(bytes.Clone(query[:2]), question("other.example.", typeA)[2:]...), "10.66.0.3")
		reply(other)
		reply(bytes.Replace(resolved(query, "10.1.0.1"), []byte("example"), []byte("exAMPle"), 1))
	})
	start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2")})
	conn := client(t, ns, "udp")
	for range 20 {
		m := ask(t, conn, question("www.example.org.", typeA))
		if got := records(m); got != "Success 10.1.0.1" || m.Questions[0].Name.String() != "www.example.org." {
			t.Error(got, m.Questions)
		}
	}
	ids := map[uint16]bool{}
	for range 20 {
		ids[<-numbers] = true
	}
	if len(ids) < 10 {
		t.Errorf("numbers of queries: %v", ids)
	}
}

// TestLargeAnswers passes what a client takes, and has it come back by TCP for more.
func TestLargeAnswers(t *testing.T) {
	ns := container(t)
	var many []string
	for i := range 400 {
		many = append(many, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	asked := make(chan []byte, 4)
	upstreamAt(t, "127.0.0.2", func(_ *fake, query []byte, reply func([]byte)) {
		asked <- query[2:]
		reply(resolved(query, many...))
	})
	start(t, ns, Config{HostConfig: hostConfig(t, "127.0.0.2")})
	q := question("example.org.", typeA)
	q[11] = 1 // one additional record: EDNS, up to 65535 bytes, with an option
	q = append(q, 0, 0, typeOPT, 0xff, 0xff, 0, 0, 0x80, 0, 0, 4, 0xff, 0xfe, 0, 0)
	if m := ask(t, client(t, ns, "udp"), q); !m.Truncated || len(m.Answers) != 0 {
		t.Errorf("by UDP: %s", records(m))
	}
	if forwarded := <-asked; !bytes.Equal(forwarded, q[2:]) {
		t.Errorf("the query %x was forwarded as %x", q[2:], forwarded)
	}
	if got := records(ask(t, client(t, ns, "tcp"), q)); got != "Success "+strings.Join(many, " ") {
		t.Errorf("by TCP: %s", got)
	}
}
