package initbin

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func installed(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(name, Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestExitCodes(t *testing.T) {
	init := installed(t)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"--", "true"}, 0},
		{[]string{"--", "/bin/sh", "-c", "exit 7"}, 7},
		{[]string{"--", "sh", "-c", "kill -9 $$"}, 128 + 9},
		{[]string{"--", "sh", "-c", "sleep 0 & exit 3"}, 3},
		{[]string{"--", "no-such-program"}, 127},
		{[]string{"--", "/no/such/program"}, 127},
		{[]string{"--", "/etc/passwd"}, 126},
		{[]string{"--"}, 125},
		{[]string{"true"}, 125},
	} {
		err := exec.Command(init, c.args...).Run()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.code)
		}
	}
}

func TestSignalsReachTheProgram(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGWINCH, syscall.Signal(34)} {
		cmd := exec.Command(installed(t), "--", "sh", "-c", fmt.Sprintf("trap 'echo got; exit 9' %d; echo ready; while :; do sleep 0.01; done", sig))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "ready" {
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != "got" {
			t.Errorf("signal %d did not arrive", sig)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
			t.Errorf("signal %d: %v", sig, err)
		}
	}
}

// As pid 1 it is the parent of what its program leaves behind, and reaps it.
func TestOrphansAreReaped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("makes a pid namespace: needs root")
	}
	const orphan = `(sleep 0 &); n=0
		while [ $n -lt 500 ]; do
			grep -q "^State:.Z" /proc/[0-9]*/status 2>/dev/null || [ $n -lt 5 ] || { echo clean; exit; }
			n=$((n+1)); sleep 0.01
		done; echo left`
	cmd := exec.Command("sh", "-c", `mount -t proc proc /proc && exec "$@"`, "sh", installed(t), "--", "sh", "-c", orphan)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "clean\n" {
		t.Errorf("%v: %s", err, out)
	}
}
