package world

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// log is what was seen outside.
type log struct {
	mu      sync.Mutex
	queries []string // names, as asked
	seen    []string // "udp 192.0.2.80:53", "icmp 192.0.2.80": each only once
}

func (l *log) add(list *[]string, s string, once bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !once || !slices.Contains(*list, s) {
		*list = append(*list, s)
	}
}

func (l *log) text(list *[]string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(*list, "\n")
}

// servers starts what listens outside:
//
//	53   DNS by TCP and UDP: web.test, NAME.test (192.0.2.80), PTR of 192.0.2.80; nothing else exists
//	80   HTTP: "from ADDRESS"
//	7    TCP and UDP: echo
//	79   TCP and UDP: the client's address
//	9    TCP: takes all and says how many bytes
func (w *World) servers() error {
	return netns.Do(w.outside, func() error {
		if err := w.sniff(); err != nil {
			return err
		}
		if err := w.serveDNS(":53", Web); err != nil {
			return err
		}
		web := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprintf(rw, "from %s\n", host)
		})
		l, err := w.listen(":80")
		if err != nil {
			return err
		}
		go http.Serve(l, web)
		for port, serve := range map[string]func(net.Conn){
			":7":  func(c net.Conn) { io.Copy(c, c) },
			":79": func(c net.Conn) { fmt.Fprintln(c, c.RemoteAddr().(*net.TCPAddr).IP) },
			":9": func(c net.Conn) {
				n, _ := io.Copy(io.Discard, c)
				fmt.Fprintln(c, n)
			},
		} {
			if err := w.accept(port, serve); err != nil {
				return err
			}
		}
		if err := w.answer(":7", func(_ netip.AddrPort, b []byte) []byte { return b }); err != nil {
			return err
		}
		return w.answer(":79", func(from netip.AddrPort, _ []byte) []byte { return []byte(from.Addr().Unmap().String() + "\n") })
	})
}

func (w *World) listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		w.closers = append(w.closers, l.Close)
	}
	return l, err
}

// accept serves each connection and then closes it.
func (w *World) accept(address string, serve func(net.Conn)) error {
	l, err := w.listen(address)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return nil
}

// answer replies to datagrams, from the address that they were sent to.
func (w *World) answer(address string, reply func(from netip.AddrPort, b []byte) []byte) error {
	hosts := []string{""}
	if strings.HasPrefix(address, ":") { // a reply has to come from the address that was asked
		hosts = []string{Gateway, "198.51.101.1", Web, Gateway6, "2001:db8:3::1", "fe80::1%outside0", Web6}
	}
	for _, h := range hosts {
		a := address
		if h != "" {
			a = net.JoinHostPort(h, address[1:])
		}
		p, err := net.ListenPacket("udp", a)
		if err != nil {
			return err
		}
		w.closers = append(w.closers, p.Close)
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := p.(*net.UDPConn).ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				if r := reply(from, b[:n]); r != nil {
					p.(*net.UDPConn).WriteToUDPAddrPort(r, from)
				}
			}
		}()
	}
	return nil
}

// serveDNS answers names of test. with web, in the namespace of the caller.
func (w *World) serveDNS(address, web string) error {
	reply := func(b []byte) []byte { return w.resolve(b, web) }
	if err := w.answer(address, func(_ netip.AddrPort, b []byte) []byte { return reply(b) }); err != nil {
		return err
	}
	return w.accept(address, func(c net.Conn) {
		for {
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, q); err != nil {
				return
			}
			r := reply(q)
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
		}
	})
}

func (w *World) resolve(query []byte, web string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	w.log.add(&w.log.queries, name, false)
	r := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true}, Questions: m.Questions}
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
	switch {
	case q.Type == dnsmessage.TypePTR && name == "80.2.0.192.in-addr.arpa":
		r.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("web.test.")}}}
	case !strings.HasSuffix(name, ".test"):
		r.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		r.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: netip.MustParseAddr(web).As4()}}}
	case q.Type == dnsmessage.TypeAAAA && name == "web6.test":
		r.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(Web6).As16()}}}
	}
	b, err := r.Pack()
	if err != nil {
		return nil
	}
	return b
}

// sniff records where packets of the machine go.
func (w *World) sniff() error {
	const all = 0x0300 // ETH_P_ALL in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
	if err != nil {
		return fmt.Errorf("watching packets: %w", err)
	}
	w.closers = append(w.closers, func() error { return unix.Shutdown(fd, unix.SHUT_RDWR) })
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	done := make(chan struct{})
	w.closers = append(w.closers, func() error { close(done); return nil })
	go func() {
		defer unix.Close(fd)
		b := make([]byte, 1<<16)
		for {
			select {
			case <-done:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, b, 0)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return
			}
			if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype != unix.PACKET_OUTGOING {
				if s := describe(b[:n]); s != "" {
					w.log.add(&w.log.seen, s, true)
				}
			}
		}
	}()
	return nil
}

// describe is "PROTOCOL DESTINATION[:PORT] from SOURCE" of an IPv4 packet.
func describe(b []byte) string {
	if len(b) < 24 || b[0]>>4 != 4 {
		return ""
	}
	src, _ := netip.AddrFromSlice(b[12:16])
	dst, _ := netip.AddrFromSlice(b[16:20])
	l4 := b[int(b[0]&15)*4:]
	protocol, port := map[byte]string{1: "icmp", 6: "tcp", 17: "udp"}[b[9]], ""
	if protocol != "icmp" && len(l4) >= 4 {
		port = fmt.Sprintf(":%d", binary.BigEndian.Uint16(l4[2:]))
	}
	return fmt.Sprintf("%s %s%s from %s", protocol, dst, port, src)
}

// exchange speaks from outside to an address of the machine: it sends text and
// returns what comes back until the end, or the first datagram.
func (w *World) exchange(network, address, text string) (out string, err error) {
	err = netns.Do(w.outside, func() error {
		d := net.Dialer{Timeout: 2 * time.Second}
		c, err := d.DialContext(context.Background(), network, address)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		if network == "udp" {
			b := make([]byte, 1<<16)
			n, err := c.Read(b)
			out = string(b[:n])
			return err
		}
		if t, ok := c.(*net.TCPConn); ok && text != "" && !bytes.HasPrefix([]byte(text), []byte("GET ")) {
			t.CloseWrite()
		}
		b, err := io.ReadAll(c)
		out = string(b)
		return err
	})
	return out, err
}
