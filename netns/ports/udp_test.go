package ports

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

// echoPackets answers every datagram with the server's name, the sender and what it said.
func (w *stage) echoPackets(ns *os.File, name string, port int) {
	w.t.Helper()
	c := w.packets(ns, fmt.Sprintf("[::]:%d", port))
	go func() {
		buffer := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			c.WriteToUDPAddrPort(append([]byte(name+" "+from.String()+" "), buffer[:n]...), from)
		}
	}()
}

// exchange says hello until there is a reply to it, and returns that and its sender. Datagrams may be lost.
func (w *stage) exchange(c *net.UDPConn, to string) (reply, sender string) {
	w.t.Helper()
	buffer := make([]byte, maxDatagram)
	for try := range 20 {
		hello := fmt.Sprintf("hello %s %d", to, try)
		c.WriteToUDPAddrPort([]byte(hello), netip.MustParseAddrPort(to))
		c.SetReadDeadline(time.Now().Add(time.Second))
		for {
			n, from, err := c.ReadFromUDPAddrPort(buffer)
			if err != nil {
				break
			}
			if words, ok := strings.CutSuffix(string(buffer[:n]), hello); ok {
				return words + "hello", netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String()
			}
		}
	}
	w.t.Errorf("%s does not answer %s", to, c.LocalAddr())
	return "", ""
}

// wantReply checks a reply, and that it comes from where it was sent to.
func (w *stage) wantReply(c *net.UDPConn, to, want string) {
	w.t.Helper()
	if got, from := w.exchange(c, to); got != "" && (got != want || from != to) {
		w.t.Errorf("to %s from %s: %q from %s, want %q", to, c.LocalAddr(), got, from, want)
	}
}

// wantReplyAddress is wantReply where the port is of no interest.
func (w *stage) wantReplyAddress(c *net.UDPConn, to, want string) {
	w.t.Helper()
	got, from := w.exchange(c, to)
	words := strings.Fields(got)
	if len(words) != 3 {
		w.t.Errorf("to %s: %q", to, got)
		return
	}
	if seen := netip.MustParseAddrPort(words[1]).Addr().String(); words[0]+" "+seen != want || from != to {
		w.t.Errorf("to %s from %s: %q from %s, want %q", to, c.LocalAddr(), got, from, want)
	}
}

func testUDPSources(w *stage) {
	w.echoPackets(w.container, "a", 53)
	w.publish(udp(5300, 53))
	w.wantReply(w.packets(w.outside, outside4+":6000"), host4+":5300", "a "+outside4+":6000 hello")
	w.wantReply(w.packets(w.outside, "["+outside6+"]:6000"), "["+host6+"]:5300", "a ["+outside6+"]:6000 hello")
	w.wantReplyAddress(w.packets(w.host, "127.0.0.1:6000"), "127.0.0.1:5300", "a "+gateway4)
	w.wantReplyAddress(w.packets(w.host, "[::1]:6000"), "[::1]:5300", "a "+gateway6)
	w.wantReplyAddress(w.packets(w.host, host4+":6001"), host4+":5300", "a "+host4)
}

// One client at two addresses of the host gets each reply from the one it asked.
func testUDPLocal(w *stage) {
	w.echoPackets(w.container, "a", 53)
	w.publish(udp(5300, 53), udp(5301, 53))
	c := w.packets(w.outside, "0.0.0.0:6000")
	for range 2 {
		for _, to := range []string{host4, host4b} {
			w.wantReplyAddress(c, to+":5300", "a "+outside4)
			w.wantReplyAddress(c, to+":5301", "a "+outside4)
		}
	}
	six := w.packets(w.outside, "[::]:6001")
	for _, to := range []string{host6, host6b} {
		w.wantReplyAddress(six, "["+to+"]:5300", "a "+outside6)
	}
}

// Nobody listens at first: the flow survives the container's refusals.
func testUDPRefused(w *stage) {
	w.publish(udp(5300, 53))
	c := w.packets(w.outside, outside4+":6000")
	for range 3 {
		c.WriteToUDPAddrPort([]byte("hello"), netip.MustParseAddrPort(host4+":5300"))
		time.Sleep(10 * time.Millisecond)
	}
	w.echoPackets(w.container, "a", 53)
	w.wantReply(c, host4+":5300", "a "+outside4+":6000 hello")
}

// Flows are bounded, the oldest makes room, and the silent ones end.
func testFlows(w *stage) {
	w.echoPackets(w.container, "a", 53)
	l, err := Listen(nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	l.Close()
	l = w.publish(udp(5300, 53))
	l.Serve(w, Target{}) // flows are counted before they are made
	l.flows = 5
	l.Serve(w, w.target())
	for i := range 20 {
		c := w.packets(w.outside, fmt.Sprint(outside4, ":", 7000+i))
		w.wantReply(c, host4+":5300", fmt.Sprint("a ", outside4, ":", 7000+i, " hello"))
	}
	left := func(now time.Time) (n int) {
		for _, p := range l.ports {
			n += p.expire(now)
		}
		return n
	}
	if n := left(time.Now()); n != 5 {
		w.t.Errorf("%d flows live, want 5", n)
	}
	if n := left(time.Now().Add(idleUnanswered + time.Second)); n != 5 {
		w.t.Errorf("%d flows that were answered outlive %v, want 5", n, idleUnanswered)
	}
	if n := left(time.Now().Add(idleAnswered + time.Second)); n != 0 {
		w.t.Errorf("%d flows outlive %v", n, idleAnswered)
	}
	w.wantReply(w.packets(w.outside, outside4+":7100"), host4+":5300", "a "+outside4+":7100 hello")
}

// dialShared connects from an address and port that other connections have too.
func (w *stage) dialShared(ns *os.File, from, to string) (net.Conn, error) {
	var c net.Conn
	err := netns.Do(ns, func() (err error) {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		}}
		c, err = d.DialContext(context.Background(), "tcp", to)
		return err
	})
	return c, err
}

// pattern is left bytes that are easily checked.
type pattern struct{ at, left int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), p.left)
	for i := range n {
		b[i] = patternAt(p.at + i)
	}
	p.at, p.left = p.at+n, p.left-n
	return n, nil
}

func patternAt(i int) byte { return byte(i) ^ byte(i>>8) ^ byte(i>>16) }

// checkPattern counts the bytes of a pattern.
func checkPattern(r io.Reader) (int, error) {
	buffer := make([]byte, 64<<10)
	for at := 0; ; {
		n, err := r.Read(buffer)
		for i, b := range buffer[:n] {
			if b != patternAt(at+i) {
				return at + i, fmt.Errorf("byte %d is wrong", at+i)
			}
		}
		at += n
		if err == io.EOF {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}
