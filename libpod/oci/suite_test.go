package oci_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/oci"
)

// executors are the implementations that must behave alike.
func executors(t testing.TB) map[string]oci.Executor {
	t.Helper()
	all := map[string]oci.Executor{"builtin": oci.NewBuiltin()}
	for _, name := range []string{"crun", "runc"} {
		if _, err := exec.LookPath(name); err != nil {
			continue
		}
		external, err := oci.NewExternal(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = external
	}
	return all
}

func TestSuite(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("run by TestAsRoot, TestAsUser and TestAsUserWithOneID in their namespaces")
	}
	all := executors(t)
	for _, name := range []string{"builtin", "crun", "runc"} {
		t.Run(name, func(t *testing.T) {
			if all[name] == nil {
				t.Skipf("%s is not installed (Debian: apt install %s)", name, name)
			}
			for _, c := range suite {
				t.Run(c.name, func(t *testing.T) { c.test(t, &rig{t: t, name: name, exec: all[name]}) })
			}
		})
	}
}

var suite = []struct {
	name string
	test func(*testing.T, *rig)
}{
	{"exit codes", testExitCodes},
	{"death by signal", testDeathBySignal},
	{"streams", testStreams},
	{"no streams", testNoStreams},
	{"environment", testEnvironment},
	{"two phases", testTwoPhases},
	{"wait from many callers", testWaitFromMany},
	{"signals", testSignals},
	{"signal all", testSignalAll},
	{"pids", testPids},
	{"descriptors", testDescriptors},
	{"extra descriptors", testExtraDescriptors},
	{"not found", testNotFound},
	{"not executable", testNotExecutable},
	{"delete", testDelete},
	{"delete before start", testDeleteBeforeStart},
	{"terminal", testTerminal},
	{"exec", testExec},
	{"exec user and limits", testExecUserAndLimits},
	{"exec terminal", testExecTerminal},
	{"exec errors", testExecErrors},
	{"exec many at once", testExecMany},
	{"seccomp", testSeccomp},
	{"pause", testPause},
	{"limits", testLimits},
	{"host pids", testHostPids},
	{"other children are left alone", testOtherChildren},
	{"killed parent", testKilledParent},
}

// rig starts containers with one executor.
type rig struct {
	t    *testing.T
	name string
	exec oci.Executor
}

var serial atomic.Int64

// create creates a container that is deleted when the test ends.
func (r *rig) create(spec *rspec.Spec, stdio oci.IO) (oci.Container, error) {
	id := fmt.Sprintf("suite-%d-%d", os.Getpid(), serial.Add(1))
	c, err := r.exec.Create(context.Background(), id, r.t.TempDir(), spec, stdio)
	if err == nil {
		r.t.Cleanup(func() {
			if err := c.Delete(); err != nil {
				r.t.Errorf("Delete: %v", err)
			}
		})
	}
	return c, err
}

func (r *rig) mustCreate(spec *rspec.Spec, stdio oci.IO) oci.Container {
	r.t.Helper()
	c, err := r.create(spec, stdio)
	if err != nil {
		r.t.Fatalf("Create: %v", err)
	}
	return c
}

func (r *rig) mustStart(spec *rspec.Spec, stdio oci.IO) oci.Container {
	r.t.Helper()
	c := r.mustCreate(spec, stdio)
	if err := c.Start(context.Background()); err != nil {
		r.t.Fatalf("Start: %v", err)
	}
	return c
}

// idle is a container that a test may exec in: it is up when idle returns.
func (r *rig) idle(edit ...func(*rspec.Spec)) oci.Container {
	r.t.Helper()
	spec := newSpec(r.t, "sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done")
	for _, e := range edit {
		e(spec)
	}
	read, write := pipe(r.t)
	c := r.mustStart(spec, oci.IO{Stdout: write})
	write.Close()
	if _, err := io.ReadFull(read, make([]byte, 3)); err != nil {
		r.t.Fatalf("the container did not come up: %v", err)
	}
	return c
}

// run runs args to the end and returns what they wrote.
func (r *rig) run(spec *rspec.Spec, extra ...*os.File) (stdout, stderr string, exit oci.Exit) {
	r.t.Helper()
	out, err := pipes(r.t)
	c := r.mustStart(spec, oci.IO{Stdout: out.write, Stderr: err.write, Extra: extra})
	stdout, stderr = out.read(), err.read()
	return stdout, stderr, wait(r.t, c)
}

// execute runs p in c to the end.
func (r *rig) execute(c oci.Container, p *rspec.Process) (stdout, stderr string, exit oci.Exit) {
	r.t.Helper()
	out, errs := pipes(r.t)
	e, err := c.Exec(context.Background(), p, oci.IO{Stdout: out.write, Stderr: errs.write})
	if err != nil {
		r.t.Fatalf("Exec %q: %v", p.Args, err)
	}
	stdout, stderr = out.read(), errs.read()
	return stdout, stderr, wait(r.t, e)
}

// process is a process as exec adds it.
func process(t testing.TB, args ...string) *rspec.Process {
	return newSpec(t, args...).Process
}

func wait(t testing.TB, w interface{ Wait() (oci.Exit, error) }) oci.Exit {
	t.Helper()
	exit, err := w.Wait()
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return exit
}

// capture is a pipe that is read to its end in the background.
type capture struct {
	write *os.File
	done  chan struct{}
	buf   bytes.Buffer
}

func newCapture(t testing.TB) *capture {
	r, w := pipe(t)
	c := &capture{write: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		io.Copy(&c.buf, r)
	}()
	return c
}

// read closes this process's end and returns what was written, once all others are closed.
func (c *capture) read() string {
	c.write.Close()
	<-c.done
	return c.buf.String()
}

func pipes(t testing.TB) (stdout, stderr *capture) { return newCapture(t), newCapture(t) }

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func lines(s string) []string { return strings.Fields(s) }
