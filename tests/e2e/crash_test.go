package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctr/tests/world"
)

// crashRounds is how many operations are killed. Each picks an operation, a moment
// and a process of ctr's at random; afterwards every invariant is checked.
const crashRounds = 220

// crasher is the world in which things are killed.
type crasher struct {
	t      *testing.T
	bin    string
	env    []string
	dir    string
	random *rand.Rand
	seed   uint64
}

func TestKillAnyProcessAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("kills hundreds of operations")
	}
	w := newWorld(t)
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CTR_CRASH_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	c := &crasher{t: t, bin: filepath.Join(w.fixtures, "bin/ctr"), env: append(os.Environ(), w.env(dir)...), dir: dir, seed: seed, random: rand.New(rand.NewPCG(seed, 1))}
	t.Logf("CTR_CRASH_SEED=%d repeats this sequence", seed)
	c.must("import", filepath.Join(w.fixtures, imageName), "crash:import")
	pulled := newRegistry(t)
	ops := map[string]func(name string) []string{
		"run -d": func(n string) []string {
			return []string{"run", "-d", "--name", n, "--network", "none", "busybox", "sleep", "7777"}
		},
		"run on a network": func(n string) []string {
			return []string{"run", "-d", "--name", n, "--network", "crash", "-p", crashPort(n) + ":80", "busybox", "sleep", "7777"}
		},
		"network connect": func(n string) []string {
			c.prepareRunningOn(n, "bridge")
			return []string{"network", "connect", "crash", n}
		},
		"network disconnect": func(n string) []string {
			c.prepareRunningOn(n, "crash")
			return []string{"network", "disconnect", "crash", n}
		},
		"run --rm": func(n string) []string {
			return []string{"run", "--rm", "--name", n, "--network", "none", "busybox", "sleep", "0.02"}
		},
		"create": func(n string) []string { return []string{"create", "--name", n, "busybox", "true"} },
		"start":  func(n string) []string { c.prepareCreated(n); return []string{"start", n} },
		"exec":   func(n string) []string { c.prepareRunning(n); return []string{"exec", n, "sleep", "0.05"} },
		"stop":   func(n string) []string { c.prepareRunning(n); return []string{"stop", "-t", "0", n} },
		"rm -f":  func(n string) []string { c.prepareRunning(n); return []string{"rm", "-f", n} },
		"rm":     func(n string) []string { c.prepareCreated(n); return []string{"rm", n} },
		"load":   func(n string) []string { return []string{"load", "-q", "-i", c.archive(n)} },
		"pull":   func(string) []string { c.must("rmi", "-f", pulled); return []string{"pull", "-q", pulled} },
		"import": func(n string) []string { return []string{"import", filepath.Join(w.fixtures, imageName), "crash:" + n} },
	}
	c.must("network", "create", "crash")
	c.must(ops["load"]("load")...)
	c.must(ops["pull"]("")...)
	names := make([]string, 0, len(ops))
	for name := range ops {
		names = append(names, name)
	}
	slices.Sort(names) // so that the seed alone decides
	t.Cleanup(func() {
		if left := networkLeft(dir); left != "" {
			t.Error("of networks: ", left)
		}
	})
	for round := range crashRounds {
		op := names[c.random.IntN(len(names))]
		name := fmt.Sprint("crash", round%7) // names come back, so a stuck one shows
		args := ops[op](name)
		victim := c.killSomething(args)
		c.check(fmt.Sprintf("round %d: %s, killed %s", round, op, victim), name)
		if t.Failed() {
			return
		}
	}
}

func (c *crasher) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin, args...)
	cmd.Env, cmd.Dir = c.env, c.dir
	return cmd
}

// try runs ctr with a time limit: a lock that stays would show as one that is reached.
func (c *crasher) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := c.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		c.t.Fatalf("ctr %v did not end within 30 s: %s", args, &out)
	}
	return strings.TrimSpace(out.String()), err
}

func (c *crasher) must(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("ctr %v: %v: %s", args, err, out)
	}
	return out
}

