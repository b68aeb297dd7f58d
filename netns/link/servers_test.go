package link

import (
	"crypto/sha256"
	"io"
	"net"
	"os"
	"testing"

	"github.com/miekg/dns"
)

func setResolvConf(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(os.Getenv(resolvFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// serve starts what the suite talks to: port 53 is a DNS server, 7 echoes, 9 takes
// and gives back, 80 listens on loopback only; 81 is closed.
func serve(t *testing.T) {
	t.Helper()
	setResolvConf(t, "nameserver "+hostAddress+"\n")
	for _, address := range []string{hostAddress, "127.0.0.1"} {
		for _, network := range []string{"tcp", "udp"} {
			serveNames(t, network, address+":53")
		}
	}
	accept(t, hostAddress+":7", func(c net.Conn) { io.Copy(c, c) })
	accept(t, hostAddress+":9", takeAndGive)
	accept(t, "127.0.0.1:80", func(net.Conn) {})
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		accept(t, "["+hostAddress6+"]:7", func(c net.Conn) { io.Copy(c, c) })
		accept(t, "[::1]:80", func(net.Conn) {})
	}
	p, err := net.ListenPacket("udp", hostAddress+":7")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(buf[:n], from)
		}
	}()
}

func accept(t *testing.T, address string, handle func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
}

// takeAndGive reads to the end, answers the checksum, and sends as much again.
func takeAndGive(c net.Conn) {
	sum := sha256.New()
	n, err := io.Copy(sum, c)
	if err != nil {
		return
	}
	c.Write(sum.Sum(nil))
	io.CopyN(c, &pattern{}, n)
}

func serveNames(t *testing.T, network, address string) {
	t.Helper()
	started := make(chan struct{})
	s := &dns.Server{Net: network, Addr: address, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			answer := new(dns.Msg)
			answer.SetReply(q)
			rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.7")
			answer.Answer = []dns.RR{rr}
			w.WriteMsg(answer)
		})}
	failed := make(chan error, 1)
	go func() { failed <- s.ListenAndServe() }()
	select {
	case <-started:
	case err := <-failed:
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown() })
}
