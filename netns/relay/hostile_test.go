package relay

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
)

// syn is the packet that opens a connection.
func syn(src, dst netip.AddrPort, seq uint32, flags byte) []byte {
	buf := make([]byte, headerSize+tcpSize)
	b := buf[headerSize:]
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint32(b[4:], seq)
	b[12], b[13] = tcpSize/4<<4, flags
	binary.BigEndian.PutUint16(b[14:], 65535)
	binary.BigEndian.PutUint16(b[16:], checksum(b, unix.IPPROTO_TCP, src.Addr(), dst.Addr()))
	return wrap(buf, headerSize, len(buf), unix.IPPROTO_TCP, src.Addr(), dst.Addr(), 1)
}

// script is a device that hands out packets and keeps what comes back.
type script struct {
	packets chan []byte
	written chan []byte
}

func (s *script) ReadPacket(b []byte) (int, error) {
	p, ok := <-s.packets
	if !ok {
		return 0, io.EOF
	}
	return copy(b, p), nil
}

func (s *script) WritePacket(b []byte) error {
	select {
	case s.written <- append([]byte(nil), b...):
	default: // nobody counts so many
	}
	return nil
}

func (s *script) Close() error { return nil }

// testLoopback gives the relay every spelling of the host's loopback, as no kernel would
// let them through, and has services there that must not be reached.
func testLoopback(t *testing.T, s *served) {
	own := world.Own(t)
	var reached atomic.Int32
	hit := func(c *net.TCPConn) { reached.Add(1); c.Close() }
	ports := []int{serveTCP(t, own, "127.0.0.1:0", hit), serveTCP(t, own, "[::1]:0", hit), serveTCP(t, own, ":0", hit)}
	for range 3 {
		ports = append(ports, echoUDP(t, own, ":0"))
	}
	d, _, done := s.script(t, "127.0.0.1")
	sent := 0
	for _, a := range []string{
		"127.0.0.1", "127.1.2.3", "0.0.0.0", "0.0.0.1", "255.255.255.255", HostAddress.String(),
		"::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1", "::ffff:198.51.100.1",
	} {
		dst, src := netip.MustParseAddr(a), in4
		if dst.Is6() {
			src = in6
		}
		for _, port := range ports {
			to := netip.AddrPortFrom(dst, uint16(port))
			d.packets <- syn(src, to, 1, flagSYN)
			d.packets <- datagram(src, to, []byte("x"))
			sent += 2
		}
		d.packets <- syn(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 5), netip.MustParseAddrPort(outsideAddr+":5"), 1, flagSYN)
	}
	e := done()
	if n := reached.Load(); n > 0 {
		t.Errorf("loopback was reached %d times", n)
	}
	if len(e.streams.known) > 0 || len(e.flows.known) > 0 {
		t.Errorf("connections were made: %v %v", e.streams.known, e.flows.known)
	}
	answers := 0
	for len(d.written) > 0 {
		p, ok := parse(<-d.written)
		if !ok || p.dst != in4.Addr() && p.dst != in6.Addr() {
			t.Errorf("answered %v with %x", p.dst, p.raw)
		}
		answers++
	}
	if few := sent - 2*len(ports); answers != few { // nobody answers for all the world
		t.Errorf("%d answers to %d packets, want %d", answers, sent, few)
	}
}

// script has a relay work with a scripted device. The function that it returns ends it,
// lets the tables be looked at, and puts the real one to work again.
func (s *served) script(t *testing.T, host string) (*script, *engine, func() *engine) {
	s.stop() // the port in the hub is for one
	d := &script{packets: make(chan []byte), written: make(chan []byte, 1000)}
	e, err := newEngine(Config{Hub: s.hub, Host: func() netip.Addr { return netip.MustParseAddr(host) }}, d)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		err := e.read()
		e.poller.close()
		served <- err
	}()
	go e.poller.run()
	return d, e, func() *engine {
		close(d.packets)
		if err := <-served; err != io.EOF {
			t.Errorf("the device's end was seen as %v", err)
		}
		t.Cleanup(func() { e.close(); s.start(t) })
		return e
	}
}

