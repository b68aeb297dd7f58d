package link

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"ctr/libpod/config"
	"ctr/netns"
	"ctr/netns/internal/world"
)

// testPorts publishes through pasta: the container sees who its client is.
func testPorts(t *testing.T, helper string) {
	if helper != Pasta {
		t.Skip("the caller's task")
	}
	ns := world.Namespace(t)
	o := options(t, helper)
	o.Ports = []config.PortMapping{{HostIP: hostAddress, Port: 7, Protocol: "tcp"}, {HostIP: hostAddress, Port: 7, Protocol: "udp"}}
	l, err := Connect(t.Context(), ns, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := netns.Do(ns, func() error { return tellClients(t) }); err != nil {
		t.Fatal(err)
	}
	for _, p := range l.Ports {
		address := net.JoinHostPort(hostAddress, strconv.Itoa(int(p.HostPort)))
		if got := answer(t, p.Protocol, address); got != hostAddress {
			t.Errorf("%s: the container sees %q", p.Protocol, got)
		}
	}
	other := world.Namespace(t)
	o.Ports = l.Ports[:1]
	if l, err := Connect(t.Context(), other, o); err == nil {
		l.Close()
		t.Error("a port was published twice")
	} else if !strings.Contains(err.Error(), strconv.Itoa(int(o.Ports[0].HostPort))) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// tellClients starts servers, in the calling thread's namespace, on port 7 that tell
// a client its address.
func tellClients(t *testing.T) error {
	accept(t, ":7", func(c net.Conn) {
		c.Read(make([]byte, 100))
		fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
	})
	p, err := net.ListenPacket("udp", ":7")
	if err != nil {
		return err
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo([]byte(from.(*net.UDPAddr).IP.String()), from)
		}
	}()
	return nil
}

func answer(t *testing.T, network, address string) string {
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(probeTimeout))
	c.Write([]byte("who am I?"))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}
