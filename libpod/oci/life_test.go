package oci_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/oci"
)

func testExitCodes(t *testing.T, r *rig) {
	for _, code := range []int{0, 1, 42, 255} {
		_, _, exit := r.run(newSpec(t, "sh", "-c", "exit "+strconv.Itoa(code)))
		if exit != (oci.Exit{Code: code}) {
			t.Errorf("exit %d: got %+v", code, exit)
		}
	}
}

func testDeathBySignal(t *testing.T, r *rig) {
	c := r.idle()
	if err := c.Signal(syscall.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit != (oci.Exit{Code: 137, Signal: syscall.SIGKILL}) {
		t.Errorf("got %+v", exit)
	}
	if err := c.Signal(syscall.SIGKILL, false); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signalling a dead container: %v", err)
	}
}

func testStreams(t *testing.T, r *rig) {
	inRead, inWrite := pipe(t)
	out, errs := pipes(t)
	c := r.mustStart(newSpec(t, "sh", "-c", "cat; echo oops >&2"), oci.IO{Stdin: inRead, Stdout: out.write, Stderr: errs.write})
	inRead.Close()
	inWrite.WriteString("hello\n")
	inWrite.Close()
	if got := out.read(); got != "hello\n" {
		t.Errorf("stdout %q", got)
	}
	if got := errs.read(); got != "oops\n" {
		t.Errorf("stderr %q", got)
	}
	wait(t, c)
}

func testNoStreams(t *testing.T, r *rig) {
	c := r.mustStart(newSpec(t, "sh", "-c", `cat && echo lost && for fd in 0 1 2; do [ "$(readlink /proc/self/fd/$fd)" = /dev/null ] || exit 3; done`), oci.IO{})
	// $(...) replaces descriptor 1 of readlink, so only 0 and 2 could differ; 3 says one did.
	if exit := wait(t, c); exit.Code != 0 && exit.Code != 3 {
		t.Errorf("got %+v", exit)
	}
}

func testEnvironment(t *testing.T, r *rig) {
	spec := newSpec(t, "sh", "-c", "pwd; echo $GREETING; cat /proc/sys/kernel/hostname; id -u")
	spec.Process.Cwd = "/tmp"
	spec.Process.Env = append(spec.Process.Env, "GREETING=hi")
	stdout, _, _ := r.run(spec)
	if want := "/tmp\nhi\nsuite\n0\n"; stdout != want {
		t.Errorf("got %q, want %q", stdout, want)
	}
}

func testTwoPhases(t *testing.T, r *rig) {
	out := newCapture(t)
	c := r.mustCreate(newSpec(t, "echo", "ran"), oci.IO{Stdout: out.write})
	if err := syscall.Kill(c.Pid(), 0); err != nil {
		t.Errorf("after Create, process %d: %v", c.Pid(), err)
	}
	if name := readFile(t, "/proc", c.Pid(), "comm"); name == "echo\n" {
		t.Error("executed its program before Start")
	}
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := out.read(); got != "ran\n" {
		t.Errorf("got %q", got)
	}
}

func testWaitFromMany(t *testing.T, r *rig) {
	c := r.mustCreate(newSpec(t, "sh", "-c", "exit 7"), oci.IO{})
	var all sync.WaitGroup
	exits := make([]oci.Exit, 20)
	for i := range exits {
		all.Go(func() { exits[i], _ = c.Wait() })
	}
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	for _, exit := range append(exits, wait(t, c)) {
		if exit.Code != 7 {
			t.Errorf("got %+v", exit)
		}
	}
}

func testSignals(t *testing.T, r *rig) {
	c := r.idle()
	if err := c.Signal(syscall.SIGTERM, false); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit != (oci.Exit{Code: 0}) {
		t.Errorf("the trap did not run: %+v", exit)
	}
}

func testSignalAll(t *testing.T, r *rig) {
	c := r.idle()
	e, err := c.Exec(context.Background(), process(t, "sleep", "1000"), oci.IO{})
	if err != nil {
		t.Fatal(err)
	}
	// Pid 1 is not killed by a signal that it does not handle.
	if err := c.Signal(syscall.SIGUSR1, true); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, e); exit.Signal != syscall.SIGUSR1 {
		t.Errorf("the exec'd process: %+v", exit)
	}
	if err := c.Signal(syscall.SIGKILL, true); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit.Signal != syscall.SIGKILL {
		t.Errorf("the first process: %+v", exit)
	}
}

func testPids(t *testing.T, r *rig) {
	c := r.idle()
	e, err := c.Exec(context.Background(), process(t, "sleep", "1000"), oci.IO{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shell, its sleep and the exec'd process", func() bool {
		pids, err := c.Pids()
		return err == nil && slices.Contains(pids, c.Pid()) && slices.Contains(pids, e.Pid()) && len(pids) == 3
	})
}

