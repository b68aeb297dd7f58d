package bridge

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	nfnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// HostInside is the host's address as containers have it, on every link.
var HostInside = netip.AddrFrom4([4]byte{169, 254, 1, 2})

const uplinkTable = "ctr-uplink"

// Uplinked describes the device of a made hub that leads outside.
type Uplinked struct {
	Interface string
	// Gateways on the link. Without one the device itself takes all packets of the
	// family, as a TUN device does; but a default route over it that is there stays,
	// and a link that masquerades has no IPv6 then.
	Gateway4, Gateway6 netip.Addr
	// Masquerade gives the packets of containers the device's own addresses, for links
	// that carry no others, and lets in only answers.
	Masquerade bool
	// HostAddress takes the place of [HostInside] in packets to it; IPv4. Used with Masquerade.
	HostAddress netip.Addr
}

// SetUplink makes the device, which is there and has its addresses, the hub's way
// outside in place of any other. hub is a made hub's namespace. Idempotent.
func SetUplink(hub *os.File, u Uplinked) error {
	err := netns.Do(hub, func() error {
		route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer route.Close()
		link, err := route.LinkByName(u.Interface)
		if err != nil {
			return fmt.Errorf("looking for it: %w", err)
		}
		if err := tolerable(sysctl("ipv6/conf/"+u.Interface+"/addr_gen_mode", "0")); err != nil { // see hubSettings
			return err
		}
		if err := route.LinkSetUp(link); err != nil {
			return fmt.Errorf("setting it up: %w", err)
		}
		for _, family := range families() {
			if err := uplinkRoute(route, link, family, u); err != nil {
				return err
			}
		}
		return uplinkRules(u)
	})
	if err != nil {
		return fmt.Errorf("making %q the containers' way outside: %w", u.Interface, err)
	}
	return nil
}

func uplinkRoute(route *netlink.Handle, link netlink.Link, family int, u Uplinked) error {
	r, gateway := directRoute(family, link), u.Gateway4
	if family == unix.AF_INET6 {
		gateway = u.Gateway6
	}
	if gateway.IsValid() {
		r = &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()}
	} else if hasDefault(route, link, family) || family == unix.AF_INET6 && u.Masquerade {
		return nil
	}
	err := route.RouteReplace(r)
	if family == unix.AF_INET6 { // may be off on the device
		err = ignore(err, unix.EACCES, unix.ENODEV, unix.EINVAL, unix.ENETDOWN)
	}
	if err != nil {
		return fmt.Errorf("adding the default route: %w", err)
	}
	return nil
}

func hasDefault(route *netlink.Handle, link netlink.Link, family int) bool {
	routes, err := route.RouteList(link, family)
	if err != nil {
		return false
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			if ones, _ := maskOf(r); ones == 0 {
				return true
			}
		}
	}
	return false
}

func maskOf(r netlink.Route) (ones, bits int) {
	if r.Dst == nil {
		return 0, 0
	}
	return r.Dst.Mask.Size()
}

// uplinkRules replaces the table of the uplink: none, or one that translates. Only
// with it are connections tracked in the hub, which costs throughput.
func uplinkRules(u Uplinked) error {
	keep := func(s *nfnetlink.Conn) error { return s.SetDeadline(time.Now().Add(patience)) }
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(keep))
	if err != nil {
		return fmt.Errorf("opening netfilter netlink: %w", err)
	}
	defer c.CloseLasting()
	table := &nftables.Table{Name: uplinkTable, Family: nftables.TableFamilyINet}
	if !u.Masquerade {
		// A look is cheap; a change of rules waits for the whole machine (RCU).
		if _, err := c.ListTableOfFamily(uplinkTable, table.Family); err != nil {
			return ignore(err, unix.ENOENT)
		}
		c.DelTable(table)
	} else {
		replace(c, table, nil, u.chains())
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("writing its rules: %w", err)
	}
	return nil
}

func (u Uplinked) chains() []chain {
	chains := []chain{
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, []words{
			rule(oif(u.Interface), words{&expr.Masq{}}),
		}},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, []words{
			rule(iif(u.Interface), replies(), accept()),
			rule(iif(u.Interface), drop()),
		}},
	}
	if !u.HostAddress.Is4() {
		return chains
	}
	toHost := header(expr.PayloadBaseNetworkHeader, 16, HostInside.AsSlice())
	return append(chains, chain{
		"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, []words{
			rule(notFrom(u.Interface), family(unix.NFPROTO_IPV4), toHost, words{
				&expr.Immediate{Register: reg0, Data: u.HostAddress.AsSlice()},
				&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg0},
			}),
		},
	})
}
