package ports

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
)

// A stage's addresses. The outside and the host share a link; the host has a second address on it.
const (
	host4, host4b, host6, host6b = "198.51.100.1", "198.51.100.11", "2001:db8:1::1", "2001:db8:1::11"
	outside4, outside6           = "198.51.100.2", "2001:db8:1::2"
	gateway4, gateway6           = "10.88.0.1", "fd00:88::1"
	container4, container6       = "10.88.0.2", "fd00:88::2"
	second4, second6             = "10.88.0.3", "fd00:88::3"
)

func TestMain(m *testing.M) { world.Main(m, world.Program{}) }

// TestWorlds runs TestSuite as root and as a user with subordinate ids.
func TestWorlds(t *testing.T) {
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("there is no program ", tool)
		}
	}
	users := []world.User{{Name: "root", IDs: world.Root}, {Name: "subordinate ids", IDs: world.Subordinate()}}
	world.Run(t, users, "-test.run=^(TestSuite|TestFigures)$")
}

// stage is a host with something outside, a hub and two containers on its bridge. The hub
// is a namespace of its own, as for a user, or the host's, as for root.
type stage struct {
	t                                     *testing.T
	host, outside, hub, container, second *os.File
}

// Socket makes a stage's hub a Dialer.
func (w *stage) Socket(domain, typ int, prepare func(fd int) error) (fd int, err error) {
	err = netns.Do(w.hub, func() error {
		if fd, err = unix.Socket(domain, typ, 0); err != nil {
			return err
		}
		if err := prepare(fd); err != nil {
			unix.Close(fd)
			return err
		}
		return nil
	})
	return fd, err
}

func newStage(t *testing.T, hubIsHost bool) *stage {
	w := &stage{t: t, host: world.Own(t), outside: world.Namespace(t), container: world.Namespace(t), second: world.Namespace(t)}
	w.hub = w.host
	if !hubIsHost {
		w.hub = world.Namespace(t)
	}
	for _, ns := range []*os.File{w.host, w.outside, w.hub, w.container, w.second} {
		w.shell(ns, `sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0`) // which would take its time
	}
	// a file of this process names a namespace to ip
	named := func(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }
	w.shell(w.host, `ip link set lo up; ip link add x0 type veth peer name x1; ip link set x1 netns `+named(w.outside)+`
		for a in `+host4+`/24 `+host4b+`/24 `+host6+`/64 `+host6b+`/64; do ip address add $a dev x0 $(case $a in *:*) echo nodad; esac); done; ip link set x0 up`)
	w.shell(w.outside, `ip address add `+outside4+`/24 dev x1; ip address add `+outside6+`/64 dev x1 nodad; ip link set x1 up`)
	w.shell(w.hub, `ip link add ctr0 type bridge; ip address add `+gateway4+`/24 dev ctr0; ip address add `+gateway6+`/64 dev ctr0 nodad; ip link set ctr0 up
		ip rule add fwmark 0x63740000/0xffff0000 lookup 6374; ip route add local default dev lo table 6374
		ip -6 rule add fwmark 0x63740000/0xffff0000 lookup 6374; ip -6 route add local default dev lo table 6374
		echo 'table inet t { chain pre { type filter hook prerouting priority mangle; socket transparent 1 meta mark set 0x63740000 accept; }; }' | nft -f -`)
	for i, c := range []struct {
		ns        *os.File
		four, six string
	}{{w.container, container4, container6}, {w.second, second4, second6}} {
		w.shell(w.hub, fmt.Sprintf(`ip link add v%d mtu 65520 type veth peer name eth0; ip link set eth0 netns %s; ip link set v%[1]d master ctr0 up`, i, named(c.ns)))
		w.shell(c.ns, `ip address add `+c.four+`/24 dev eth0; ip address add `+c.six+`/64 dev eth0 nodad; ip link set eth0 up mtu 65520
			ip route add default via `+gateway4+`; ip -6 route add default via `+gateway6)
	}
	t.Cleanup(func() {
		w.shell(w.host, `ip link del x0`)
		if hubIsHost {
			w.shell(w.host, `ip link del ctr0; nft delete table inet t
				for f in -4 -6; do ip $f rule del lookup 6374; ip $f route flush table 6374; done`)
		}
	})
	return w
}

func (w *stage) shell(ns *os.File, script string) {
	w.t.Helper()
	world.Shell(w.t, ns, script)
}

// target is the first container.
func (w *stage) target() Target { return targetAt(container4, container6) }

func targetAt(four, six string) Target {
	to := Target{Gateway4: netip.MustParseAddr(gateway4), Gateway6: netip.MustParseAddr(gateway6), Transparent: true,
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.88.0.0/24"), netip.MustParsePrefix("fd00:88::/64")}}
	if four != "" {
		to.IPv4 = netip.MustParseAddr(four)
	}
	if six != "" {
		to.IPv6 = netip.MustParseAddr(six)
	}
	return to
}

// dial connects from a namespace, from an address if it is not "".
func (w *stage) dial(ns *os.File, from, to string) (*net.TCPConn, error) {
	var c *net.TCPConn
	err := netns.Do(ns, func() (err error) {
		var local *net.TCPAddr
		if from != "" {
			local = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
		}
		c, err = net.DialTCP("tcp", local, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		return err
	})
	return c, err
}

// packets is a UDP socket in a namespace, bound to an address.
func (w *stage) packets(ns *os.File, at string) *net.UDPConn {
	w.t.Helper()
	var c *net.UDPConn
	err := netns.Do(ns, func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// listen is a TCP listener in a namespace that hands its connections to handle.
func (w *stage) listen(ns *os.File, at string, handle func(*net.TCPConn)) {
	w.t.Helper()
	var l *net.TCPListener
	err := netns.Do(ns, func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
}
