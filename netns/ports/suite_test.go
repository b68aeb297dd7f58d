package ports

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/netns/internal/world"
)

// patience is how long something may take that is going to happen.
const patience = 20 * time.Second

func TestSuite(t *testing.T) {
	world.Need(t, world.Tests)
	for _, hub := range []struct {
		name   string
		isHost bool
	}{{"hub apart", false}, {"hub is host", true}} {
		t.Run(hub.name, func(t *testing.T) {
			for name, test := range map[string]func(*stage){
				"TCP sources": testTCPSources, "UDP sources": testUDPSources, "UDP local addresses": testUDPLocal,
				"same client port twice": testSamePort, "half close": testHalfClose, "keep alive": testKeepAlive, "resets": testResets, "refused": testRefused,
				"many": testMany, "targets": testTargets, "families": testFamilies, "hairpin": testHairpin, "not transparent": testPlain,
				"bulk": testBulk, "UDP refused": testUDPRefused, "close": testClose, "memory": testWithoutPipes, "flows": testFlows,
			} {
				t.Run(name, func(t *testing.T) { test(newStage(t, hub.isHost)) })
			}
		})
	}
	for name, test := range map[string]func(*stage){"forms": testForms, "conflicts": testConflicts, "privileged": testPrivileged, "ctr's hub": testHub} {
		t.Run(name, func(t *testing.T) { test(newStage(t, false)) })
	}
}

// publish publishes and serves the first container's ports.
func (w *stage) publish(want ...config.PortMapping) *Listeners {
	w.t.Helper()
	return w.publishAt(w, w.target(), want...)
}

func (w *stage) publishAt(d Dialer, to Target, want ...config.PortMapping) *Listeners {
	w.t.Helper()
	l, err := Listen(want, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	l.Serve(d, to)
	return l
}

func tcp(host, port uint16) config.PortMapping {
	return config.PortMapping{HostPort: host, Port: port, Protocol: "tcp"}
}

func udp(host, port uint16) config.PortMapping {
	return config.PortMapping{HostPort: host, Port: port, Protocol: "udp"}
}

// whoAmI tells a client its address, gives back what it sends, and says bye after its end.
func whoAmI(name string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		defer c.Close()
		fmt.Fprintf(c, "%s %s\n", name, c.RemoteAddr())
		if _, err := io.Copy(c, c); err == nil {
			io.WriteString(c, "bye")
		}
	}
}

// ask connects and returns the greeting: the server's name and the client's address as it sees it.
func (w *stage) ask(ns *os.File, from, to string) (greeting string, client net.Addr, err error) {
	c, err := w.dial(ns, from, to)
	if err != nil {
		return "", nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	greeting, err = bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(greeting), c.LocalAddr(), err
}

// wantSeen checks which source a connection has in the container: "own", the client's address and port,
// or an address.
func (w *stage) wantSeen(ns *os.File, from, to, want string) {
	w.t.Helper()
	greeting, client, err := w.ask(ns, from, to)
	if err != nil {
		w.t.Errorf("%s from %s: %v", to, from, err)
		return
	}
	_, seen, _ := strings.Cut(greeting, " ")
	if want == "own" && seen != client.String() || want != "own" && netip.MustParseAddrPort(seen).Addr().String() != want {
		w.t.Errorf("%s from %s is seen as %s, want %s", to, client, greeting, want)
	}
}

func testTCPSources(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.publish(tcp(8080, 80), config.PortMapping{HostIP: "127.0.0.1", HostPort: 8081, Port: 80, Protocol: "tcp"},
		config.PortMapping{HostIP: host6, HostPort: 8082, Port: 80, Protocol: "tcp"})
	w.wantSeen(w.outside, "", host4+":8080", "own")
	w.wantSeen(w.outside, "", host4b+":8080", "own")
	w.wantSeen(w.outside, "", "["+host6+"]:8080", "own")
	w.wantSeen(w.outside, "", "["+host6+"]:8082", "own")
	w.wantSeen(w.host, "", "127.0.0.1:8080", gateway4)
	w.wantSeen(w.host, "", "127.0.0.1:8081", gateway4)
	w.wantSeen(w.host, "", "[::1]:8080", gateway6)
	w.wantSeen(w.host, "", host4+":8080", host4)
	w.wantSeen(w.host, "", "["+host6+"]:8080", host6)
	for _, refused := range []string{host4 + ":8081", host4 + ":8082", "[" + host6 + "]:8081", "[" + host6b + "]:8082"} {
		if c, err := w.dial(w.outside, "", refused); err == nil {
			c.Close()
			w.t.Errorf("%s is open", refused)
		}
	}
}

func testSamePort(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.listen(w.container, "[::]:81", whoAmI("b"))
	w.publish(tcp(8080, 80), tcp(8081, 81), tcp(8082, 80))
	// three connections at once with the same address and port of the client's
	for port, want := range map[int]string{8080: "a", 8081: "b", 8082: "a"} {
		c, err := w.dialShared(w.outside, outside4+":5000", fmt.Sprint(host4, ":", port))
		if err != nil {
			w.t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want+" "+outside4+":") {
			w.t.Errorf("port %d: %q, %v", port, line, err)
		}
	}
}

func testHalfClose(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.publish(tcp(8080, 80))
	c, err := w.dial(w.outside, "", host4+":8080")
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "hello ")
	c.CloseWrite()
	all, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(all), "\nhello bye") {
		w.t.Errorf("%q, %v", all, err)
	}
}

