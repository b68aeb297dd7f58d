package oci_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/oci"
	"ctr/pkg/userns"
)

func testTerminal(t *testing.T, r *rig) {
	spec := newSpec(t, "sh", "-c", "tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; ls -l /dev/console; read x; echo got $x")
	spec.Process.Terminal = true
	spec.Process.ConsoleSize = &rspec.Box{Height: 33, Width: 77}
	masters := make(chan *os.File, 1)
	c := r.mustStart(spec, oci.IO{Console: func(m *os.File) { masters <- m }})
	out := talk(t, <-masters, "word\n")
	for _, want := range []string{"/dev/pts/0", "33 77", "all", "/dev/console", "got word"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if exit := wait(t, c); exit.Code != 0 {
		t.Errorf("got %+v", exit)
	}
}

// talk types text at a terminal and returns all that it shows until it hangs up.
func talk(t *testing.T, master *os.File, text string) string {
	t.Helper()
	defer master.Close()
	if _, err := master.WriteString(text); err != nil {
		t.Error(err)
	}
	out, err := io.ReadAll(master)
	if err != nil && !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	return string(out)
}

func testExec(t *testing.T, r *rig) {
	c := r.idle()
	p := process(t, "sh", "-c", "pwd; echo $GREETING; echo no >&2; cat /proc/1/comm; cat /proc/sys/kernel/hostname; exit 5")
	p.Cwd = "/tmp"
	p.Env = append(p.Env, "GREETING=hi")
	stdout, stderr, exit := r.execute(c, p)
	if want := "/tmp\nhi\nsh\nsuite\n"; stdout != want || stderr != "no\n" {
		t.Errorf("got %q and %q, want %q", stdout, stderr, want)
	}
	if exit.Code != 5 {
		t.Errorf("got %+v", exit)
	}
	e, err := c.Exec(context.Background(), process(t, "sleep", "1000"), oci.IO{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, e); exit != (oci.Exit{Code: 128 + int(syscall.SIGUSR1), Signal: syscall.SIGUSR1}) {
		t.Errorf("got %+v", exit)
	}
}

func testExecUserAndLimits(t *testing.T, r *rig) {
	p := process(t, "sh", "-c", "id -u; id -g; ulimit -n; grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status")
	p.Rlimits = []rspec.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 123, Hard: 123}}
	p.NoNewPrivileges = true
	p.Capabilities = &rspec.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}
	want := "0 0 123"
	if !userns.SingleID() {
		p.User = rspec.User{UID: 1000, GID: 1001}
		want = "1000 1001 123"
	}
	stdout, stderr, _ := r.execute(r.idle(), p)
	want += " CapEff: 0000000000000000 CapBnd: 0000000000000001 NoNewPrivs: 1 Seccomp: 2"
	if got := strings.Join(strings.Fields(stdout), " "); got != want {
		t.Errorf("got  %q, %q\nwant %q", got, stderr, want)
	}
}

func testExecTerminal(t *testing.T, r *rig) {
	p := process(t, "sh", "-c", "stty size; [ -t 0 ] && echo terminal; read x; echo got $x; exit 9")
	p.Terminal = true
	p.ConsoleSize = &rspec.Box{Height: 33, Width: 77}
	masters := make(chan *os.File, 1)
	e, err := r.idle().Exec(context.Background(), p, oci.IO{Console: func(m *os.File) { masters <- m }})
	if err != nil {
		t.Fatal(err)
	}
	out := talk(t, <-masters, "word\n")
	for _, want := range []string{"33 77", "terminal", "got word"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if exit := wait(t, e); exit.Code != 9 {
		t.Errorf("got %+v", exit)
	}
}

func testExecErrors(t *testing.T, r *rig) {
	c := r.idle()
	for _, x := range []struct {
		program string
		kind    error
		text    string
	}{
		{"nosuch", oci.ErrNotFound, `exec: "nosuch": executable file not found in $PATH`},
		{"/nosuch", oci.ErrNotFound, "no such file or directory"},
		{"/etc/passwd", oci.ErrNotExecutable, `exec: "/etc/passwd": permission denied`},
		{"/bin/garbage", oci.ErrNotExecutable, "exec format error"},
	} {
		_, err := c.Exec(context.Background(), process(t, x.program), oci.IO{})
		if !errors.Is(err, x.kind) || !strings.Contains(err.Error(), x.text) {
			t.Errorf("%s: got %v", x.program, err)
		}
	}
	if _, _, exit := r.execute(c, process(t, "true")); exit.Code != 0 {
		t.Errorf("the container is broken after failed execs: %+v", exit)
	}
}

func testExecMany(t *testing.T, r *rig) {
	c := r.idle()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			e, err := c.Exec(context.Background(), process(t, "true"), oci.IO{})
			if err != nil {
				t.Errorf("Exec: %v", err)
				return
			}
			if exit, err := e.Wait(); exit.Code != 0 || err != nil {
				t.Errorf("got %+v, %v", exit, err)
			}
		})
	}
	all.Wait()
}

