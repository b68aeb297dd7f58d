// Package world makes, as root, the machine that the tests of networks run on: a
// network namespace with one interface, behind which lies a small internet, and a
// mount namespace with a resolv.conf and a /dev/net/tun of its own.
//
//	machine   eth0  198.51.100.2/24 and .3, 2001:db8:1::2/64; default routes to outside
//	outside   .1 is the gateway and the resolver; 192.0.2.80 is web.test
//
// Nothing of it is connected to the network of the machine that runs the tests, so
// that bridges, routes and rules of tests, as root too, touch nobody else. What
// listens outside is in outside.go; tests change the world and speak from outside
// through a socket, by [Ask].
package world

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// The addresses of the machine and of what is outside.
const (
	Machine  = "198.51.100.2"
	Machine2 = "198.51.100.3"
	Gateway  = "198.51.100.1"
	Web      = "192.0.2.80"  // web.test
	Dead     = "192.0.2.254" // takes everything and answers nothing
	Machine6 = "2001:db8:1::2"
	Gateway6 = "2001:db8:1::1"
	Web6     = "2001:db8:2::80"
)

// DirEnv is set, for programs in the world, to the directory of its socket and its
// resolv.conf.
const DirEnv = "CTR_TEST_WORLD"

// Options are what a world may lack.
type Options struct {
	NoTUN   bool // there is no /dev/net/tun
	NoIPv6  bool // IPv6 is disabled on the machine
	Offline bool // eth0 is down until Ask("online")
}

// World is a machine and its outside. It ends with Close.
type World struct {
	Dir string

	options          Options
	machine, outside *os.File
	listener         net.Listener
	mu               sync.Mutex
	log              log
	closers          []func() error
}

// New makes a world; root only.
func New(o Options) (_ *World, err error) {
	dir, err := os.MkdirTemp("", "ctr-world-")
	if err != nil {
		return nil, err
	}
	w := &World{Dir: dir, options: o}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	for _, ns := range []**os.File{&w.machine, &w.outside} {
		if *ns, err = netns.New(); err != nil {
			return nil, err
		}
	}
	for _, step := range []func() error{w.connect, w.settings, w.files, w.servers, w.control} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("making a world for tests: %w", err)
		}
	}
	return w, nil
}

// Close ends the servers and gives the namespaces up. Processes that run in them
// stay.
func (w *World) Close() error {
	var errs []error
	for _, c := range slices.Backward(w.closers) {
		errs = append(errs, c())
	}
	for _, ns := range []*os.File{w.machine, w.outside} {
		if ns != nil {
			errs = append(errs, ns.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(w.Dir))...)
}

// Run runs a prepared command on the machine as the user uid, and waits for it. It is in
// a pid namespace too, so that it sees its own processes only and none outlives it. Its
// environment gets [DirEnv].
func (w *World) Run(cmd *exec.Cmd, uid int) error {
	const script = `set -e
mount --make-rprivate /
mount --bind "$0/resolv.conf" /etc/resolv.conf
if [ -e "$0/tun" ]; then mount --bind "$0/tun" /dev/net/tun; elif [ -d /dev/net ]; then mount -t tmpfs tmpfs /dev/net; fi
exec unshare --pid --fork --mount-proc --kill-child sh -c 'uid=$1; shift
setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"; exit $?' sh "$@"`
	if err := os.Chown(filepath.Join(w.Dir, "resolv.conf"), uid, -1); err != nil {
		return err
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		return err
	}
	cmd.Args = append([]string{"sh", "-c", script, w.Dir, strconv.Itoa(uid), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	cmd.Env = append(cmd.Env, DirEnv+"="+w.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	// the child is in the network namespace of the thread that makes it
	if err := netns.Do(w.machine, cmd.Start); err != nil {
		return err
	}
	return cmd.Wait()
}

// connect lays the cable between the two namespaces and gives addresses.
func (w *World) connect() error {
	err := netns.Do(w.machine, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "outside0", PeerNamespace: netlink.NsFd(w.outside.Fd())})
		if err != nil {
			return fmt.Errorf("adding interfaces: %w", err)
		}
		if w.options.NoIPv6 {
			return os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = netns.Do(w.outside, func() error {
		if err := give("outside0", Gateway+"/24", "198.51.101.1/24", Gateway6+"/64", "2001:db8:3::1/64", "fe80::1/64"); err != nil {
			return err
		}
		if err := give("lo", Web+"/32", Web6+"/128"); err != nil {
			return err
		}
		dead := netip.MustParseAddr(Dead)
		return netlink.RouteAdd(&netlink.Route{Dst: netlink.NewIPNet(dead.AsSlice()), Type: unix.RTN_BLACKHOLE})
	})
	if err != nil || w.options.Offline {
		return err
	}
	return w.online()
}

// give adds addresses to an interface and sets it up.
func give(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", name, a, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// settings lets the world's users send pings, as distributions do.
func (w *World) settings() error {
	return netns.Do(w.machine, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0)
	})
}

// files makes what is mounted over the machine's own.
func (w *World) files() error {
	if err := os.Chmod(w.Dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.Dir, "resolv.conf"), []byte("nameserver "+Gateway+"\n"), 0o644); err != nil {
		return err
	}
	if _, err := os.Stat("/dev/net/tun"); w.options.NoTUN || err != nil {
		return nil
	}
	tun := filepath.Join(w.Dir, "tun")
	if err := unix.Mknod(tun, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("making a /dev/net/tun: %w", err)
	}
	return os.Chmod(tun, 0o666)
}

// online is the machine's usual place in the world.
func (w *World) online() error {
	addresses, gateways := []string{Machine + "/24", Machine2 + "/24", Machine6 + "/64"}, []string{Gateway, Gateway6}
	return w.place(addresses, gateways)
}

// elsewhere is another place, as another Wi-Fi would give it.
func (w *World) elsewhere() error {
	return w.place([]string{"198.51.101.2/24", "2001:db8:3::2/64"}, []string{"198.51.101.1", "2001:db8:3::1"})
}

func (w *World) offline() error {
	return netns.Do(w.machine, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			if err := netlink.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) { // a second one goes with the first
				return err
			}
		}
		return netlink.LinkSetDown(link)
	})
}

func (w *World) place(addresses, gateways []string) error {
	if err := w.offline(); err != nil {
		return err
	}
	if w.options.NoIPv6 {
		addresses = slices.DeleteFunc(addresses, func(a string) bool { return netip.MustParsePrefix(a).Addr().Is6() })
		gateways = gateways[:1]
	}
	return netns.Do(w.machine, func() error {
		if err := give("eth0", addresses...); err != nil {
			return err
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, g := range gateways {
			if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(g)}); err != nil {
				return fmt.Errorf("the default route to %s: %w", g, err)
			}
		}
		return nil
	})
}

// Possible says why this machine or user cannot make a world.
func Possible() error {
	if os.Getuid() != 0 {
		return errors.New("only root can make a machine for tests")
	}
	if runtime.GOOS != "linux" {
		return errors.New("not Linux")
	}
	return nil
}
