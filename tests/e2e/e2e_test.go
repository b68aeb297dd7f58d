// Package e2e runs the built programs the way people do: scripts in testdata, each
// once as an ordinary user with subordinate ids and once as root. See the README of
// github.com/rogpeppe/go-internal/testscript for their language; what this package
// adds is in commands.go.
//
// Run as root, the tests make the user "ctrtest" and run themselves again as that
// user; run as an ordinary user, they are that user's alone.
package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ctr/tests/world"
)

const (
	userName  = "ctrtest"
	fixtures  = "CTR_E2E_FIXTURES" // a directory prepared by prepare, set in the second run
	imageName = "busybox.tar"
)

func TestMain(m *testing.M) {
	if os.Getenv(fixtures) != "" || os.Getenv("CTR_E2E_INNER") != "" {
		os.Exit(m.Run())
	}
	dir, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the end-to-end tests:", err)
		os.Exit(1)
	}
	code := runAll(dir, os.Getuid())
	if os.Getuid() == 0 {
		uid, err := ordinaryUser()
		if err != nil {
			fmt.Fprintln(os.Stderr, "making an ordinary user:", err)
			os.Exit(1)
		}
		if c := runAll(dir, uid); c != 0 {
			code = c
		}
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// runAll runs everything as uid: all that is not about networks in one process, then
// each script about networks in one of its own, on a machine of its own.
func runAll(dir string, uid int) int {
	flag.Parse()
	code := runAs(dir, uid, netRun{}, os.Stdout)
	runs, err := networkRuns(dir, uid == 0, flag.Lookup("test.run").Value.String())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var mu sync.Mutex
	next := make(chan netRun)
	var wg sync.WaitGroup
	for range networksAtOnce {
		wg.Go(func() {
			for r := range next {
				var out bytes.Buffer
				c := runAs(dir, uid, r, &out)
				mu.Lock()
				os.Stdout.Write(out.Bytes())
				code = max(code, c)
				mu.Unlock()
			}
		})
	}
	for _, r := range runs {
		next <- r
	}
	close(next)
	wg.Wait()
	return code
}

// prepare copies the programs and the images to where every user can read them.
func prepare() (string, error) {
	dir, err := os.MkdirTemp("", "ctr-e2e-")
	if err != nil {
		return "", err
	}
	script := `set -eu
chmod 755 "$1"
mkdir -p "$1/bin" "$1/root/bin" "$1/root/etc" "$1/root/tmp" "$1/root/www/cgi-bin"
bin=${CTR_TEST_BIN:-$2/bin}
cp "$bin/ctr" "$bin/ctr-full" "$3" "$1/bin/"
cp "$(command -v busybox)" "$1/root/bin/busybox"
for applet in $("$1/root/bin/busybox" --list); do
	[ "$applet" = busybox ] || ln -s busybox "$1/root/bin/$applet"
done
CGO_ENABLED=0 go build -C "$2" -ldflags '-s -w' -o "$1/bin/probe" ./tests/probe
cp "$1/bin/probe" "$1/root/bin/probe"
echo 'It works!' >"$1/root/www/index.html"
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n%%s\\n" "$REMOTE_ADDR"\n' >"$1/root/www/cgi-bin/who"
chmod 755 "$1/root/www/cgi-bin/who"
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\n' >"$1/root/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\n' >"$1/root/etc/group"
chmod 1777 "$1/root/tmp"
mkdir -m 700 "$1/root/root"
tar -C "$1/root" --owner=0 --group=0 -cf "$1/` + imageName + `" .
chmod -R a+rX "$1/bin"`
	self, err := os.Executable()
	if err != nil {
		return dir, err
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		return dir, err
	}
	out, err := exec.Command("sh", "-c", script, "sh", dir, repo, self).CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("testdata")); err != nil {
		return dir, err
	}
	return dir, exec.Command("chmod", "-R", "a+rX", filepath.Join(dir, "testdata")).Run()
}

func ordinaryUser() (int, error) {
	u, err := user.Lookup(userName)
	if err != nil {
		if out, err := exec.Command("useradd", "-m", "-s", "/bin/sh", userName).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("useradd: %w: %s", err, out)
		}
		if u, err = user.Lookup(userName); err != nil {
			return 0, err
		}
	}
	return strconv.Atoi(u.Uid)
}

// runAs runs this test program once more as uid, as root does it on a machine made
// for it, and returns its exit code.
func runAs(dir string, uid int, net netRun, out io.Writer) int {
	work, err := os.MkdirTemp("", "ctr-e2e-work-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer exec.Command("rm", "-rf", work).Run()
	os.Chown(work, uid, -1)
	self, _ := os.Executable()
	cmd := exec.Command(filepath.Join(dir, "bin", filepath.Base(self)), os.Args[1:]...)
	label := ""
	if net.script != "" {
		cmd.Args, label = append(cmd.Args, "-test.run=^TestNetworks$"), ": "+net.name()
	}
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), fixtures+"="+dir, "TMPDIR="+work, "HOME="+work, "CTR_E2E_UID="+strconv.Itoa(uid))
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR=", "XDG_DATA_HOME=", netScript+"="+net.script, "CTR_E2E_LINK="+net.link)
	if pasta := os.Getenv(otherPasta); pasta != "" {
		cmd.Env = append(cmd.Env, "PATH="+pasta+":"+os.Getenv("PATH"))
	}
	fmt.Fprintf(out, "--- end to end as uid %d%s\n", uid, label)
	if err := runOnMachine(cmd, uid, net.options); err != nil {
		if cmd.ProcessState != nil {
			return cmd.ProcessState.ExitCode()
		}
		fmt.Fprintln(out, err)
		return 1
	}
	return 0
}

