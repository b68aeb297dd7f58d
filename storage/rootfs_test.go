package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/pkg/userns"
)

// layers makes layer directories as a store has them, bottom first: each item is a
// path, with a / at its end for a directory, "path=content" for a file,
// "path->target" for a link, "-path" for a whiteout, "!path/" for an opaque directory.
func layers(t testing.TB, base string, trees ...[]string) []string {
	t.Helper()
	must(t, os.MkdirAll(base+"/l", 0o755))
	var lower []string
	for i, tree := range trees {
		diff := fmt.Sprintf("%s/%d/diff", base, i)
		must(t, os.MkdirAll(diff, 0o755))
		for _, item := range tree {
			plant(t, diff, item)
		}
		link := fmt.Sprintf("l/%026d", i)
		must(t, os.Symlink(fmt.Sprintf("../%d/diff", i), base+"/"+link))
		lower = append([]string{link}, lower...)
	}
	return lower
}

func plant(t testing.TB, dir, item string) {
	t.Helper()
	path := func(name string) string {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		return p
	}
	if name, content, found := strings.Cut(item, "="); found {
		must(t, os.WriteFile(path(name), []byte(content), 0o644))
	} else if name, target, found := strings.Cut(item, "->"); found {
		must(t, os.Symlink(target, path(name)))
	} else if name, found := strings.CutPrefix(item, "-"); found {
		must(t, unix.Mknod(path(name), unix.S_IFCHR, 0))
	} else if name, found := strings.CutPrefix(item, "!"); found {
		must(t, os.MkdirAll(path(name), 0o755))
		attr := "trusted.overlay.opaque"
		if userns.Inside() {
			attr = "user.overlay.opaque"
		}
		must(t, unix.Setxattr(path(name), attr, []byte("y"), 0))
	} else {
		must(t, os.MkdirAll(path(item), 0o755))
	}
}

// listing is what a tree holds, in the words of layers.
func listing(t testing.TB, root string) []string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case name == ".":
		case d.IsDir():
			list = append(list, name+"/")
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			list = append(list, name+"->"+target)
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			must(t, err)
			list = append(list, name+"="+string(data))
		default:
			list = append(list, name+" "+d.Type().String())
		}
		return nil
	}))
	return list
}

