package storage

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.podman.io/storage/pkg/reexec"
)

// The tests of mounts run again in children of this test program: as root in a new
// mount namespace, and as an ordinary user in a new user namespace with one id.
const (
	stageEnv  = "STORAGE_TEST_STAGE"
	plainUser = 65534
)

func TestMain(m *testing.M) {
	if reexec.Init() { // containers/storage unpacks layers in a child of its own
		return
	}
	if os.Getenv(stageEnv) == "user" { // now an ordinary user: make the user namespace
		cmd := child(os.Args[1:], "inside", &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		})
		if err := cmd.Run(); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(args []string, stage string, attr *syscall.SysProcAttr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	cmd.SysProcAttr = attr
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// inChild reports whether the test is already in a child. In the parent it runs the
// test in both children and skips what follows.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(stageEnv) != "" {
		return true
	}
	needRoot(t)
	for name, start := range map[string]func([]string) *exec.Cmd{
		"root": func(args []string) *exec.Cmd {
			return child(args, "inside", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS})
		},
		"user namespace": func(args []string) *exec.Cmd {
			return child(args, "user", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: plainUser, Gid: plainUser}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := start([]string{"-test.run=^" + t.Name()[:len(t.Name())-len(name)-1] + "$", "-test.v"})
			cmd.Stdout, cmd.Stderr = nil, nil
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	return false
}

// asUser runs the test again as an ordinary user and reports false in the parent.
func asUser(t *testing.T) bool {
	t.Helper()
	if os.Getenv(stageEnv) != "" {
		return true
	}
	needRoot(t)
	out, err := func() ([]byte, error) {
		cmd := child([]string{"-test.run=^" + t.Name() + "$", "-test.v"}, "plain",
			&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: plainUser, Gid: plainUser}})
		cmd.Stdout, cmd.Stderr = nil, nil
		return cmd.CombinedOutput()
	}()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make namespaces and to become another user")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
