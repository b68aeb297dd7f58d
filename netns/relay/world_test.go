package relay

import (
	"errors"
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

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/pkg/userns"
)

// The suite runs in worlds made for it, as root and as an ordinary user in ctr's user
// namespace. This test program executes itself, in steps, to get there:
//
//	prepare     as root: a mount namespace with /dev/net/tun open to all; then becomes the user
//	enter       as the user: pkg/userns, as ctr does it
//	namespaces  in ctr's user namespace: makes network and mount namespaces
//	world       in the host's place: runs TestSuite
const roleEnv, userEnv = "RELAY_TEST_ROLE", "RELAY_TEST_USER" // the latter uid:gid

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "", "suite":
		os.Exit(m.Run())
	case "prepare":
		err = prepare()
	case "enter":
		err = enter()
	case "namespaces":
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
		c := as("world", os.Args[1:]...)
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
		err = c.Run()
	case "world":
		os.Setenv(roleEnv, "suite")
		os.Exit(m.Run())
	default:
		err = fmt.Errorf("unknown role %q", role)
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
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	const tun = "/mnt/tun"
	if err := unix.Mknod(tun, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		return err
	}
	if err := os.Chmod(tun, 0o666); err != nil {
		return err
	}
	if err := unix.Mount(tun, "/dev/net/tun", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("giving the test a /dev/net/tun: %w", err)
	}
	uid, gid, _ := strings.Cut(os.Getenv(userEnv), ":")
	u, err1 := strconv.Atoi(uid)
	g, err2 := strconv.Atoi(gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("bad %s: %w", userEnv, err)
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

// TestWorlds runs TestSuite in each world that this machine can make.
func TestWorlds(t *testing.T) {
	if os.Getenv(roleEnv) != "" {
		t.Skip("already in a world")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("making a hub for the tests needs %s", tool)
		}
	}
	args := []string{"-test.run=^TestSuite$", "-test.v=" + strconv.FormatBool(testing.Verbose())}
	run := func(t *testing.T, role, ids string, flags uintptr) {
		c := as(role, args...)
		c.Env = append(c.Env, userEnv+"="+ids)
		c.Stdout, c.Stderr, c.SysProcAttr.Cloneflags = nil, nil, flags
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
	}
	if os.Getuid() != 0 {
		t.Run("own user", func(t *testing.T) { run(t, "enter", "", 0) })
		return
	}
	t.Run("root", func(t *testing.T) { run(t, "world", "", syscall.CLONE_NEWNET|syscall.CLONE_NEWNS) })
	t.Run("user", func(t *testing.T) {
		ids := userWithSubordinateIDs()
		if ids == "" {
			ids = "65533:65533"
		}
		run(t, "prepare", ids, syscall.CLONE_NEWNS)
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

// A world is: the host, which is this process's own namespace (interface out0), the
// outside at the other end of its cable, and a hub with three containers, the last in
// a network with an ordinary MTU.
//
//	outside 198.51.100.2 --- .1 host      hub 10.88.0.1 --- .2 .3 containers
//	                                          10.89.0.1 --- .4
type world struct {
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

func newWorld(t *testing.T) *world {
	w := &world{outside: newNS(t), hub: newNS(t)}
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	cable(t, host, w.outside, "out0")
	in(t, host, `ip link set lo up
		ip addr replace `+hostAddr+`/24 dev out0; ip addr replace `+hostAddr6+`/64 dev out0 nodad
		echo "0 0" > /proc/sys/net/ipv4/ping_group_range`)
	in(t, w.outside, `ip addr add `+outsideAddr+`/24 dev eth0; ip addr add `+outsideAddr6+`/64 dev eth0 nodad
		ip addr add 192.0.2.7/32 dev lo`)
	in(t, w.hub, `echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
		for f in -4 -6; do ip $f rule add fwmark 7 lookup 100; ip $f route add local default dev lo table 100; done
		nft -f - <<'E'
`+rules+`E`)
	for i, mtu := range []string{"65520", "65520", "1500"} {
		w.containers[i] = newNS(t)
		port := "c" + strconv.Itoa(i)
		cable(t, w.hub, w.containers[i], port)
		net := 88
		if mtu == "1500" {
			net = 89
		}
		in(t, w.hub, fmt.Sprintf(`ip link set %[1]s mtu %[2]s
			if ! ip link set %[1]s master br%[3]d; then
				ip link add br%[3]d mtu %[2]s type bridge
				ip addr add 10.%[3]d.0.1/16 dev br%[3]d; ip addr add fd00:%[3]d::1/64 dev br%[3]d nodad
				ip link set %[1]s master br%[3]d; ip link set br%[3]d up
			fi`, port, mtu, net))
		in(t, w.containers[i], fmt.Sprintf(`ip link set eth0 mtu %[1]s
			ip addr add 10.%[2]d.0.%[3]d/16 dev eth0; ip addr add fd00:%[2]d::%[3]d/64 dev eth0 nodad
			ip route add default via 10.%[2]d.0.1; ip -6 route add default via fd00:%[2]d::1`, mtu, net, i+2))
	}
	return w
}

func newNS(t *testing.T) *os.File {
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
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
		return set(name)
	})
	if err == nil {
		err = netns.Do(b, func() error { return set("eth0") })
	}
	if err != nil {
		t.Fatalf("cable %s: %v", name, err)
	}
}

func set(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// in runs a shell script in a namespace.
func in(t *testing.T, ns *os.File, script string) {
	t.Helper()
	err := netns.Do(ns, func() error {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s\n%v", script, err)
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
