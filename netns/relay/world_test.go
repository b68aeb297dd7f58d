package relay

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"

	"ctr/netns"
	"ctr/netns/internal/world"
)

func TestMain(m *testing.M) { world.Main(m, world.Program{TUN: true}) }

// TestWorlds runs TestSuite in each world that this machine can make.
func TestWorlds(t *testing.T) {
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("making a hub for the tests needs %s", tool)
		}
	}
	users := []world.User{{Name: "root", IDs: world.Root}, {Name: "user", IDs: cmp.Or(world.Subordinate(), world.OneID)}}
	world.Run(t, users, "-test.run=^TestSuite$")
}

// A stage is: the host, which is this process's own namespace (interface out0), the
// outside at the other end of its cable, and a hub with three containers, the last in
// a network with an ordinary MTU.
//
//	outside 198.51.100.2 --- .1 host      hub 10.88.0.1 --- .2 .3 containers
//	                                          10.89.0.1 --- .4
type stage struct {
	outside, hub *os.File
	containers   [3]*os.File
}

const (
	hostAddr, outsideAddr   = "198.51.100.1", "198.51.100.2"
	hostAddr6, outsideAddr6 = "2001:db8::1", "2001:db8::2"
	uplink                  = "up0"
)

const rules = `
table inet test {
	chain pre {
		type filter hook prerouting priority mangle
		iifname != "up0" tcp flags & (fin | syn | rst | ack) != syn socket transparent 1 meta mark set 7 accept
		iifname "up0" tcp flags & (fin | syn | rst | ack) == syn tproxy to :10001 meta mark set 7 accept
	}
}
`

func newStage(t *testing.T) *stage {
	w := &stage{outside: world.Namespace(t), hub: world.Namespace(t)}
	host := world.Own(t)
	cable(t, host, w.outside, "out0")
	world.Shell(t, host, `ip link set lo up
		ip addr replace `+hostAddr+`/24 dev out0; ip addr replace `+hostAddr6+`/64 dev out0 nodad
		echo "0 0" > /proc/sys/net/ipv4/ping_group_range`)
	world.Shell(t, w.outside, `ip addr add `+outsideAddr+`/24 dev eth0; ip addr add `+outsideAddr6+`/64 dev eth0 nodad
		ip addr add 192.0.2.7/32 dev lo`)
	world.Shell(t, w.hub, `echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
		for f in -4 -6; do ip $f rule add fwmark 7 lookup 100; ip $f route add local default dev lo table 100; done
		nft -f - <<'E'
`+rules+`E`)
	for i, mtu := range []string{"65520", "65520", "1500"} {
		w.containers[i] = world.Namespace(t)
		port := "c" + strconv.Itoa(i)
		cable(t, w.hub, w.containers[i], port)
		net := 88
		if mtu == "1500" {
			net = 89
		}
		world.Shell(t, w.hub, fmt.Sprintf(`ip link set %[1]s mtu %[2]s
			if ! ip link set %[1]s master br%[3]d; then
				ip link add br%[3]d mtu %[2]s type bridge
				ip addr add 10.%[3]d.0.1/16 dev br%[3]d; ip addr add fd00:%[3]d::1/64 dev br%[3]d nodad
				ip link set %[1]s master br%[3]d; ip link set br%[3]d up
			fi`, port, mtu, net))
		world.Shell(t, w.containers[i], fmt.Sprintf(`ip link set eth0 mtu %[1]s
			ip addr add 10.%[2]d.0.%[3]d/16 dev eth0; ip addr add fd00:%[2]d::%[3]d/64 dev eth0 nodad
			ip route add default via 10.%[2]d.0.1; ip -6 route add default via fd00:%[2]d::1`, mtu, net, i+2))
	}
	return w
}

// cable joins two namespaces: name in a, eth0 in b.
func cable(t *testing.T, a, b *os.File, name string) {
	t.Helper()
	err := netns.Do(a, func() error {
		if old, err := netlink.LinkByName(name); err == nil {
			netlink.LinkDel(old)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(b.Fd()))}); err != nil {
			return err
		}
		return world.Give(name)
	})
	if err == nil {
		err = netns.Do(b, func() error { return world.Give("eth0") })
	}
	if err != nil {
		t.Fatalf("cable %s: %v", name, err)
	}
}

// join is an address with a port, whatever the family.
func join(address string, port int) string {
	return netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port)).String()
}

// dial connects from a namespace.
func dial(ns *os.File, network, address string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: patience}
	err = netns.Do(ns, func() error {
		c, err = d.Dial(network, address)
		return err
	})
	return c, err
}
