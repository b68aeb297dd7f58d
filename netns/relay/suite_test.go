package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
)

// patience is for what must happen: long enough for a machine that is busy.
const patience = 30 * time.Second

// served is a relay in a world.
type served struct {
	*stage
	open  func(*os.File, string, int) (*os.File, error)
	host  *atomic.Pointer[netip.Addr] // what Config.Host says
	notes chan string
	stop  func() // ends the relay, as often as it is called
	t     *testing.T
}

// setHost sets the host's address, "" for none.
func (s *served) setHost(address string) {
	a, _ := netip.ParseAddr(address)
	s.host.Store(&a)
}

func (s *served) start(t *testing.T) {
	t.Helper()
	f, err := s.open(s.hub, uplink, 65520)
	if err != nil {
		t.Fatal(err)
	}
	world.Shell(t, s.hub, "ip route replace default dev "+uplink+"; ip -6 route replace default dev "+uplink)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, Config{
			Hub: s.hub, Device: f, Host: func() netip.Addr { return *s.host.Load() },
			Note: func(n string) { s.notes <- n },
		})
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("relay: %v", err)
		}
		f.Close()
	})
	s.t.Cleanup(s.stop)
}

func TestSuite(t *testing.T) {
	world.Need(t, world.Tests)
	for _, d := range []struct {
		name string
		open func(*os.File, string, int) (*os.File, error)
	}{{"tun", OpenTUN}, {"veth", OpenVeth}} {
		t.Run(d.name, func(t *testing.T) {
			s := &served{t: t, stage: newStage(t), open: d.open, notes: make(chan string, 8), host: new(atomic.Pointer[netip.Addr])}
			s.setHost(hostAddr)
			s.start(t)
			for _, test := range []struct {
				name string
				f    func(*testing.T, *served)
			}{
				{"TCP", testTCP}, {"many", testMany}, {"resets", testResets}, {"refused", testRefused}, {"unreachable", testUnreachable},
				{"UDP", testUDP}, {"UDP refused", testUDPRefused}, {"UDP gone stale", testStale}, {"small MTU", testSmallMTU}, {"ping", testPing},
				{"the host", testHost}, {"loopback", testLoopback}, {"stranger", testStranger}, {"garbage", testGarbage},
				{"flood", testFlood}, {"same port again", testSamePort}, {"port 10001", testTransparentPort},
				{"stray segment", testStray}, {"restart", testRestart}, {"offline", testOffline}, {"no pings", testNoPings},
			} {
				t.Run(test.name, func(t *testing.T) { test.f(t, s) })
			}
		})
	}
}

