package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"ctr/netns/lease"
)

func TestManyOfOneName(t *testing.T) {
	ns := container(t)
	f := files{t.TempDir()}
	var all []lease.Lease
	for i := range 300 {
		all = append(all, leased(fmt.Sprintf("10.1.%d.%d", i/250, i%250), "", fmt.Sprintf("c%d", i), "all"))
	}
	f.write(t, "one", all...)
	start(t, ns, Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", Name: "n", DNS: true}} })})
	q := question("all.", typeA)
	if b := askRaw(t, client(t, ns, "udp"), q); len(b) > 512 {
		t.Errorf("%d bytes for a client that takes 512", len(b))
	}
	m := ask(t, client(t, ns, "udp"), q)
	if !m.Truncated || len(m.Answers) == 0 {
		t.Errorf("%d answers, truncated %v", len(m.Answers), m.Truncated)
	}
	if m := ask(t, client(t, ns, "tcp"), q); m.Truncated || len(m.Answers) != 300 {
		t.Errorf("by TCP: %d answers, truncated %v", len(m.Answers), m.Truncated)
	}
	q[11] = 1
	q = append(q, 0, 0, typeOPT, 0x04, 0xd0, 0, 0, 0, 0, 0, 0) // 1232
	b := askRaw(t, client(t, ns, "udp"), q)
	if len(b) > 1232 || len(b) < 1100 {
		t.Errorf("%d bytes for a client that takes 1232", len(b))
	}
	if m := ask(t, client(t, ns, "udp"), q); len(m.Additionals) != 1 || m.Additionals[0].Header.Type != dnsmessage.TypeOPT {
		t.Errorf("no EDNS in the answer to EDNS: %v", m.Additionals)
	}
}

func TestTooManyQueries(t *testing.T) {
	ns := container(t)
	f := files{t.TempDir()}
	f.write(t, "one", leased("10.1.0.2", "", "web"))
	upstreamAt(t, "127.0.0.2", never)
	s := start(t, ns, Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", DNS: true}} }), HostConfig: hostConfig(t, "127.0.0.2")})
	conn := client(t, ns, "udp")
	for range cap(s.upstream.slots) {
		if !s.upstream.enter() {
			t.Fatal("no room at the start")
		}
	}
	if got := records(ask(t, conn, question("example.org.", typeA))); got != "ServerFailure" {
		t.Error(got)
	}
	if got := records(ask(t, conn, question("web.", typeA))); got != "Success 10.1.0.2" {
		t.Errorf("a container's name: %s", got)
	}
}

func TestWithoutRules(t *testing.T) {
	ns := container(t)
	datagrams, streams, err := listen(ns, func(uint16) error { return errors.New("no nf_tables") })
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	defer streams.Close()
	if a, b := datagrams.LocalAddr().String(), streams.Addr().String(); a != "127.0.0.11:53" || b != a {
		t.Errorf("listening on %s and %s", a, b)
	}
	if _, _, err := listen(ns, func(uint16) error { return errors.New("no nf_tables") }); err == nil || !strings.Contains(err.Error(), "no nf_tables") {
		t.Errorf("with 53 in use: %v", err)
	}
}

// TestSecondServer is for a namespace that outlives a container (ns:PATH).
func TestSecondServer(t *testing.T) {
	ns := container(t)
	f := files{t.TempDir()}
	f.write(t, "one", leased("10.1.0.2", "", "web"))
	c := Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", DNS: true}} })}
	var taken net.Listener
	within(t, ns, func() { taken, _ = net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", firstPort)) })
	defer taken.Close()
	for range 3 {
		s := start(t, ns, c)
		if got := records(ask(t, client(t, ns, "udp"), question("web.", typeA))); got != "Success 10.1.0.2" {
			t.Error(got)
		}
		if got := records(ask(t, client(t, ns, "tcp"), question("web.", typeA))); got != "Success 10.1.0.2" {
			t.Error(got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestClose ends a server that waits for upstream servers and for clients.
func TestClose(t *testing.T) {
	ns := container(t)
	before := runtime.NumGoroutine()
	s, err := Serve(ns, Config{HostConfig: hostConfig(t, "127.0.0.2"), Servers: []netip.Addr{netip.MustParseAddr("127.0.0.9")}})
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan bool, 10)
	within(t, ns, func() {
		upstreamAt(t, "127.0.0.9", func(_ *fake, _ []byte, _ func([]byte)) { arrived <- true })
	})
	for _, network := range []string{"udp", "tcp"} {
		c := client(t, ns, network)
		if network == "tcp" {
			err = writeStream(c, question("example.org.", typeA))
		} else {
			_, err = c.Write(question("example.org.", typeA))
		}
		if err != nil {
			t.Fatal(err)
		}
		<-arrived
	}
	client(t, ns, "tcp")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	const fake = 2
	for runtime.NumGoroutine() > before+fake { // go test's limit ends this
		time.Sleep(time.Millisecond)
	}
}