// runOnMachine runs cmd as uid on a machine made for it, when this is root, else here.
func runOnMachine(cmd *exec.Cmd, uid int, o world.Options) error {
	if err := world.Possible(); err != nil {
		return cmd.Run()
	}
	machine, err := world.New(o)
	if err != nil {
		return err
	}
	defer machine.Close()
	return machine.Run(cmd, uid)
}

// surroundings is what all scripts of one run share: the image store, filled once.
type surroundings struct {
	fixtures, storageConf, path string
}

func newWorld(t *testing.T) *surroundings {
	t.Helper()
	dir := t.TempDir()
	w := &surroundings{fixtures: os.Getenv(fixtures), storageConf: filepath.Join(dir, "storage.conf")}
	w.path = filepath.Join(w.fixtures, "bin") + ":" + os.Getenv("PATH")
	conf := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n", dir+"/graph", dir+"/graphrun")
	if err := os.WriteFile(w.storageConf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(w.fixtures, "bin/ctr"), "import", filepath.Join(w.fixtures, imageName), "busybox:latest")
	cmd.Env = append(os.Environ(), w.env(dir)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("importing the test image: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command(filepath.Join(w.fixtures, "bin/ctr"), "unshare", "rm", "-rf", dir+"/graph").Run() })
	return w
}

func (w *surroundings) env(dir string) []string {
	run := filepath.Join(dir, "run")
	os.MkdirAll(run, 0o700)
	return []string{
		"HOME=" + dir, "PATH=" + w.path, "XDG_RUNTIME_DIR=" + run, "CTR_ROOT=" + filepath.Join(dir, "data"), "CTR_RUNROOT=" + filepath.Join(run, "ctr"),
		"CONTAINERS_STORAGE_CONF=" + w.storageConf, "FIXTURES=" + w.fixtures, "UID=" + strconv.Itoa(os.Getuid()), "TERM=xterm",
	}
}

func TestScripts(t *testing.T) {
	if os.Getenv(netScript) != "" {
		t.Skip("this process is for a script about networks")
	}
	w := newWorld(t)
	scripts, _ := filepath.Glob(filepath.Join(w.fixtures, "testdata/*.txtar"))
	scripts = slices.DeleteFunc(scripts, func(s string) bool { return strings.HasPrefix(filepath.Base(s), "net") })
	testscript.Run(t, testscript.Params{
		Files:         scripts,
		Setup:         func(e *testscript.Env) error { return setup(w, e) },
		Cmds:          commands,
		Condition:     condition,
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

func setup(w *surroundings, e *testscript.Env) error {
	for _, kv := range w.env(e.WorkDir) {
		key, value, _ := strings.Cut(kv, "=")
		e.Setenv(key, value)
	}
	e.Defer(func() { leaveNothing(e) })
	return nil
}

// leaveNothing removes a script's containers and fails the test when processes,
// mounts or files of theirs stay.
func leaveNothing(e *testscript.Env) {
	t := e.T()
	ids, _ := output(e, "ps", "-aq", "--no-trunc")
	if list := strings.Fields(ids); len(list) > 0 {
		if out, err := output(e, append([]string{"rm", "-fv"}, list...)...); err != nil {
			t.Fatal("removing the script's containers:", err, out)
		}
	}
	if left := leftBehind(e.WorkDir); len(left) > 0 {
		t.Fatal("left behind:", left)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), e.WorkDir) {
		t.Fatal("a mount of the script's is in the host's table")
	}
}

// leftBehind is containerFiles once the trash, which is emptied when nobody waits
// any more, has had its time.
func leftBehind(dir string) (found []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		found = containerFiles(dir)
		waiting := slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "data/trash/") })
		if !waiting || time.Now().After(deadline) {
			return found
		}
	}
}

// containerFiles lists what lies where the containers of a test have their files.
// What belongs to no container may stay: the record of the user namespace, which
// notices were said, and the directory of the networks ([networkTraces]).
func containerFiles(dir string) (found []string) {
	for _, sub := range []string{"data/containers", "data/names", "data/trash", "run/ctr"} {
		entries, _ := os.ReadDir(filepath.Join(dir, sub))
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "userns.") && !strings.HasPrefix(e.Name(), "noticed-") && e.Name() != "net" {
				found = append(found, filepath.Join(sub, e.Name()))
			}
		}
	}
	return found
}

func owner(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

func output(e *testscript.Env, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(e.Getenv("FIXTURES"), "bin/ctr"), args...)
	cmd.Env = e.Vars
	cmd.Dir = e.WorkDir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func condition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Getuid() == 0, nil
	case "rootless":
		return os.Getuid() != 0, nil
	case "pasta", "slirp4netns":
		return unusable(cond) == "", nil
	case "tun":
		f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
		if err == nil {
			f.Close()
		}
		return err == nil, nil
	}
	if link, ok := strings.CutPrefix(cond, "link:"); ok {
		return os.Getenv("CTR_E2E_LINK") == link, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}