// listen serves TCP connections in ns until the test ends.
func serveTCP(t *testing.T, ns *os.File, address string, serve func(*net.TCPConn)) (port int) {
	t.Helper()
	var l net.Listener
	err := netns.Do(ns, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// backwards answers with all that it got, once it got all, which only half-closing tells.
func backwards(c *net.TCPConn) {
	defer c.Close()
	b, err := io.ReadAll(c)
	if err == nil {
		c.Write(b)
	}
}

func exchange(ns *os.File, address string, data []byte) error {
	c, err := dial(ns, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(data); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("got %d bytes back of %d, or others", len(got), len(data))
	}
	return nil
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func testTCP(t *testing.T, s *served) {
	port := serveTCP(t, s.outside, ":0", backwards)
	for _, address := range []string{outsideAddr, outsideAddr6} {
		for i, ns := range s.containers {
			if err := exchange(ns, join(address, port), pattern(1<<20)); err != nil {
				t.Errorf("container %d, %s: %v", i, address, err)
			}
		}
	}
}

func testMany(t *testing.T, s *served) {
	port := serveTCP(t, s.outside, ":0", backwards)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			address := []string{outsideAddr, outsideAddr6}[i/2%2]
			if err := exchange(s.containers[i%2], join(address, port), pattern(10000+i)); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

// testResets: a failure of one end is the other's.
func testResets(t *testing.T, s *served) {
	ended := make(chan error, 1)
	port := serveTCP(t, s.outside, ":0", func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 1)
		c.SetReadDeadline(time.Now().Add(patience))
		if c.Read(b); b[0] == 'r' {
			c.SetLinger(0)
			return
		}
		c.Write([]byte("ready"))
		_, err := c.Read(b)
		ended <- err
	})
	for _, address := range []string{outsideAddr, outsideAddr6} {
		c, err := dial(s.containers[0], "tcp", join(address, port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte("r"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("server's reset reached the container as %v", err)
		}
		if c, err = dial(s.containers[0], "tcp", join(address, port)); err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte("w"))
		c.Read(make([]byte, 5))
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		if err := <-ended; !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("container's reset reached the server as %v", err)
		}
	}
}

func testRefused(t *testing.T, s *served) {
	for _, address := range []string{outsideAddr, outsideAddr6, hostAddr} {
		if _, err := dial(s.containers[0], "tcp", join(address, 9)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func testUnreachable(t *testing.T, s *served) {
	for address, want := range map[string]error{
		"192.0.2.9": unix.ENETUNREACH, "2001:db8:ffff::1": unix.ENETUNREACH, // no route
		"198.51.100.77": unix.EHOSTUNREACH, "2001:db8::77": unix.EHOSTUNREACH, // nobody there
	} {
		if _, err := dial(s.containers[0], "tcp", join(address, 80)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
}

// testHost: the address that stands for the host leads to its services, but never to loopback.
func testHost(t *testing.T, s *served) {
	own := world.Own(t)
	port := serveTCP(t, own, ":0", backwards)
	if err := exchange(s.containers[0], join(HostAddress.String(), port), pattern(5000)); err != nil {
		t.Error(err)
	}
	u := echoUDP(t, own, "0.0.0.0:0")
	if err := ask(s.containers[0], join(HostAddress.String(), u), pattern(50)); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"", "127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"} {
		s.setHost(host)
		if _, err := dial(s.containers[0], "tcp", join(HostAddress.String(), port)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("with host address %q: %v", host, err)
		}
	}
	s.setHost(hostAddr6)
	if err := exchange(s.containers[0], join(HostAddress.String(), port), pattern(5000)); err != nil {
		t.Errorf("host with IPv6 only: %v", err)
	}
	s.setHost(hostAddr)
}

// testOffline: a route that comes later, or another one, is used at once.
func testOffline(t *testing.T, s *served) {
	const beyond = "192.0.2.7"
	own := world.Own(t)
	port := serveTCP(t, s.outside, ":0", backwards)
	u := echoUDP(t, s.outside, beyond+":0")
	if _, err := dial(s.containers[0], "tcp", join(beyond, port)); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("without a route: %v", err)
	}
	if err := ask(s.containers[0], join(beyond, u), pattern(50)); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("UDP without a route: %v", err)
	}
	world.Shell(t, own, "ip route add default via "+outsideAddr)
	defer world.Shell(t, own, "ip route del default")
	if err := exchange(s.containers[0], join(beyond, port), pattern(50)); err != nil {
		t.Errorf("with a route: %v", err)
	}
	c, err := dial(s.containers[0], "udp", join(beyond, u))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := askOver(c, pattern(50)); err != nil {
		t.Errorf("UDP with a route: %v", err)
	}
	// Another network: the address that the flow's socket had is gone.
	world.Shell(t, own, "ip addr del "+hostAddr+"/24 dev out0; ip addr add 198.51.100.3/24 dev out0; ip route add default via "+outsideAddr)
	defer world.Shell(t, own, "ip addr del 198.51.100.3/24 dev out0; ip addr add "+hostAddr+"/24 dev out0; ip route add default via "+outsideAddr)
	if err := askOver(c, pattern(60)); err != nil {
		t.Errorf("the same UDP socket in another network: %v", err)
	}
}

func testNoPings(t *testing.T, s *served) {
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("1 0"), 0); err != nil {
		t.Skip("the range of groups that may ping cannot be set here:", err)
	}
	c, err := dial(s.containers[0], "ip4:icmp", outsideAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		if _, err := c.Write(echoRequest(false, 77, 1)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case n := <-s.notes:
		if !strings.Contains(n, "ping_group_range") {
			t.Errorf("note: %s", n)
		}
	case <-time.After(patience):
		t.Error("no note")
	}
	if len(s.notes) > 0 {
		t.Errorf("another note: %s", <-s.notes)
	}
}
