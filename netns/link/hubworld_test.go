package link

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// plugIn connects the host to the machine outside, and that to an address behind it.
func (w *hubWorld) plugIn(t *testing.T) {
	var err error
	w.outside, err = netns.New()
	must(t, err)
	t.Cleanup(func() { w.outside.Close() })
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "cable"}, PeerName: "cable", PeerNamespace: netlink.NsFd(w.outside.Fd()),
	}))
	must(t, netns.Do(w.outside, func() error {
		if err := address("lo", outside+"/32", outside6+"/128"); err != nil {
			return err
		}
		return address("cable", cableEnd+"/24", cableEnd6+"/64")
	}))
	must(t, netns.Do(w.outside, func() error { return serveOutside(t) }))
	must(t, address("cable", uplinkHost+"/24", uplinkHost6+"/64"))
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

// address gives an interface of the calling thread's namespace addresses.
func address(device string, addresses ...string) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(device)
	if err != nil {
		return err
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, a); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return h.LinkSetUp(link)
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