// archive makes a docker-archive of one layer that no image in the store has yet.
func (c *crasher) archive(name string) string {
	c.t.Helper()
	layer := pack(c.t, map[string][]byte{"unique": fmt.Append(nil, c.random.Uint64()), "big": make([]byte, 1<<20)})
	config := fmt.Appendf(nil, `{"architecture":%q,"os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, runtime.GOARCH, sha256.Sum256(layer))
	manifest := fmt.Appendf(nil, `[{"Config":"config.json","RepoTags":["crash:%s"],"Layers":["layer.tar"]}]`, name)
	path := filepath.Join(c.dir, "archive.tar")
	if err := os.WriteFile(path, pack(c.t, map[string][]byte{"config.json": config, "manifest.json": manifest, "layer.tar": layer}), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func pack(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (c *crasher) prepareCreated(name string) {
	c.must("create", "--name", name, "--network", "none", "busybox", "sleep", "7777")
}

func (c *crasher) prepareRunning(name string) {
	c.must("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "7777")
}

func (c *crasher) prepareRunningOn(name, network string) {
	c.must("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "7777")
}

// crashPort is the port that a container of that name publishes.
func crashPort(name string) string {
	return "93" + fmt.Sprintf("%02s", strings.TrimPrefix(name, "crash"))
}

// killSomething starts ctr with args and kills one of ctr's processes after a while.
func (c *crasher) killSomething(args []string) (victim string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := c.command(ctx, args...)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	time.Sleep(time.Duration(c.random.IntN(45_000)) * time.Microsecond)
	mine := c.processes()
	victim = "nothing"
	if len(mine) > 0 {
		p := mine[c.random.IntN(len(mine))]
		victim = fmt.Sprintf("%d %q", p.pid, p.name)
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	_ = cmd.Wait()
	return victim
}

type process struct {
	pid  int
	name string
}

// processes lists the processes of ctr that belong to this test, by their environment.
func (c *crasher) processes() (found []process) {
	mark := []byte("CTR_ROOT=" + filepath.Join(c.dir, "data"))
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		env, _ := os.ReadFile(d + "/environ")
		cmdline, _ := os.ReadFile(d + "/cmdline")
		if helper := bytes.HasPrefix(cmdline, []byte("ctr-net\x00"+filepath.Join(c.dir, "run"))); !helper && !bytes.Contains(env, mark) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(d))
		found = append(found, process{pid, string(bytes.ReplaceAll(bytes.TrimRight(cmdline, "\x00"), []byte{0}, []byte{' '}))})
	}
	return found
}

// shown is what inspect says of a container.
type shown struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Status  string
		Running bool
		Pid     int
	}
}

// check holds everything that must be true whatever was killed.
func (c *crasher) check(what, name string) {
	c.t.Helper()
	fail := func(format string, args ...any) {
		c.t.Helper()
		c.t.Errorf("%s: %s (CTR_CRASH_SEED=%d)", what, fmt.Sprintf(format, args...), c.seed)
	}
	out, err := c.try("ps", "-aq", "--no-trunc")
	if err != nil {
		fail("ps: %v: %s", err, out)
		return
	}
	for _, id := range strings.Fields(out) {
		c.checkContainer(id, fail)
	}
	if mounts, _ := os.ReadFile("/proc/self/mounts"); strings.Contains(string(mounts), c.dir) {
		fail("a mount stays in the host's table")
	}
	if out, err := c.try("images", "-q"); err != nil {
		fail("images: %v: %s", err, out)
	}
	if out, err := c.try("rm", "-f", name); err != nil && !strings.Contains(out, "No such container") {
		fail("rm -f: %v: %s", err, out)
	}
	if out, err := c.try("run", "--rm", "--name", name, "--network", "none", "busybox", "echo", "alive"); err != nil || out != "alive" {
		fail("the name cannot be used again: %v: %s", err, out)
	}
	c.checkNetwork(name, fail)
	if left := sleepers(); len(left) > 0 {
		fail("processes run that no container is said to have: %v", left)
	}
	c.nothingLeft(fail)
}

// checkNetwork runs a container by the same name on the network that others left at
// random moments: address and port must be free, and the way out open.
func (c *crasher) checkNetwork(name string, fail func(string, ...any)) {
	args := []string{"run", "--rm", "--name", name, "--network", "crash", "-p", crashPort(name) + ":80", "busybox", "echo", "alive"}
	if os.Getenv(world.DirEnv) != "" {
		args = append(args[:len(args)-2], "probe", "ask", "tcp", world.Web+":7", "alive")
	}
	if out, err := c.try(args...); err != nil || out != "alive" {
		fail("the network cannot be used: %v: %s", err, out)
	}
}

func (c *crasher) checkContainer(id string, fail func(string, ...any)) {
	out, err := c.try("inspect", "--type", "container", id)
	if err != nil {
		if !strings.Contains(out, "No such") { // --rm may be faster
			fail("inspect: %v: %s", err, out)
		}
		return
	}
	var list []shown
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		fail("inspect does not print one container: %v: %s", err, out)
		return
	}
	st := list[0].State
	alive := st.Pid > 0 && syscall.Kill(st.Pid, 0) != syscall.ESRCH
	if st.Running && !alive {
		time.Sleep(100 * time.Millisecond) // it may be ending right now
		if again, err := c.try("inspect", "-f", "{{.State.Running}}", id); err == nil && again == "true" {
			fail("container %.12s is said to run as pid %d, which does not exist", id, st.Pid)
		}
	}
}

// nothingLeft looks for files of containers that are gone.
func (c *crasher) nothingLeft(fail func(string, ...any)) {
	for range 120 { // what is less than a second old is still somebody's to clear away
		left := c.leftovers()
		if len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
		if _, err := c.try("ps", "-a"); err != nil {
			fail("ps: %v", err)
		}
	}
	fail("files stay: %v", c.leftovers())
}

func (c *crasher) leftovers() (left []string) {
	return containerFiles(c.dir)
}

// sleepers lists the containers' processes of this test that are still there a
// moment later.
func sleepers() (pids []string) {
	for range 20 {
		out, _ := exec.Command("pgrep", "-f", "^sleep 7777$").Output()
		if pids = strings.Fields(string(out)); len(pids) == 0 {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	return pids
}
