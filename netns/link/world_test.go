package link

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/pkg/userns"
)

// The suite runs in worlds made for it: a network namespace that plays the host,
// with address 203.0.113.1 and nothing behind it, and a mount namespace with a
// resolv.conf and a /dev/net/tun of its own. This test program executes itself, in
// steps, to get there as a monitor of ctr would:
//
//	prepare     as root: a mount namespace with /dev/net/tun open to all; then becomes the user
//	enter       as the user: pkg/userns, as ctr does it
//	namespaces  in ctr's user namespace: makes network and mount namespaces
//	world       in the host's place: runs TestSuite
//	hub         on a host of its own: runs TestUplink, see hub_test.go
//	probe       in the container's network namespace: see probe_test.go
//	victim      a monitor that is going to be killed
const roleEnv = "NETNS_TEST_ROLE"

const (
	hostAddress  = "203.0.113.1"
	hostAddress6 = "2001:db8::1"
	resolvFile   = "NETNS_TEST_RESOLV"
	userEnv      = "NETNS_TEST_USER" // uid:gid
	runEnv       = "NETNS_TEST_RUN"  // of the suite, instead of all
)

func TestMain(m *testing.M) {
	if os.Args[0] == Name {
		os.Exit(Main())
	}
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "", "suite", "hub":
		os.Exit(m.Run())
	case "prepare":
		err = prepare()
	case "enter":
		err = enter()
	case "namespaces": // in ctr's user namespace, where network namespaces may be made
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
		c := as("world", os.Args[1:]...)
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
		err = c.Run()
	case "world":
		if err = makeWorld(); err == nil {
			os.Setenv(roleEnv, "suite")
			os.Exit(m.Run())
		}
	case "victim":
		err = victim()
	case "probe":
		err = probe(os.Args[1:])
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

// makeWorld turns the process's own network and mount namespaces into the suite's host.
func makeWorld() error {
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "host0"}, PeerName: "host1"}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding interfaces: %w", err)
	}
	for _, name := range []string{"host1", "host0"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	host0, err := netlink.LinkByName("host0")
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(hostAddress), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(host0, address); err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: host0.Attrs().Index, Gw: net.ParseIP("203.0.113.254")}
	if err := netlink.RouteAdd(route); err != nil {
		return err
	}
	if err := addIPv6(host0); err != nil {
		return fmt.Errorf("IPv6: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		return err
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	os.Setenv(resolvFile, "/mnt/resolv.conf")
	if err := os.WriteFile("/mnt/resolv.conf", nil, 0o644); err != nil {
		return err
	}
	return unix.Mount("/mnt/resolv.conf", "/etc/resolv.conf", "", unix.MS_BIND, "")
}

func addIPv6(link netlink.Link) error {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return nil // a kernel without it
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(hostAddress6), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(link, address); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP("2001:db8::fe")})
}

// TestWorlds runs TestSuite in each world that this machine can make.
func TestWorlds(t *testing.T) {
	if os.Getenv(roleEnv) != "" {
		t.Skip("already in a world")
	}
	args := []string{"-test.run=" + cmp.Or(os.Getenv(runEnv), "^(TestSuite|TestHub)$"), "-test.v=" + strconv.FormatBool(testing.Verbose())}
	run := func(t *testing.T, c *exec.Cmd) {
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
	}
	command := func(role string, flags uintptr) *exec.Cmd {
		c := as(role, args...)
		c.Stdout, c.Stderr = nil, nil
		c.SysProcAttr.Cloneflags = flags
		return c
	}
	if os.Getuid() != 0 {
		t.Run("own user", func(t *testing.T) { run(t, command("enter", 0)) })
		return
	}
	t.Run("root", func(t *testing.T) {
		run(t, command("world", syscall.CLONE_NEWNET|syscall.CLONE_NEWNS))
	})
	t.Run("one id", func(t *testing.T) {
		c := command("prepare", syscall.CLONE_NEWNS)
		c.Env = append(c.Env, userEnv+"=65533:65533")
		run(t, c)
	})
	t.Run("subordinate ids", func(t *testing.T) {
		ids := userWithSubordinateIDs()
		if ids == "" {
			t.Skip("no user has entries in /etc/subuid and /etc/subgid")
		}
		c := command("prepare", syscall.CLONE_NEWNS)
		c.Env = append(c.Env, userEnv+"="+ids)
		run(t, c)
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
