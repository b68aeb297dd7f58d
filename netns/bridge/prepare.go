package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const sysNet = "/proc/sys/net/"

// sysctl writes a setting of the calling thread's network namespace; name is its
// path below /proc/sys/net. See ip-sysctl in the kernel's documentation.
func sysctl(name, value string) error {
	f, err := os.OpenFile(sysNet+name, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("setting net.%s to %s: %w", strings.ReplaceAll(name, "/", "."), value, errors.Unwrap(err))
	}
	return nil
}

// optional is err unless the kernel has no such setting.
func optional(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// hubSettings are those of a made hub. Packets of transparent sockets, and those
// that the built-in link puts back, come in by interfaces that rp_filter does not
// expect them from. A hub is configured by us alone, so it listens to no router.
// Frames between containers of a bridge are the bridge table's business, not the
// inet table's.
var hubSettings = [...][2]string{
	{"ipv4/ip_forward", "1"},
	{"ipv6/conf/all/forwarding", "1"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/conf/all/accept_redirects", "0"},
	{"ipv4/conf/default/accept_redirects", "0"},
	{"ipv4/conf/all/send_redirects", "0"},
	{"ipv4/conf/default/send_redirects", "0"},
	{"ipv6/conf/all/accept_ra", "0"},
	{"ipv6/conf/default/accept_ra", "0"},
	{"ipv6/conf/all/accept_redirects", "0"},
	{"ipv6/conf/default/accept_redirects", "0"},
	{"ipv6/conf/default/addr_gen_mode", "1"}, // none: the hub's ends of veth pairs need no address
	{"bridge/bridge-nf-call-iptables", "0"},
	{"bridge/bridge-nf-call-ip6tables", "0"},
	{"bridge/bridge-nf-call-arptables", "0"},
}

// prepare sets a made hub up: settings, routing and rules.
func (h *Hub) prepare() error {
	err := h.do(func() error {
		for _, s := range hubSettings {
			err := optional(sysctl(s[0], s[1]))
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
				h.note(fmt.Sprintf("%v; packets may not pass between containers and the outside, make /proc/sys writable", err))
				break
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("preparing the containers' network: %w", err)
	}
	if err := h.routeMarked("", true); err != nil {
		return err
	}
	return h.rebuild()
}

// rulePriority is before every rule of other programs that sees all packets; 0 is the table local.
const rulePriority = 0x63

// routeMarked makes marked packets that come in by the interface, or all with "",
// end on this machine, or stops that.
func (h *Hub) routeMarked(iface string, on bool) error {
	route, err := h.links()
	if err != nil {
		return err
	}
	for _, family := range families() {
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table, rule.Priority, rule.IifName = family, Mark, Table, rulePriority, iface
		if !on {
			if err := ignore(route.RuleDel(rule), unix.ENOENT); err != nil {
				return fmt.Errorf("removing the routing rule for %q: %w", iface, err)
			}
			continue
		}
		if err := ignore(route.RuleAdd(rule), unix.EEXIST); err != nil {
			return fmt.Errorf("adding a routing rule for marked packets: %w", err)
		}
		err := ignore(route.RouteAdd(localRoute(family)), unix.EEXIST)
		if family == unix.AF_INET6 { // the host has IPv6 switched off
			err = ignore(err, unix.EACCES)
		}
		if err != nil {
			return fmt.Errorf("adding the route of marked packets: %w", err)
		}
	}
	return nil
}

// unrouteMarked removes what [Hub.routeMarked] left in the table.
func (h *Hub) unrouteMarked() error {
	route, err := h.links()
	if err != nil {
		return err
	}
	for _, family := range families() {
		if err := ignore(route.RouteDel(localRoute(family)), unix.ESRCH, unix.ENOENT); err != nil {
			return fmt.Errorf("removing the route of marked packets: %w", err)
		}
	}
	return nil
}

func localRoute(family int) *netlink.Route {
	everything := &net.IPNet{IP: make(net.IP, 4), Mask: make(net.IPMask, 4)}
	if family == unix.AF_INET6 {
		everything = &net.IPNet{IP: make(net.IP, 16), Mask: make(net.IPMask, 16)}
	}
	const loopback = 1
	return &netlink.Route{
		Family: family, Table: Table, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST,
		LinkIndex: loopback, Dst: everything,
	}
}

// families are those that the kernel has.
func families() []int {
	if !haveIPv6() {
		return []int{unix.AF_INET}
	}
	return []int{unix.AF_INET, unix.AF_INET6}
}

func haveIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// forwardAsRoot lets the host pass packets on. With IPv6 a host that forwards
// ignores routers unless told otherwise, so those that listened go on to.
func (h *Hub) forwardAsRoot(ipv6 bool) error {
	if err := sysctl("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if !ipv6 {
		return nil
	}
	const conf = sysNet + "ipv6/conf/"
	if on, _ := os.ReadFile(conf + "all/forwarding"); strings.TrimSpace(string(on)) == "1" {
		return nil
	}
	ifaces, err := os.ReadDir(conf)
	if err != nil {
		return fmt.Errorf("looking for interfaces that listen to routers: %w", err)
	}
	for _, i := range ifaces {
		v, _ := os.ReadFile(conf + i.Name() + "/accept_ra")
		if strings.TrimSpace(string(v)) == "1" && i.Name() != "all" {
			if err := optional(sysctl("ipv6/conf/"+i.Name()+"/accept_ra", "2")); err != nil {
				return err
			}
		}
	}
	return sysctl("ipv6/conf/all/forwarding", "1")
}