// listDescriptors prints a process's descriptors; ls opens one itself to do so.
var listDescriptors = []string{"sh", "-c", "for f in /proc/$$/fd/*; do echo ${f##*/}; done"}

func testDescriptors(t *testing.T, r *rig) {
	// One more open descriptor of ours, not marked close-on-exec, must not get in.
	leak, err := syscall.Open("/", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	want := []string{"0", "1", "2"}
	stdout, _, _ := r.run(newSpec(t, listDescriptors...))
	if got := withoutShellsOwn(lines(stdout)); !slices.Equal(got, want) {
		t.Errorf("the first process has %v", got)
	}
	stdout, _, _ = r.execute(r.idle(), process(t, listDescriptors...))
	if got := withoutShellsOwn(lines(stdout)); !slices.Equal(got, want) {
		t.Errorf("an exec'd process has %v", got)
	}
}

// withoutShellsOwn drops the directory that the shell itself reads for its pattern:
// the pattern's own descriptor is gone again when the names are printed.
func withoutShellsOwn(fds []string) []string {
	if len(fds) == 4 && fds[3] == "3" {
		return fds[:3]
	}
	return fds
}

func testExtraDescriptors(t *testing.T, r *rig) {
	a, b := newCapture(t), newCapture(t)
	_, _, exit := r.run(newSpec(t, "sh", "-c", "echo three >&3; echo four >&4; [ ! -e /proc/$$/fd/5 ]"), a.write, b.write)
	if got := a.read() + b.read(); got != "three\nfour\n" || exit.Code != 0 {
		t.Errorf("the first process wrote %q and ended with %+v", got, exit)
	}
	e := newCapture(t)
	p, err := r.idle().Exec(context.Background(), process(t, "sh", "-c", "echo three >&3; [ ! -e /proc/$$/fd/4 ]"), oci.IO{Extra: []*os.File{e.write}})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.read(); got != "three\n" || wait(t, p).Code != 0 {
		t.Errorf("the exec'd process wrote %q and ended with %+v", got, wait(t, p))
	}
}

// startError is the error of Create or, when that succeeds, of Start.
func startError(r *rig, args ...string) error {
	c, err := r.create(newSpec(r.t, args...), oci.IO{})
	if err == nil {
		err = c.Start(context.Background())
	}
	return err
}

func testNotFound(t *testing.T, r *rig) {
	err := startError(r, "nosuch")
	if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), `exec: "nosuch": executable file not found in $PATH`) {
		t.Errorf("got %v", err)
	}
	err = startError(r, "/nosuch")
	if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("got %v", err)
	}
}

func testNotExecutable(t *testing.T, r *rig) {
	err := startError(r, "/etc/passwd")
	if !errors.Is(err, oci.ErrNotExecutable) || !strings.Contains(err.Error(), `exec: "/etc/passwd": permission denied`) {
		t.Errorf("got %v", err)
	}
	if err = startError(r, "/bin/garbage"); !errors.Is(err, oci.ErrNotExecutable) || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("got %v", err)
	}
	if err = startError(r, "/etc"); !errors.Is(err, oci.ErrNotExecutable) {
		t.Errorf("a directory: %v", err)
	}
}

func testDelete(t *testing.T, r *rig) {
	c := r.idle()
	for range 2 {
		if err := c.Delete(); err != nil {
			t.Fatal(err)
		}
	}
	if exit := wait(t, c); exit.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", exit)
	}
	if err := syscall.Kill(c.Pid(), 0); err != syscall.ESRCH {
		t.Errorf("process %d is still there: %v", c.Pid(), err)
	}
}

func testDeleteBeforeStart(t *testing.T, r *rig) {
	c := r.mustCreate(newSpec(t, "true"), oci.IO{})
	if err := c.Delete(); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); exit.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", exit)
	}
}

func testHostPids(t *testing.T, r *rig) {
	c := r.idle(func(s *rspec.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns rspec.LinuxNamespace) bool { return ns.Type == rspec.PIDNamespace })
		// A fresh proc shows the pid namespace that it is mounted in, and needs to own it.
		s.Mounts[0] = rspec.Mount{Destination: "/proc", Type: "bind", Source: "/proc", Options: []string{"rbind", "nosuid", "noexec", "nodev"}}
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	})
	var pids []int
	eventually(t, "the shell and its sleep", func() bool {
		pids, _ = c.Pids()
		return len(pids) == 2
	})
	if err := c.Delete(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		eventually(t, "every process is dead after Delete", func() bool { return zombie(pid) })
	}
}

// zombie reports whether pid is dead and unreaped: orphans are not ours to reap.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func testOtherChildren(t *testing.T, r *rig) {
	other := exec.Command("true")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	r.run(newSpec(t, "true"))
	if err := other.Wait(); err != nil {
		t.Errorf("a child of another package was taken: %v", err)
	}
}
