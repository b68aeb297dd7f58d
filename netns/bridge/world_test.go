package bridge

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"ctr/pkg/userns"
)

// All tests but TestWorlds run in worlds made for them: a network namespace that
// plays the host, as root, and in ctr's user namespace as an ordinary user. This
// program executes itself to get there.
//
//	enter   as the user: pkg/userns, as ctr does it
//	spawn   in ctr's user namespace: makes the host's network namespace
//	world   in the host's place: runs the tests
//	holder  has a hub open until its stdin ends
const roleEnv = "BRIDGE_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "enter":
		err = enter()
	case "spawn":
		c := as("world", os.Args[1:]...)
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
		err = c.Run()
	case "world":
		if err = makeHost(); err == nil {
			os.Exit(m.Run())
		}
	case "holder":
		err = hold()
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

func enter() error {
	runtime.LockOSThread()
	os.Setenv(roleEnv, "spawn")
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
		return fmt.Errorf("the tests ended with %d", ws.ExitStatus())
	}
	return nil
}

const hostAddress, outsideAddress = "198.51.100.1", "198.51.100.2"

// makeHost gives the process's own network namespace an uplink, host0, whose other
// end, host1, is the outside until a test moves it away.
func makeHost() error {
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "host0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "host1", PeerTxQLen: -1}); err != nil {
		return err
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
	link, err := netlink.LinkByName("host0")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(hostAddress + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: []byte{198, 51, 100, 2}})
}

// inWorlds runs this program's tests that the arguments choose in each world.
func inWorlds(t *testing.T, args ...string) {
	if os.Getenv(roleEnv) != "" {
		t.Skip("already in a world")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to make the worlds")
	}
	run := func(name, role string, flags uintptr, user *syscall.Credential) {
		t.Run(name, func(t *testing.T) {
			c := as(role, args...)
			c.Stdout, c.Stderr = nil, nil
			c.SysProcAttr.Cloneflags, c.SysProcAttr.Credential = flags, user
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
	run("root", "world", syscall.CLONE_NEWNET, nil)
	user := userWithSubordinateIDs()
	if user == nil {
		t.Skip("no user has entries in /etc/subuid")
	}
	run("user", "enter", 0, user)
}

func TestWorlds(t *testing.T) {
	inWorlds(t, "-test.run=^TestHub", "-test.v="+strconv.FormatBool(testing.Verbose()), "-test.timeout=300s")
}

// TestBench runs the benchmarks in the worlds: go test -run TestBench -v -args bench
func TestBench(t *testing.T) {
	if len(os.Args) == 0 || os.Args[len(os.Args)-1] != "bench" {
		t.Skip("run with -v -args bench")
	}
	inWorlds(t, "-test.run=^$", "-test.bench=.", "-test.benchtime=100x")
}

// inWorld skips the test outside of a world.
func inWorld(t testing.TB) {
	if os.Getenv(roleEnv) != "world" {
		t.Skip("runs in TestWorlds")
	}
}

func userWithSubordinateIDs() *syscall.Credential {
	text, _ := os.ReadFile("/etc/subuid")
	name, _, _ := strings.Cut(string(text), ":")
	id := func(flag string) uint32 {
		out, _ := exec.Command("id", flag, name).Output()
		n, _ := strconv.ParseUint(strings.TrimSpace(string(out)), 10, 32)
		return uint32(n)
	}
	if name == "" || id("-u") == 0 || id("-g") == 0 {
		return nil
	}
	return &syscall.Credential{Uid: id("-u"), Gid: id("-g")}
}

func isRoot() bool { return !userns.Inside() }