// work is a directory of the test's own; t.TempDir's parent is closed to the
// ordinary user whom a child has become.
func work(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "storage-test-")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		if err := RemoveTree(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newRootfs(t testing.TB, dir string, trees ...[]string) *Rootfs {
	t.Helper()
	container := dir + "/container, with: colon"
	must(t, os.MkdirAll(container+"/merged", 0o755))
	return &Rootfs{Base: dir + "/overlay", Lower: layers(t, dir+"/overlay", trees...), Upper: container + "/diff", Work: container + "/work"}
}

var exampleLayers = [][]string{
	{"a=bottom", "dir/x=1", "dir/y=2", "gone=x", "gonedir/z=1", "opaque/old=1", "opaque/sub/old=1", "link->../../etc/passwd", "filedir=file", "dirfile/in=1"},
	{"a=middle", "dir/sub/deep=3", "opaque/mid=1"},
	{"a=top", "-gone", "-gonedir", "!opaque", "opaque/new=1", "-dir/x", "filedir/in=1", "dirfile=file"},
}

var exampleTree = []string{"a=top", "dir/", "dir/sub/", "dir/sub/deep=3", "dir/y=2", "dirfile=file", "filedir/", "filedir/in=1", "link->../../etc/passwd", "opaque/", "opaque/new=1"}

func TestEveryDriverShowsTheSameTree(t *testing.T) {
	if !inChild(t) {
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	for _, driver := range []string{DriverOverlay, DriverFuse, DriverCopy} {
		t.Run(driver, func(t *testing.T) {
			if _, err := exec.LookPath(DriverFuse); err != nil && driver == DriverFuse {
				t.Skip("fuse-overlayfs is not installed")
			}
			if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil && driver == DriverFuse {
				t.Skip(err)
			} else {
				f.Close()
			}
			driverSuite(t, driver)
		})
	}
}

// driverSuite is what every driver must do.
func driverSuite(t *testing.T, driver string) {
	dir := work(t)
	r := newRootfs(t, dir, exampleLayers...)
	must(t, unix.Chmod(dir+"/overlay/2/diff", 0o1771))
	must(t, os.Link(dir+"/overlay/0/diff/dir/y", dir+"/overlay/0/diff/dir/z"))
	must(t, os.Remove(dir+"/overlay/0/diff/dir/z"))
	must(t, unix.Mkfifo(dir+"/overlay/0/diff/dir/fifo", 0o640))
	must(t, unix.Mknod(dir+"/overlay/0/diff/dir/socket", unix.S_IFSOCK|0o600, 0))
	r.Driver, r.Volatile = driver, true
	if driver == DriverFuse { // it cannot have commas in paths, however they are given
		must(t, os.Rename(filepath.Dir(r.Upper), dir+"/container"))
		r.Upper, r.Work = dir+"/container/diff", dir+"/container/work"
	}
	target := filepath.Dir(r.Upper) + "/merged"
	want := append(slices.Clone(exampleTree[:2]), append([]string{"dir/fifo p---------", "dir/socket S---------"}, exampleTree[2:]...)...)
	for round := range 2 {
		got, err := r.Mount(target)
		must(t, err)
		if got != driver {
			t.Fatalf("driver %s, want %s", got, driver)
		}
		if list := listing(t, target); !slices.Equal(list, want) {
			t.Errorf("round %d: tree\n%q, want\n%q", round, list, want)
		}
		if st, err := os.Stat(target); err != nil || st.Mode() != fs.ModeDir|fs.ModeSticky|0o771 {
			t.Errorf("mode of the root %v, %v", st.Mode(), err)
		}
		if !userns.Inside() {
			cat := exec.Command("cat", target+"/a")
			cat.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: plainUser, Gid: plainUser}}
			if out, err := cat.CombinedOutput(); err != nil {
				t.Errorf("another user of the container cannot read: %s, %v", out, err)
			}
		}
		if round == 0 {
			must(t, os.WriteFile(target+"/a", []byte("changed"), 0o644))
			must(t, os.Remove(target+"/dir/y"))
			must(t, os.RemoveAll(target+"/opaque"))
			must(t, os.Mkdir(target+"/opaque", 0o755))
			must(t, os.Rename(target+"/filedir/in", target+"/moved"))
			want = []string{"a=changed", "dir/", "dir/fifo p---------", "dir/socket S---------", "dir/sub/", "dir/sub/deep=3", "dirfile=file", "filedir/", "link->../../etc/passwd", "moved=1", "opaque/"}
		}
		must(t, r.Unmount(target))
		if list := listing(t, target); len(list) != 0 {
			t.Errorf("after unmounting: %q", list)
		}
	}
	if data, err := os.ReadFile(dir + "/overlay/2/diff/a"); err != nil || string(data) != "top" {
		t.Errorf("the image's layer was changed: %q, %v", data, err)
	}
	if err := RemoveTree(filepath.Dir(r.Upper)); err != nil {
		t.Error(err)
	}
}

