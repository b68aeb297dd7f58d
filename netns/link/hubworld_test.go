package link

import (
	"io"
	"net"
	"testing"

	"github.com/vishvananda/netlink"

	"ctr/netns"
	"ctr/netns/internal/world"
)

// plugIn connects the host to the machine outside, and that to an address behind it.
func (w *hubWorld) plugIn(t *testing.T) {
	w.outside = world.Namespace(t)
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "cable"}, PeerName: "cable", PeerNamespace: netlink.NsFd(w.outside.Fd()),
	}))
	must(t, netns.Do(w.outside, func() error {
		if err := world.Give("lo", outside+"/32", outside6+"/128"); err != nil {
			return err
		}
		return world.Give("cable", cableEnd+"/24", cableEnd6+"/64")
	}))
	must(t, netns.Do(w.outside, func() error { return serveOutside(t) }))
	must(t, world.Give("cable", uplinkHost+"/24", uplinkHost6+"/64"))
	cable, err := netlink.LinkByName("cable")
	must(t, err)
	for _, gateway := range []string{cableEnd, cableEnd6} {
		ip := net.ParseIP(gateway)
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: cable.Attrs().Index, Gw: ip, Dst: everything(ip)}))
	}
	accept(t, uplinkHost+":7", func(c net.Conn) { io.Copy(c, c) })
	accept(t, "127.0.0.1:80", func(net.Conn) {})
	accept(t, "[::1]:80", func(net.Conn) {})
}

// serveOutside starts what the machine outside serves, in the calling thread's namespace.
func serveOutside(t *testing.T) error {
	for _, ip := range []string{outside, outside6} {
		accept(t, net.JoinHostPort(ip, "7"), func(c net.Conn) { io.Copy(c, c) })
		accept(t, net.JoinHostPort(ip, "9"), takeAndGive)
		p, err := net.ListenPacket("udp", net.JoinHostPort(ip, "7"))
		if err != nil {
			return err
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
	return nil
}
