package oci_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"ctr/libpod/oci"
	"ctr/pkg/userns"
)

// insideEnv says that this is the test program running as TestAsRoot and its
// siblings start it: in the namespaces that a monitor has.
const insideEnv = "OCI_TEST_INSIDE"

func TestMain(m *testing.M) {
	oci.MaybeInit()
	if os.Getenv(insideEnv) != "" {
		code, done, err := userns.Reexec()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if done {
			os.Exit(code)
		}
	}
	if job := os.Getenv(parentEnv); job != "" {
		os.Exit(parentMain(job))
	}
	os.Exit(m.Run())
}

func TestAsRoot(t *testing.T) { runInside(t, nil, "-test.run=^TestSuite$") }

// TestAsUser has the ranges of subordinate ids that useradd gives.
func TestAsUser(t *testing.T) { runInside(t, ordinaryUser(t), "-test.run=^TestSuite$") }

// TestAsUserWithOneID has no subordinate ids: nobody never does.
func TestAsUserWithOneID(t *testing.T) {
	runInside(t, &syscall.Credential{Uid: 65534, Gid: 65534}, "-test.run=^TestSuite$")
}

// TestAsUserWithCgroup has a delegated cgroup of version 2, as a systemd user session
// gives it.
func TestAsUserWithCgroup(t *testing.T) {
	who := ordinaryUser(t)
	delegate := fmt.Sprintf("mount -t cgroup2 cgroup2 /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir -p %[1]s/own && chown -R %[2]d %[1]s && echo $$ > %[1]s/own/cgroup.procs && cd / && exec setpriv --reuid %[2]d --regid %[3]d --clear-groups \"$0\" \"$@\"",
		delegated, who.Uid, who.Gid)
	t.Cleanup(func() {
		for _, dir := range []string{"/own", ""} {
			_ = os.Remove("/sys/fs/cgroup/unified/" + delegated + dir)
		}
	})
	runInsideBy(t, []string{"sh", "-c", delegate}, who, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}, "-test.run=^TestDelegated$")
}

func ordinaryUser(t testing.TB) *syscall.Credential {
	t.Helper()
	needRoot(t)
	const name = "ctr-oci-test"
	u, err := user.Lookup(name)
	if err != nil {
		if out, err := exec.Command("useradd", "-m", name).CombinedOutput(); err != nil {
			t.Skipf("no ordinary user can be made: useradd: %v: %s", err, out)
		}
		if u, err = user.Lookup(name); err != nil {
			t.Fatal(err)
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to act as root and as other users")
	}
}

// runInside runs part of this test program again, as who (nil is root in a mount
// namespace of its own).
func runInside(t testing.TB, who *syscall.Credential, args ...string) {
	t.Helper()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if who != nil {
		attr = &syscall.SysProcAttr{Credential: who}
	}
	runInsideBy(t, nil, who, attr, args...)
}

// runInsideBy is runInside through a command that prepares something and executes
// its arguments.
func runInsideBy(t testing.TB, by []string, who *syscall.Credential, attr *syscall.SysProcAttr, args ...string) {
	t.Helper()
	needRoot(t)
	home, err := os.MkdirTemp("/tmp", "oci-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	// libcontainer protects the program by an overlay of its directory, which must
	// not hold the directory of the containers' state.
	program, tmp := filepath.Join(home, "bin", "oci.test"), filepath.Join(home, "tmp")
	for dir, mode := range map[string]os.FileMode{filepath.Dir(program): 0o755, tmp: 0o700} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, "/proc/self/exe", program, 0o755)
	if who != nil {
		if err := os.Chown(tmp, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	args = append(args, "-test.timeout=4m")
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	var out bytes.Buffer
	words := slices.Concat(by, []string{program}, args)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = []string{insideEnv + "=1", "HOME=" + home, "TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")}
	cmd.Dir = home
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = attr
	err = cmd.Run()
	t.Logf("%s", out.Bytes())
	if err != nil {
		t.Errorf("inside: %v", err)
	}
}

func copyFile(t testing.TB, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}