func TestFuseDiesWithTheMonitor(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath(DriverFuse); err != nil {
		t.Skip("fuse-overlayfs is not installed")
	}
	if os.Getenv(stageEnv) != "" { // the monitor
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		r := newRootfs(t, os.Getenv("STORAGE_TEST_DIR"), exampleLayers...)
		r.Driver, r.Upper, r.Work = DriverFuse, filepath.Dir(r.Base)+"/diff", filepath.Dir(r.Base)+"/work"
		must(t, os.Mkdir(filepath.Dir(r.Base)+"/merged", 0o755))
		_, err := r.Mount(filepath.Dir(r.Base) + "/merged")
		must(t, err)
		fmt.Fprintf(os.Stderr, "%d\n", r.fuse.cmd.Process.Pid)
		select {}
	}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		t.Skip(err)
	} else {
		f.Close()
	}
	monitor := child([]string{"-test.run=^TestFuseDiesWithTheMonitor$"}, "inside", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS})
	monitor.Env = append(monitor.Env, "STORAGE_TEST_DIR="+work(t))
	monitor.Stderr = nil
	stderr, err := monitor.StderrPipe()
	must(t, err)
	must(t, monitor.Start())
	var pid int
	_, err = fmt.Fscan(stderr, &pid)
	monitor.Process.Kill()
	monitor.Wait()
	must(t, err)
	for deadline := time.Now().Add(time.Minute); unix.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(state), ") Z ") {
			break // dead, and the test's init does not reap
		}
		if time.Now().After(deadline) {
			t.Fatalf("fuse-overlayfs (%d) outlived the monitor", pid)
		}
	}
}

func TestCopyTakesEarlierChangesAlong(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := work(t)
	r := newRootfs(t, dir, exampleLayers...)
	target := filepath.Dir(r.Upper) + "/merged"
	_, err := r.Mount(target)
	must(t, err)
	must(t, os.Remove(target+"/a"))
	must(t, os.WriteFile(target+"/new", []byte("1"), 0o600))
	must(t, r.Unmount(target))
	must(t, os.MkdirAll(filepath.Dir(r.Upper)+"/rootfs.new/half", 0o700)) // a copy that was interrupted
	r.Driver = DriverCopy
	_, err = r.Mount(target)
	must(t, err)
	want := append(slices.Clone(exampleTree[1:9]), append([]string{"new=1"}, exampleTree[9:]...)...)
	if list := listing(t, target); !slices.Equal(list, want) {
		t.Errorf("tree\n%q, want\n%q", list, want)
	}
	must(t, r.Unmount(target))
}

func TestManyLayers(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := work(t)
	var trees [][]string
	for i := range 300 {
		trees = append(trees, []string{fmt.Sprintf("f%d=%d", i, i), fmt.Sprintf("last=%d", i)})
	}
	r := newRootfs(t, dir, trees...)
	must(t, r.Prepare())
	target := filepath.Dir(r.Upper) + "/merged"
	all := r.Lower
	for _, test := range []struct {
		count int
		mount func(d *overlayDirs) error
		fails bool
	}{
		{300, func(d *overlayDirs) error { _, err := d.attach(target, r.overlayOptions()); return err }, false},
		{128, func(d *overlayDirs) error { return d.mount(target, r.overlayOptions()) }, false},
		{300, func(d *overlayDirs) error { return d.mount(target, r.overlayOptions()) }, true},
	} {
		r.Lower = all[len(all)-test.count:]
		dirs, err := r.openDirs()
		must(t, err)
		before, err := os.Getwd()
		must(t, err)
		err = test.mount(dirs)
		dirs.close()
		if test.fails {
			if err == nil || !strings.Contains(err.Error(), "300 layers") {
				t.Errorf("%d layers: %v", test.count, err)
			}
			continue
		}
		must(t, err)
		if list := listing(t, target); len(list) != test.count+1 || !slices.Contains(list, fmt.Sprintf("last=%d", test.count-1)) {
			t.Errorf("%d layers: %d entries", test.count, len(list))
		}
		if after, err := os.Getwd(); err != nil || after != before {
			t.Errorf("working directory was %s, is %s, %v", before, after, err)
		}
		must(t, r.Unmount(target))
	}
}

func TestEmptyImage(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := work(t)
	must(t, os.Mkdir(dir+"/merged", 0o755))
	r, err := RootfsOf("", dir)
	must(t, err)
	_, err = r.Mount(dir + "/merged")
	must(t, err)
	must(t, os.WriteFile(dir+"/merged/x", nil, 0o600))
	must(t, r.Unmount(dir+"/merged"))
}

