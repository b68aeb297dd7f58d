package security

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// base is the image that most tests run: busybox and the probe.
const base = "base"

// patience is how long anything that must happen is waited for.
const patience = 60 * time.Second

// world is what the tests of one kind of user share.
type world struct {
	dir, who string
	env      []string
	programs [32]byte // digest of ctr and ctr-full
	layer    []tarEntry
}

var here *world

func newWorld(dir, who string) (*world, error) {
	w := &world{dir: dir, who: who}
	conf := fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n", dir+"/graph", dir+"/graphrun")
	if err := os.WriteFile(dir+"/storage.conf", []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir+"/run", 0o700); err != nil {
		return nil, err
	}
	w.env = []string{
		"HOME=" + dir + "/home", "PATH=" + dir + "/bin:" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + dir + "/run", "CTR_ROOT=" + dir + "/data",
		"CTR_RUNROOT=" + dir + "/run/ctr", "CONTAINERS_STORAGE_CONF=" + dir + "/storage.conf", "TERM=xterm", "TMPDIR=" + dir,
	}
	var err error
	if w.programs, err = w.digest(); err != nil {
		return nil, err
	}
	if w.layer, err = baseLayer(dir); err != nil {
		return nil, err
	}
	return w, w.importImage(base, w.layer)
}

func (w *world) digest() (sum [32]byte, err error) {
	var all []byte
	for _, name := range []string{"ctr", "ctr-full"} {
		b, err := os.ReadFile(filepath.Join(w.dir, "bin", name))
		if err != nil {
			return sum, err
		}
		all = append(all, b...)
	}
	return sha256.Sum256(all), nil
}

// close removes everything, after looking at what may not have changed or stayed.
func (w *world) close() error {
	var errs []error
	if now, err := w.digest(); err != nil || now != w.programs {
		errs = append(errs, fmt.Errorf("a container has changed the programs (%v)", err))
	}
	for _, sub := range []string{"containers", "names", "trash"} {
		if left, _ := os.ReadDir(filepath.Join(w.dir, "data", sub)); len(left) > 0 {
			errs = append(errs, fmt.Errorf("left behind: %s %s", sub, left[0].Name()))
		}
	}
	if mounts, _ := os.ReadFile("/proc/self/mounts"); strings.Contains(string(mounts), w.dir) {
		errs = append(errs, errors.New("a mount is in the host's table"))
	}
	r := w.ctr(nil, "unshare", "rm", "-rf", w.dir+"/graph", w.dir+"/data")
	if w.who != asRoot && r.code != 0 {
		errs = append(errs, fmt.Errorf("removing the images: %s", r.err))
	}
	return errors.Join(errs...)
}

// tarEntry is a member of an image's layer.
type tarEntry struct {
	tar.Header
	data []byte
}

func dir(name string) tarEntry {
	return tarEntry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}}
}

func file(name, data string) tarEntry {
	return tarEntry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}, []byte(data)}
}

func link(name, target string) tarEntry {
	return tarEntry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
}

func baseLayer(root string) ([]tarEntry, error) {
	entries := []tarEntry{dir("bin"), dir("etc"), dir("tmp")}
	for _, name := range []string{"busybox", "probe", "netprobe"} {
		b, err := os.ReadFile(filepath.Join(root, "bin", name))
		if err != nil {
			return nil, err
		}
		entries = append(entries, file("bin/"+name, string(b)))
	}
	for _, applet := range strings.Fields("sh cat chmod chown cp echo env false find grep head id ip kill ls mkdir mkfifo mknod mount nc nslookup ping ps pwd readlink rm sed seq sleep stat sync timeout touch true tty unshare wc xargs") {
		entries = append(entries, link("bin/"+applet, "busybox"))
	}
	return append(entries,
		file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\n"),
		file("etc/group", "root:x:0:\ndaemon:x:1:\n")), nil
}

// importImage makes an image of one layer. An entry replaces an earlier one of its name.
func (w *world) importImage(name string, entries []tarEntry, changes ...string) error {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for i, e := range entries {
		replaced := false
		for _, later := range entries[i+1:] {
			replaced = replaced || later.Name == e.Name
		}
		if replaced {
			continue
		}
		if err := tw.WriteHeader(&e.Header); err != nil {
			return err
		}
		if _, err := tw.Write(e.data); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "-c", c)
	}
	if r := w.ctr(&b, append(args, "-", name+":latest")...); r.code != 0 {
		return fmt.Errorf("importing image %s: %s", name, r.err)
	}
	return nil
}

// image makes an image: base with entries over it.
func image(t *testing.T, entries []tarEntry, changes ...string) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(t.Name()))
	if err := here.importImage(name, append(here.layer[:len(here.layer):len(here.layer)], entries...), changes...); err != nil {
		t.Fatal(err)
	}
	return name
}

type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("code %d\nstdout: %s\nstderr: %s", r.code, r.out, r.err)
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(w.dir, "bin/ctr"), args...)
	cmd.Env, cmd.Dir = w.env, w.dir
	cmd.WaitDelay = time.Second
	return cmd
}

func (w *world) ctr(stdin io.Reader, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, err bytes.Buffer
	cmd := w.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &err
	if e := cmd.Run(); e != nil && cmd.ProcessState == nil {
		return result{"", e.Error(), -1}
	}
	return result{out.String(), err.String(), cmd.ProcessState.ExitCode()}
}

// ctr runs a command that may fail.
func ctr(args ...string) result { return here.ctr(nil, args...) }

// run is ctr run in the foreground, without a network.
func run(args ...string) result {
	return ctr(append([]string{"run", "--rm", "--network", "none"}, args...)...)
}

// must is the output of what has to succeed.
func must(t *testing.T, r result) string {
	t.Helper()
	if r.code != 0 {
		t.Fatal(r)
	}
	return r.out
}

// start is ctr run in the background; the container goes with the test.
func start(t *testing.T, args ...string) string {
	t.Helper()
	id := strings.TrimSpace(must(t, ctr(append([]string{"run", "-d", "--network", "none"}, args...)...)))
	t.Cleanup(func() {
		if r := ctr("rm", "-fv", id); r.code != 0 {
			t.Error("removing the container: ", r)
		}
	})
	return id
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// victim is a directory of the host's, with a file in it, that must stay as it is.
func victim(t *testing.T) string {
	t.Helper()
	v := t.TempDir()
	if err := os.WriteFile(filepath.Join(v, "file"), []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(v)
		if err != nil || len(entries) != 1 || entries[0].Name() != "file" {
			t.Errorf("the host's directory was changed: %v, %v", entries, err)
		}
		if b, err := os.ReadFile(filepath.Join(v, "file")); err != nil || string(b) != secret {
			t.Errorf("the host's file was changed: %q, %v", b, err)
		}
	})
	return v
}

// secret is what no container may see.
const secret = "a-secret-of-the-host"