// testStranger: a container that speaks for somebody outside does not set two of them
// talking: what comes back for one is no question to the other.
func testStranger(t *testing.T, s *served) {
	a, b := netip.MustParseAddrPort(outsideAddr+":7"), netip.MustParseAddrPort("198.51.100.9:7")
	d, _, done := s.script(t, hostAddr)
	d.packets <- datagram(a, b, []byte("x"))
	d.packets <- datagram(b, a, []byte("x"))
	e := done()
	if n := len(e.flows.known); n != 1 {
		t.Errorf("%d flows, want 1", n)
	}
}

// testGarbage: whatever a container sends, the relay lives.
func testGarbage(t *testing.T, s *served) {
	d, _, done := s.script(t, hostAddr)
	out := netip.MustParseAddrPort(outsideAddr + ":7")
	out6 := netip.MustParseAddrPort("[" + outsideAddr6 + "]:7")
	good := [][]byte{
		syn(in4, out, 1, flagSYN), syn(in6, out6, 1, flagSYN), syn(in4, out, 1, flagACK), datagram(in4, out, pattern(100)), datagram(in6, out6, pattern(100)),
		unreachable(datagram(out, in4, pattern(50)), out.Addr(), in4.Addr(), refused),
		unreachable(datagram(out6, in6, pattern(50)), out6.Addr(), in6.Addr(), refused),
		icmpError(datagram(out6, in6, pattern(50)), out6.Addr(), in6.Addr(), tooBig6, 0),
		icmpError(nil, out.Addr(), in4.Addr(), echoRequest4, 0), icmpError(nil, out6.Addr(), in6.Addr(), echoRequest6, 0),
	}
	good = append(good, cut6(datagram(in6, out6, pattern(4000)), 1280, 1)...)
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 20000 {
		b := bytes.Clone(good[i%len(good)])
		for range r.IntN(4) {
			b[r.IntN(min(len(b), 64))] = byte(r.Uint32())
		}
		d.packets <- b[:len(b)-r.IntN(2)*r.IntN(len(b))]
	}
	done()
}

// testFlood: a container that opens connections to nowhere does not stop another.
func testFlood(t *testing.T, s *served) {
	own := world.Own(t)
	const nowhere = "198.51.100.99" // a neighbour that swallows everything
	world.Shell(t, own, "ip neigh replace "+nowhere+" lladdr 02:00:00:00:00:99 dev out0 nud permanent")
	port := serveTCP(t, s.outside, ":0", backwards)
	u := echoUDP(t, s.outside, outsideAddr+":0")
	var fd int
	err := netns.Do(s.containers[1], func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		from, to := netip.MustParseAddr("10.88.0.3"), netip.MustParseAddr(nowhere)
		sa, _ := sockaddr(netip.AddrPortFrom(to, 0))
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			src, dst := netip.AddrPortFrom(from, uint16(i)), netip.AddrPortFrom(to, uint16(i>>16+1))
			unix.Sendto(fd, syn(src, dst, uint32(i), flagSYN), 0, sa)
			unix.Sendto(fd, datagram(src, dst, []byte("x")), 0, sa)
			if i%64 == 0 {
				time.Sleep(time.Millisecond) // leaves the test machine some of its time
			}
		}
	}()
	for i := range 50 {
		if err := exchange(s.containers[0], join(outsideAddr, port), pattern(5000)); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if err := ask(s.containers[0], join(outsideAddr, u), pattern(50)); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
}

// testStray: a segment of a connection that the relay knows nothing of is answered
// with a reset, as after a restart.
func testStray(t *testing.T, s *served) {
	var fd, rx int
	err := netns.Do(s.containers[0], func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err == nil {
			rx, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	defer unix.Close(rx)
	src, dst := netip.MustParseAddrPort("10.88.0.2:4242"), netip.MustParseAddrPort(outsideAddr+":4243")
	sa, _ := sockaddr(dst)
	unix.Sendto(fd, syn(src, dst, 5, flagACK), 0, sa)
	unix.SetsockoptTimeval(rx, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience / time.Second)})
	b := make([]byte, maxPacket)
	for {
		n, err := unix.Read(rx, b)
		if err != nil {
			t.Fatal("no reset:", err)
		}
		p, ok := parse(b[:n])
		seg, isTCP := parseTCP(p.payload)
		if ok && isTCP && seg.src == 4243 && seg.dst == 4242 && seg.flags&flagRST != 0 {
			return
		}
	}
}