// testSeccomp tries Docker's profile, and one that denies mkdir(2), on the first
// process and on an exec'd one, with and without no_new_privs.
func testSeccomp(t *testing.T, r *rig) {
	deny := func(s *rspec.Spec) {
		s.Linux.Seccomp = &rspec.LinuxSeccomp{
			DefaultAction: rspec.ActAllow,
			Syscalls:      []rspec.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: rspec.ActErrno}},
		}
	}
	dockers := func(*rspec.Spec) {}
	for _, c := range []struct {
		name, command string
		profile       func(*rspec.Spec)
	}{
		{"deny list", "busybox mkdir /tmp/denied", deny},
		{"Docker's", "busybox unshare -U true", dockers},
	} {
		for _, noNewPrivs := range []bool{false, true} {
			spec := newSpec(t, "sh", "-c", c.command)
			spec.Process.NoNewPrivileges = noNewPrivs
			c.profile(spec)
			if _, stderr, exit := r.run(spec); exit.Code == 0 || !strings.Contains(stderr, "not permitted") {
				t.Errorf("%s, the first process: %+v, %q", c.name, exit, stderr)
			}
			if _, stderr, exit := r.execute(r.idle(c.profile), spec.Process); exit.Code == 0 || !strings.Contains(stderr, "not permitted") {
				t.Errorf("%s, an exec'd process: %+v, %q", c.name, exit, stderr)
			}
		}
	}
}

func testPause(t *testing.T, r *rig) {
	c := r.idle()
	if !hasCgroups() {
		if err := errors.Join(c.Pause()); !errors.Is(err, oci.ErrNoCgroup) {
			t.Errorf("Pause: %v", err)
		}
		if err := c.Resume(); !errors.Is(err, oci.ErrNoCgroup) {
			t.Errorf("Resume: %v", err)
		}
		return
	}
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(context.Background(), process(t, "true"), oci.IO{}); !errors.Is(err, oci.ErrPaused) {
		t.Errorf("exec in a paused container: %v", err)
	}
	// A frozen process takes its signal only when it is thawed.
	if err := c.Signal(syscall.SIGTERM, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "frozen", func() bool { return freezer(t, c.Pid()) == "FROZEN" })
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit.Code != 0 {
		t.Errorf("got %+v", exit)
	}
	c = r.idle()
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(); err != nil {
		t.Errorf("deleting a paused container: %v", err)
	}
	c = r.idle()
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(syscall.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit.Signal != syscall.SIGKILL {
		t.Errorf("killing a paused container: %+v", exit)
	}
	if _, err := c.Exec(context.Background(), process(t, "true"), oci.IO{}); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("exec in a dead container: %v", err)
	}
}

// freezer reads the state of the freezer that pid is in.
func freezer(t *testing.T, pid int) string {
	t.Helper()
	for _, line := range strings.Split(readFile(t, "/proc", pid, "cgroup"), "\n") {
		if _, path, ok := strings.Cut(line, ":freezer:"); ok {
			state, err := os.ReadFile("/sys/fs/cgroup/freezer" + path + "/freezer.state")
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(state))
		}
	}
	t.Skip("no freezer of cgroup version 1 on this machine")
	return ""
}

// testLimits asks for a limit: it must hold, or be refused, never be dropped.
func testLimits(t *testing.T, r *rig) {
	limit := int64(64 << 20)
	spec := newSpec(t, "true")
	spec.Linux.Resources = &rspec.LinuxResources{Memory: &rspec.LinuxMemory{Limit: &limit}}
	c, err := r.create(spec, oci.IO{})
	if hasCgroups() {
		if err != nil {
			t.Fatalf("Create: %v", err)
		}
		for _, line := range strings.Split(readFile(t, "/proc", c.Pid(), "cgroup"), "\n") {
			if _, path, ok := strings.Cut(line, ":memory:"); ok {
				if got, err := os.ReadFile("/sys/fs/cgroup/memory" + path + "/memory.limit_in_bytes"); err == nil && strings.TrimSpace(string(got)) != "67108864" {
					t.Errorf("the limit is %s", got)
				}
			}
		}
		return
	}
	if !errors.Is(err, oci.ErrNoCgroup) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("got %v", err)
	}
}