func testResets(w *stage) {
	ended := make(chan error, 1)
	w.listen(w.container, "[::]:80", func(c *net.TCPConn) {
		_, err := io.Copy(io.Discard, c)
		c.Close()
		ended <- err
	})
	w.listen(w.container, "[::]:81", func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		c.SetLinger(0)
		c.Close()
	})
	w.publish(tcp(8080, 80), tcp(8081, 81))
	c, err := w.dial(w.outside, "", host4+":8080")
	if err != nil {
		w.t.Fatal(err)
	}
	io.WriteString(c, "x")
	c.SetLinger(0)
	c.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, unix.ECONNRESET) {
			w.t.Errorf("a client that resets: the container sees %v", err)
		}
	case <-time.After(patience):
		w.t.Error("a client that resets: the container sees nothing")
	}
	c, err = w.dial(w.outside, "", host4+":8081")
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "x")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		w.t.Errorf("a container that resets: the client sees %v", err)
	}
}

// wantRefused checks that a connection ends by a reset or a refusal.
func (w *stage) wantRefused(to string) {
	w.t.Helper()
	_, _, err := w.ask(w.outside, "", to)
	if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.ECONNREFUSED) {
		w.t.Errorf("%s: %v, want a reset", to, err)
	}
}

func testRefused(w *stage) {
	l := w.publish(tcp(8080, 80))
	w.wantRefused(host4 + ":8080")
	w.wantRefused("[" + host6 + "]:8080")
	l.Serve(w, Target{})
	w.wantRefused(host4 + ":8080")
}

func testMany(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.publish(tcp(8080, 80))
	var all sync.WaitGroup
	for range 500 {
		c, err := w.dial(w.outside, "", host4+":8080")
		if err != nil {
			w.t.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil || strings.TrimSpace(line) != "a "+c.LocalAddr().String() {
				w.t.Errorf("%s: %q, %v", c.LocalAddr(), line, err)
			}
		})
		defer c.Close() // they are all open at once
	}
	all.Wait()
}

func testTargets(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.listen(w.second, "[::]:80", whoAmI("b"))
	w.echoPackets(w.container, "a", 80)
	w.echoPackets(w.second, "b", 80)
	l := w.publish(tcp(8080, 80), udp(8080, 80))
	old, err := w.dial(w.outside, "", host4+":8080")
	if err != nil {
		w.t.Fatal(err)
	}
	defer old.Close()
	old.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(old)
	if line, err := r.ReadString('\n'); err != nil {
		w.t.Fatal(line, err)
	}
	c := w.packets(w.outside, outside4+":6000")
	w.wantReply(c, host4+":8080", "a "+outside4+":6000 hello")
	l.Serve(w, targetAt(second4, second6))
	w.wantReply(c, host4+":8080", "b "+outside4+":6000 hello")
	if greeting, _, err := w.ask(w.outside, "", host4+":8080"); err != nil || !strings.HasPrefix(greeting, "b ") {
		w.t.Errorf("new target: %q, %v", greeting, err)
	}
	io.WriteString(old, "still here\n")
	if line, err := r.ReadString('\n'); line != "still here\n" {
		w.t.Errorf("old connection: %q, %v", line, err)
	}
}