func TestMountFallsBack(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := work(t)
	// overlay refuses an upper directory that is on overlay itself
	r := newRootfs(t, dir, exampleLayers...)
	outer := filepath.Dir(r.Upper) + "/merged"
	_, err := r.Mount(outer)
	must(t, err)
	must(t, os.Mkdir(outer+"/c", 0o755))
	must(t, os.Mkdir(outer+"/c/merged", 0o755))
	t.Setenv("PATH", "/nowhere")
	inner := &Rootfs{Base: r.Base, Lower: r.Lower, Upper: outer + "/c/diff", Work: outer + "/c/work"}
	driver, err := inner.Mount(outer + "/c/merged")
	must(t, err)
	if driver != DriverCopy || inner.Reason == nil {
		t.Errorf("driver %s, because %v", driver, inner.Reason)
	}
	t.Logf("the reason given: %v", inner.Reason)
	if list := listing(t, outer+"/c/merged"); !slices.Equal(list, exampleTree) {
		t.Errorf("tree %q", list)
	}
	must(t, inner.Unmount(outer+"/c/merged"))
	must(t, r.Unmount(outer))
}

func TestMountReportsFaults(t *testing.T) {
	if !inChild(t) {
		return
	}
	dir := work(t)
	r := newRootfs(t, dir, exampleLayers...)
	if _, err := r.Mount(dir + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing target: %v", err)
	}
	r.Lower = append(r.Lower, "l/missing")
	if _, err := r.Mount(filepath.Dir(r.Upper) + "/merged"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing layer: %v", err)
	}
	r.Driver = "zfs"
	if _, err := r.Mount(filepath.Dir(r.Upper) + "/merged"); err == nil || !strings.Contains(err.Error(), `no driver "zfs"`) {
		t.Errorf("unknown driver: %v", err)
	}
}

func TestPrepare(t *testing.T) {
	if !asUser(t) {
		return
	}
	dir := work(t)
	r := newRootfs(t, dir, []string{"a=1"})
	must(t, os.Chmod(dir+"/overlay/0/diff", 0o775))
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	for range 2 {
		must(t, r.Prepare())
		st, err := os.Stat(r.Upper)
		if err != nil || st.Mode().Perm() != 0o775 || !exists(r.Work) {
			t.Errorf("upper directory %v, %v", st, err)
		}
		must(t, os.Chmod(dir+"/overlay/0/diff", 0o700)) // no longer matters
	}
	// An image whose root directory belongs to somebody else: left to the user namespace.
	foreign := &Rootfs{Base: "/", Lower: []string{"usr"}, Upper: dir + "/u", Work: dir + "/w"}
	if err := foreign.Prepare(); err != nil || exists(foreign.Upper) {
		t.Errorf("foreign owner: %v, made: %v", err, exists(foreign.Upper))
	}
}

// BenchmarkMount times what a start pays, in a child with a mount namespace of its own.
func BenchmarkMount(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	if os.Getenv(stageEnv) == "" {
		must(b, child([]string{"-test.run=^$", "-test.bench=^BenchmarkMount$"}, "inside", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}).Run())
		return
	}
	must(b, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	for _, count := range []int{1, 10, 100} {
		dir := work(b)
		var trees [][]string
		for i := range count {
			trees = append(trees, []string{fmt.Sprintf("f%d=x", i)})
		}
		r := newRootfs(b, dir, trees...)
		must(b, r.Prepare())
		target := filepath.Dir(r.Upper) + "/merged"
		for name, mount := range map[string]func(d *overlayDirs) error{
			"attach": func(d *overlayDirs) error { _, err := d.attach(target, r.overlayOptions()); return err },
			"mount":  func(d *overlayDirs) error { return d.mount(target, r.overlayOptions()) },
		} {
			b.Run(fmt.Sprintf("%s-%d", name, count), func(b *testing.B) {
				for b.Loop() {
					dirs, err := r.openDirs()
					must(b, err)
					must(b, mount(dirs))
					dirs.close()
					b.StopTimer()
					must(b, r.Unmount(target))
					b.StartTimer()
				}
			})
		}
	}
}
