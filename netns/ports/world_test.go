package ports

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/pkg/userns"
)

// The suite runs in worlds made for it, as root and as an ordinary user. This test program
// executes itself, in steps, to get there as a monitor of ctr would:
//
//	prepare     as root: becomes the user
//	enter       as the user: pkg/userns, as ctr does it
//	namespaces  in ctr's user namespace: makes a network namespace
//	suite       in the host's place: runs TestSuite
const (
	roleEnv = "PORTS_TEST_ROLE"
	userEnv = "PORTS_TEST_USER" // uid:gid
)

// A world's addresses. The outside and the host share a link; the host has a second address on it.
const (
	host4, host4b, host6, host6b = "198.51.100.1", "198.51.100.11", "2001:db8:1::1", "2001:db8:1::11"
	outside4, outside6           = "198.51.100.2", "2001:db8:1::2"
	gateway4, gateway6           = "10.88.0.1", "fd00:88::1"
	container4, container6       = "10.88.0.2", "fd00:88::2"
	second4, second6             = "10.88.0.3", "fd00:88::3"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleEnv) {
	case "", "suite":
		os.Exit(m.Run())
	case "prepare":
		err = prepare()
	case "enter":
		err = enter()
	case "namespaces":
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
		c := as("suite", os.Args[1:]...)
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
		err = c.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// as is a command that runs this program in a role.
func as(role string, args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), roleEnv+"="+role)
	c.Stdout, c.Stderr, c.Dir = os.Stdout, os.Stderr, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func prepare() error {
	uid, gid, _ := strings.Cut(os.Getenv(userEnv), ":")
	u, err1 := strconv.Atoi(uid)
	g, err2 := strconv.Atoi(gid)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("bad %s", userEnv)
	}
	c := as("enter", os.Args[1:]...)
	c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u), Gid: uint32(g)}
	return c.Run()
}

func enter() error {
	runtime.LockOSThread() // the child asks to die with the thread that made it
	os.Setenv(roleEnv, "namespaces")
	pid, _, err := userns.Command{
		Args: os.Args, Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	}.Spawn()
	if err != nil {
		return err
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
		return err
	}
	if ws.ExitStatus() != 0 {
		return fmt.Errorf("suite ended with %d", ws.ExitStatus())
	}
	return nil
}

// TestWorlds runs TestSuite as root and as a user with subordinate ids.
func TestWorlds(t *testing.T) {
	if os.Getenv(roleEnv) != "" {
		t.Skip("already in a world")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("there is no program ", tool)
		}
	}
	run := func(t *testing.T, role string, flags uintptr, env ...string) {
		c := as(role, "-test.run=^(TestSuite|TestFigures)$", "-test.v="+strconv.FormatBool(testing.Verbose()))
		c.Stdout, c.Stderr = nil, nil
		c.SysProcAttr.Cloneflags = flags
		c.Env = append(c.Env, env...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
	}
	if os.Getuid() != 0 {
		t.Run("own user", func(t *testing.T) { run(t, "enter", 0) })
		return
	}
	t.Run("root", func(t *testing.T) { run(t, "suite", syscall.CLONE_NEWNET|syscall.CLONE_NEWNS) })
	t.Run("subordinate ids", func(t *testing.T) {
		ids := userWithSubordinateIDs()
		if ids == "" {
			t.Skip("no user has entries in /etc/subuid and /etc/subgid")
		}
		run(t, "prepare", 0, userEnv+"="+ids)
	})
}

// userWithSubordinateIDs is uid:gid of the first user of /etc/subuid, or "".
func userWithSubordinateIDs() string {
	text, _ := os.ReadFile("/etc/subuid")
	name, _, _ := strings.Cut(string(text), ":")
	uid, err1 := exec.Command("id", "-u", name).Output()
	gid, err2 := exec.Command("id", "-g", name).Output()
	if name == "" || err1 != nil || err2 != nil {
		return ""
	}
	return strings.TrimSpace(string(uid)) + ":" + strings.TrimSpace(string(gid))
}

// world is a host with something outside, a hub and two containers on its bridge. The hub
// is a namespace of its own, as for a user, or the host's, as for root.
type world struct {
	t                                     *testing.T
	host, outside, hub, container, second *os.File
}

// Socket makes a world's hub a Dialer.
func (w *world) Socket(domain, typ int, prepare func(fd int) error) (fd int, err error) {
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

func newWorld(t *testing.T, hubIsHost bool) *world {
	w := &world{t: t, host: own(t), outside: fresh(t), container: fresh(t), second: fresh(t)}
	w.hub = w.host
	if !hubIsHost {
		w.hub = fresh(t)
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

func own(t *testing.T) *os.File {
	f, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func fresh(t *testing.T) *os.File {
	f, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (w *world) shell(ns *os.File, script string) {
	w.t.Helper()
	err := netns.Do(ns, func() error {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		w.t.Fatalf("%s: %v", script, err)
	}
}

// target is the first container.
func (w *world) target() Target { return targetAt(container4, container6) }

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
func (w *world) dial(ns *os.File, from, to string) (*net.TCPConn, error) {
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
func (w *world) packets(ns *os.File, at string) *net.UDPConn {
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
func (w *world) listen(ns *os.File, at string, handle func(*net.TCPConn)) {
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
