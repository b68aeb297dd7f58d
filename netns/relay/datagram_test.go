package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

// echoUDP answers datagrams in ns until the test ends.
func echoUDP(t *testing.T, ns *os.File, address string) (port int) {
	t.Helper()
	var c net.PacketConn
	err := netns.Do(ns, func() (err error) {
		c, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, maxPacket)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// ask sends a datagram and wants it back.
func ask(ns *os.File, address string, data []byte) error {
	c, err := dial(ns, "udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	raw.Control(func(fd uintptr) { // or the kernel tells only of refusals
		unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1)
		unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
	})
	return askOver(c, data)
}

// askOver repeats the question now and then, for datagrams get lost.
func askOver(c net.Conn, data []byte) error {
	b := make([]byte, maxPacket)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write(data); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return err
		}
		if bytes.Equal(b[:n], data) {
			return nil
		}
	}
	return fmt.Errorf("no answer to %d bytes", len(data))
}

func testUDP(t *testing.T, s *served) {
	for _, address := range []string{outsideAddr, outsideAddr6} {
		port := echoUDP(t, s.outside, netip.AddrPortFrom(netip.MustParseAddr(address), 0).String())
		for _, size := range []int{0, 1, 1000, 1472, 9000, 60000, 65400} {
			if err := ask(s.containers[0], join(address, port), pattern(size)); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

func testUDPRefused(t *testing.T, s *served) {
	for _, address := range []string{outsideAddr, outsideAddr6, hostAddr} {
		if err := ask(s.containers[0], join(address, 9), pattern(100)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := ask(s.containers[0], "192.0.2.9:9", pattern(100)); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("no route: %v", err)
	}
}

// testStale: a flow that was answered once and then no more gets a new socket, once.
func testStale(t *testing.T, s *served) {
	port := echoUDP(t, s.outside, outsideAddr+":0")
	d, e, done := s.script(t, hostAddr)
	defer done()
	key := flowKey{unix.IPPROTO_UDP, tuple{in4, netip.MustParseAddrPort(join(outsideAddr, port))}}
	w, err := e.flows.find(key)
	if err != nil {
		t.Fatal(err)
	}
	socket := func() string {
		where, err := unix.Getsockname(w.fd)
		if err != nil {
			t.Fatal(err)
		}
		return addrPort(where).String()
	}
	send := func() {
		if err := e.flows.send(w, []byte("y")); err != nil {
			t.Fatal(err)
		}
		<-d.written
	}
	send()
	first := socket()
	if send(); socket() != first {
		t.Error("a new socket at once")
	}
	const ago = 100
	w.sent.Add(ago) // that is, all but this was long ago
	w.unheard = w.sent.Load() - ago/2
	w.heard.Store(w.unheard - 1)
	send()
	second := socket()
	if second == first {
		t.Error("no new socket after a long silence")
	}
	w.answered.Store(false)
	w.unheard = w.sent.Load() - ago/2
	w.heard.Store(w.unheard - 1)
	if send(); socket() != second {
		t.Error("another socket although the second was never answered")
	}
}

// testSmallMTU: in a network with an ordinary MTU large datagrams come in pieces.
func testSmallMTU(t *testing.T, s *served) {
	for _, address := range []string{outsideAddr, outsideAddr6} {
		port := echoUDP(t, s.outside, netip.AddrPortFrom(netip.MustParseAddr(address), 0).String())
		for _, size := range []int{1400, 1473, 5000, 20000, 65000} {
			c, err := dial(s.containers[2], "udp", join(address, port))
			if err != nil {
				t.Fatal(err)
			}
			if err := askOver(c, pattern(size)); err != nil {
				t.Errorf("%s: %v", address, err)
			}
			c.Close()
		}
	}
}

// echoRequest is an ICMP message with 56 bytes of data.
func echoRequest(six bool, ident, seq uint16) []byte {
	b := append(make([]byte, echoSize), pattern(56)...)
	b[0] = echoRequest4
	if six {
		b[0] = echoRequest6 // the kernel computes the checksum
	}
	binary.BigEndian.PutUint16(b[4:], ident)
	binary.BigEndian.PutUint16(b[6:], seq)
	if !six {
		binary.BigEndian.PutUint16(b[2:], ^fold(sum(b, 0)))
	}
	return b
}

func testPing(t *testing.T, s *served) {
	for _, address := range []string{outsideAddr, hostAddr, HostAddress.String(), outsideAddr6} {
		six := netip.MustParseAddr(address).Is6()
		network, reply := "ip4:icmp", byte(echoReply4)
		if six {
			network, reply = "ip6:ipv6-icmp", echoReply6
		}
		c, err := dial(s.containers[0], network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for seq := range uint16(3) {
			request := echoRequest(six, 0x1234, seq)
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1500)
			c.SetReadDeadline(time.Now().Add(patience))
			n, _, err := c.(*net.IPConn).ReadFrom(got)
			if err != nil {
				t.Fatalf("%s, ping %d: %v", address, seq, err)
			}
			if got[0] != reply || !bytes.Equal(got[4:n], request[4:]) {
				t.Errorf("%s, ping %d: answer %x", address, seq, got[:n])
			}
		}
	}
}