func testFamilies(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.echoPackets(w.container, "a", 80)
	l := w.publish(tcp(8080, 80), udp(8080, 80))
	l.Serve(w, targetAt(container4, ""))
	w.wantSeen(w.outside, "", "["+host6+"]:8080", gateway4)
	w.wantReplyAddress(w.packets(w.outside, "["+outside6+"]:6000"), "["+host6+"]:8080", "a "+gateway4)
	l.Serve(w, targetAt("", container6))
	w.wantSeen(w.outside, "", host4+":8080", gateway6)
	w.wantSeen(w.outside, "", "["+host6+"]:8080", "own")
}

// A container that asks for a port of the host's comes from the host's own address when
// it goes through a helper, and from its own where the hub is the host.
func testHairpin(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.publish(tcp(8080, 80))
	if w.hub == w.host {
		w.shell(w.host, "sysctl -qw net.ipv4.ip_forward=1")
		w.wantSeen(w.second, "", host4+":8080", gateway4)
		w.wantSeen(w.container, "", host4+":8080", gateway4)
		return
	}
	w.wantSeen(w.host, host4b+":0", host4+":8080", host4b)
}

// A target in a namespace of its own, whose stack knows nothing of the clients.
func testPlain(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.echoPackets(w.container, "a", 80)
	l := w.publish(tcp(8080, 80), udp(8080, 80))
	l.Serve(&stage{t: w.t, hub: w.container}, Target{IPv4: netip.MustParseAddr(container4)})
	w.wantSeen(w.outside, "", host4+":8080", container4)
	w.wantSeen(w.host, "", "127.0.0.1:8080", container4)
	w.wantReplyAddress(w.packets(w.outside, outside4+":6000"), host4+":8080", "a "+container4)
}

func testBulk(w *stage) {
	w.listen(w.container, "[::]:80", func(c *net.TCPConn) { io.Copy(c, c); c.Close() })
	w.publish(tcp(8080, 80))
	const size = 16 << 20
	var all sync.WaitGroup
	for range 4 {
		c, err := w.dial(w.outside, "", host4+":8080")
		if err != nil {
			w.t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(3 * patience))
		all.Go(func() {
			io.Copy(c, &pattern{left: size})
			c.CloseWrite()
		})
		all.Go(func() {
			defer c.Close()
			if n, err := checkPattern(c); n != size || err != nil {
				w.t.Errorf("%d bytes of %d came back: %v", n, size, err)
			}
		})
	}
	all.Wait()
}

func testWithoutPipes(w *stage) {
	pipes.Close()
	most := pipes.Most
	pipes.Most = 0
	defer func() { pipes.Most = most }()
	testBulk(w)
}

func testClose(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	w.echoPackets(w.container, "a", 80)
	l := w.publish(tcp(8080, 80), udp(8080, 80))
	c, err := w.dial(w.outside, "", host4+":8080")
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	r.ReadString('\n')
	w.wantReply(w.packets(w.outside, outside4+":6000"), host4+":8080", "a "+outside4+":6000 hello")
	l.Close()
	l.Close()
	if _, err := r.ReadByte(); !errors.Is(err, unix.ECONNRESET) {
		w.t.Errorf("an open connection ends with %v", err)
	}
	w.wantRefused(host4 + ":8080")
	again, err := Listen([]config.PortMapping{tcp(8080, 80), udp(8080, 80)}, nil)
	if err != nil {
		w.t.Fatalf("the ports are not free again: %v", err)
	}
	again.Close()
}
