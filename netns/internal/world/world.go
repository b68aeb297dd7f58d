// Package world makes the worlds that tests of networks run in: network and mount
// namespaces of their own, as root and as an ordinary user in ctr's user namespace.
// The test program executes itself, in steps, to get there as a monitor of ctr would:
//
//	prepare     as root: a mount namespace, with /dev/net/tun open to all; then becomes the user
//	enter       as the user: pkg/userns, as ctr does it
//	namespaces  in ctr's user namespace: makes network and mount namespaces
//	tests       in the host's place: runs the tests
//
// Only tests import it: TestMain calls [Main], and one test of the program calls [Run].
package world

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/pkg/userns"
)

const (
	roleEnv = "NETNS_TEST_ROLE"
	idsEnv  = "NETNS_TEST_IDS" // of the user
)

// Tests is the role of a process that runs tests in a world.
const Tests = "tests"

// Program is what a test program has beside its tests.
type Program struct {
	TUN   bool                    // users may open /dev/net/tun
	Host  func() error            // makes the process's own namespaces the host of the tests; may be nil
	Roles map[string]func() error // what else it does, when it is run by Command
}

// Main does what this process's role is, or else runs the tests, and exits.
func Main(m *testing.M, p Program) {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "prepare":
		err = p.prepare()
	case "enter":
		err = enter()
	case "namespaces":
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
		err = inNamespaces(os.Args[1:]).Run()
	case Tests:
		if p.Host != nil {
			err = p.Host()
		}
		if err == nil {
			os.Exit(m.Run())
		}
		err = fmt.Errorf("making the host of the tests: %w", err)
	default:
		if play := p.Roles[role]; play != nil {
			err = play()
		} else {
			err = fmt.Errorf("unknown role %q", role)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Command is a command that runs this program in a role. It dies with the thread that starts it.
func Command(role string, args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), roleEnv+"="+role)
	c.Stdout, c.Stderr, c.Dir = os.Stdout, os.Stderr, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Need skips the test in a process that has another role.
func Need(t testing.TB, role string) {
	t.Helper()
	if os.Getenv(roleEnv) != role {
		t.Skipf("runs in a world of its own, in the role %q", role)
	}
}

// inNamespaces is a command that runs the tests in network and mount namespaces of their own.
func inNamespaces(args []string) *exec.Cmd {
	c := Command(Tests, args...)
	c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	return c
}

func (p Program) prepare() error {
	if p.TUN {
		if err := openTUN(); err != nil {
			return fmt.Errorf("giving the tests a /dev/net/tun: %w", err)
		}
	}
	user := new(syscall.Credential)
	if _, err := fmt.Sscanf(os.Getenv(idsEnv), "%d:%d", &user.Uid, &user.Gid); err != nil {
		return fmt.Errorf("bad %s: %w", idsEnv, err)
	}
	c := Command("enter", os.Args[1:]...)
	c.SysProcAttr.Credential = user
	return c.Run()
}

func openTUN() error {
	if err := Scratch(); err != nil {
		return err
	}
	const tun = "/mnt/tun"
	if err := unix.Mknod(tun, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		return err
	}
	if err := os.Chmod(tun, 0o666); err != nil {
		return err
	}
	return unix.Mount(tun, "/dev/net/tun", "", unix.MS_BIND, "")
}

// Scratch makes /mnt an empty directory that only this process's mount namespace
// has, and keeps all that is mounted from now on in that namespace.
func Scratch() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return nil
}

func enter() error {
	runtime.LockOSThread() // the child asks to die with the thread that made it
	os.Setenv(roleEnv, "namespaces")
	pid, _, err := userns.Command{
		Args: os.Args, Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	}.Spawn()
	if err != nil {
		return fmt.Errorf("entering ctr's user namespace: %w", err)
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
		return fmt.Errorf("waiting for the tests: %w", err)
	}
	if ws.ExitStatus() != 0 {
		return fmt.Errorf("the tests ended with %d", ws.ExitStatus())
	}
	return nil
}

// Root and OneID are ids of users of worlds, uid:gid; the latter has none but these.
const Root, OneID = "0:0", "65533:65533"

// Subordinate is the ids of the first user of /etc/subuid, or "".
func Subordinate() string {
	text, _ := os.ReadFile("/etc/subuid")
	name, _, _ := strings.Cut(string(text), ":")
	uid, err1 := exec.Command("id", "-u", name).Output()
	gid, err2 := exec.Command("id", "-g", name).Output()
	ids := strings.TrimSpace(string(uid)) + ":" + strings.TrimSpace(string(gid))
	if name == "" || err1 != nil || err2 != nil || ids == Root {
		return ""
	}
	return ids
}

// User is whom tests run as: the name of the subtest, and uid:gid, or "" where the machine has nobody.
type User struct{ Name, IDs string }

// Run runs this program's tests that the arguments choose in a world for each user.
// Where it is not root, it can make only one, for its own user.
func Run(t *testing.T, users []User, args ...string) {
	if os.Getenv(roleEnv) != "" {
		t.Skip("already in a world")
	}
	args = append([]string{"-test.v=" + strconv.FormatBool(testing.Verbose())}, args...)
	if os.Getuid() != 0 {
		t.Run("own user", func(t *testing.T) { run(t, Command("enter", args...)) })
		return
	}
	for _, u := range users {
		t.Run(u.Name, func(t *testing.T) {
			switch u.IDs {
			case "":
				t.Skip("no user has entries in /etc/subuid and /etc/subgid")
			case Root:
				run(t, inNamespaces(args))
			default:
				c := Command("prepare", args...)
				c.Env = append(c.Env, idsEnv+"="+u.IDs)
				c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
				run(t, c)
			}
		})
	}
}

func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.Stdout, c.Stderr = nil, nil
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
