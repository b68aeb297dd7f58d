package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const stageEnv = "TREE_TEST_STAGE"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// again runs the test in a child of this program and reports false there-after in
// the parent; it reports true in the child.
func again(t *testing.T, attr *syscall.SysProcAttr, env ...string) bool {
	t.Helper()
	if os.Getenv(stageEnv) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make namespaces and to become another user")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), stageEnv+"=1"), env...)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

func asUser(t *testing.T, env ...string) bool {
	t.Helper()
	return again(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, env...)
}

func work(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tree-test-")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func gonePath(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func TestRemoveFollowsNoLink(t *testing.T) {
	dir := work(t)
	must(t, os.MkdirAll(dir+"/victim/sub", 0o755))
	must(t, os.WriteFile(dir+"/victim/sub/file", nil, 0o644))
	must(t, os.MkdirAll(dir+"/tree/a", 0o755))
	for _, link := range []string{"/tree/up", "/tree/a/up"} {
		must(t, os.Symlink(dir+"/victim", dir+link))
	}
	must(t, os.Symlink("loop", dir+"/tree/loop"))
	must(t, Remove(dir+"/tree"))
	gonePath(t, dir+"/tree")
	must(t, os.Symlink(dir+"/victim", dir+"/tree"))
	must(t, Remove(dir+"/tree/")) // the link itself, however it is spelt
	gonePath(t, dir+"/tree")
	if _, err := os.Stat(dir + "/victim/sub/file"); err != nil {
		t.Error(err)
	}
	must(t, Remove(dir+"/tree"))         // a missing path is no error
	must(t, Remove(dir+"/no/such/tree")) // neither is a missing parent
}

func TestRemoveClosedDirectories(t *testing.T) {
	if !asUser(t) {
		return
	}
	dir := work(t)
	must(t, os.MkdirAll(dir+"/tree/work/work/deep/deeper", 0o755))
	must(t, os.WriteFile(dir+"/tree/work/work/deep/file", nil, 0o000))
	for _, closed := range []string{"/tree/work/work/deep/deeper", "/tree/work/work/deep", "/tree/work/work", "/tree/work", "/tree"} {
		must(t, os.Chmod(dir+closed, 0))
	}
	must(t, Remove(dir+"/tree"))
	gonePath(t, dir+"/tree")
	must(t, os.MkdirAll(dir+"/tree/readonly/sub", 0o755))
	must(t, os.Chmod(dir+"/tree/readonly", 0o555))
	must(t, Remove(dir+"/tree"))
	gonePath(t, dir+"/tree")
}

func TestRemoveSaysWhatIsNotOurs(t *testing.T) {
	if os.Getenv(stageEnv) == "" {
		dir := work(t)
		for _, sub := range []string{"/tree", "/tree/own", "/tree/foreign"} {
			must(t, os.Mkdir(dir+sub, 0o755))
			must(t, os.WriteFile(dir+sub+"/file", []byte("12345"), 0o644))
		}
		deep := dir + "/tree/own" // at every level something that can go and something that cannot
		for range 40 {
			deep += "/d"
			must(t, os.Mkdir(deep, 0o755))
			must(t, os.WriteFile(deep+"/file", nil, 0o644))
		}
		must(t, os.Mkdir(deep+"/foreign", 0o700))
		must(t, os.WriteFile(deep+"/foreign/file", []byte("12345"), 0o600))
		must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if !strings.Contains(path, "foreign") && path != dir {
				return os.Lchown(path, 65534, 65534)
			}
			return err
		}))
		must(t, os.Chmod(dir, 0o777))
		asUser(t, "TREE_TEST_DIR="+dir)
		if _, err := os.Stat(dir + "/tree/own/file"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was the user's own is left: %v", err)
		}
		if _, err := os.Stat(deep + "/foreign/file"); err != nil {
			t.Error(err)
		}
		return
	}
	tree := os.Getenv("TREE_TEST_DIR") + "/tree"
	if size, err := Size(tree); !errors.Is(err, fs.ErrPermission) || size != 15 {
		t.Errorf("size %d, %v", size, err)
	}
	if err := Remove(tree); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("removing: %v", err)
	}
}

func TestRemoveDeepTree(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	low := limit
	low.Cur = 200
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	dir := work(t)
	must(t, os.Mkdir(dir+"/tree", 0o755))
	fd, err := unix.Open(dir+"/tree", unix.O_DIRECTORY|unix.O_PATH, 0)
	must(t, err)
	for range 3000 { // far deeper than a path can be long
		must(t, unix.Mkdirat(fd, "directory", 0o755))
		next, err := unix.Openat(fd, "directory", unix.O_DIRECTORY|unix.O_PATH, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	must(t, os.Mkdir(dir+"/tree/.ctr-deep-1", 0o755)) // a name that is wanted
	must(t, Remove(dir+"/tree"))
	gonePath(t, dir+"/tree")
}

// TestRemoveIsNotLedAstray swaps a directory and a link to a victim, over and over,
// below a tree that is being removed.
func TestRemoveIsNotLedAstray(t *testing.T) {
	dir := work(t)
	must(t, os.MkdirAll(dir+"/victim/sub", 0o755))
	must(t, os.WriteFile(dir+"/victim/sub/precious", nil, 0o644))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			unix.Renameat2(unix.AT_FDCWD, dir+"/tree/sub", unix.AT_FDCWD, dir+"/tree/link", unix.RENAME_EXCHANGE)
		}
	}()
	for range 300 {
		must(t, os.MkdirAll(dir+"/tree/sub/sub", 0o755))
		for i := range 20 {
			must(t, os.WriteFile(fmt.Sprintf("%s/tree/sub/sub/%d", dir, i), nil, 0o644))
		}
		must(t, os.Symlink(dir+"/victim", dir+"/tree/link"))
		if err := Remove(dir + "/tree"); err != nil {
			must(t, Remove(dir+"/tree"))
		}
		if _, err := os.Stat(dir + "/victim/sub/precious"); err != nil {
			t.Fatal("the removal was led out of the tree:", err)
		}
	}
	close(stop)
	<-done
}

func TestRemoveStaysOutOfMounts(t *testing.T) {
	if !again(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	dir := work(t)
	must(t, os.MkdirAll(dir+"/host/sub", 0o755))
	must(t, os.MkdirAll(dir+"/tree/a/mounted", 0o755))
	must(t, os.WriteFile(dir+"/tree/a/file", nil, 0o644))
	must(t, unix.Mount(dir+"/host", dir+"/tree/a/mounted", "", unix.MS_BIND, ""))
	if err := Remove(dir + "/tree"); err == nil {
		t.Error("removing a tree with a mount in it is no error")
	}
	if _, err := os.Stat(dir + "/host/sub"); err != nil {
		t.Error(err)
	}
	gonePath(t, dir+"/tree/a/file")
	must(t, unix.Unmount(dir+"/tree/a/mounted", 0))
	must(t, Remove(dir+"/tree"))
}

func TestSize(t *testing.T) {
	dir := work(t)
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.WriteFile(dir+"/a/file", make([]byte, 1000), 0o644))
	must(t, os.Link(dir+"/a/file", dir+"/a/b/again"))
	must(t, os.WriteFile(dir+"/a/b/other", make([]byte, 30), 0o644))
	must(t, os.Symlink("12345", dir+"/a/link"))
	must(t, os.Symlink("/", dir+"/root"))
	if size, err := Size(dir); err != nil || size != 1000+30+5+1 {
		t.Errorf("size %d, %v", size, err)
	}
	if _, err := Size(dir + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func copyTo(t *testing.T, src, dst string) {
	t.Helper()
	must(t, os.Mkdir(dst, 0o700))
	from, err := os.Open(src)
	must(t, err)
	defer from.Close()
	to, err := os.Open(dst)
	must(t, err)
	defer to.Close()
	must(t, Copy(context.Background(), to, from))
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st
}

func TestCopyKeepsEverything(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	dir := work(t)
	src := dir + "/src"
	must(t, os.MkdirAll(src+"/sub", 0o755))
	must(t, os.WriteFile(src+"/sub/file", []byte("content"), 0o644))
	must(t, os.Link(src+"/sub/file", src+"/again"))
	must(t, os.Symlink("../outside", src+"/link"))
	must(t, unix.Mkfifo(src+"/fifo", 0o622))
	must(t, unix.Mknod(src+"/socket", unix.S_IFSOCK|0o600, 0))
	must(t, unix.Mknod(src+"/node", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	sparse, err := os.Create(src + "/sparse")
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 1<<30)
	must(t, err)
	must(t, sparse.Close())
	for i, name := range []string{"/sub/file", "/link", "/fifo", "/socket", "/node", "/sub", ""} {
		must(t, os.Lchown(src+name, 1000+i, 2000+i))
	}
	must(t, unix.Chmod(src+"/sub/file", 0o4751))
	must(t, unix.Chmod(src+"/sub", 0o1500))
	must(t, unix.Chmod(src, 0o2775))
	must(t, unix.Setxattr(src+"/sub/file", "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	must(t, unix.Setxattr(src+"/sub", "user.note", []byte(strings.Repeat("x", 1000)), 0))
	must(t, unix.Setxattr(src+"/sub", "trusted.overlay.opaque", []byte("y"), 0)) // overlay's, not the file's
	then := []unix.Timespec{{Sec: 1000, Nsec: 5}, {Sec: 2000, Nsec: 7}}
	names := []string{"/sub/file", "/link", "/fifo", "/socket", "/node", "/sparse", "/again", "/sub", ""}
	for _, name := range names {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, src+name, then, unix.AT_SYMLINK_NOFOLLOW))
	}
	copyTo(t, src, dir+"/dst")
	for _, name := range names {
		want, got := stat(t, src+name), stat(t, dir+"/dst"+name)
		if got.Mode != want.Mode || got.Uid != want.Uid || got.Gid != want.Gid || got.Mtim != want.Mtim || got.Nlink != want.Nlink || got.Rdev != want.Rdev {
			t.Errorf("%q: %+v, want %+v", name, got, want)
		}
	}
	if a, b := stat(t, dir+"/dst/again"), stat(t, dir+"/dst/sub/file"); a.Ino != b.Ino {
		t.Error("a hard link became a file of its own")
	}
	if st := stat(t, dir+"/dst/sparse"); st.Size != 1<<30+3 || st.Blocks > 1000 {
		t.Errorf("sparse file: %d bytes in %d blocks", st.Size, st.Blocks)
	}
	buf := make([]byte, 2000)
	if n, err := unix.Getxattr(dir+"/dst/sub", "user.note", buf); err != nil || n != 1000 {
		t.Errorf("attribute: %d, %v", n, err)
	}
	if n, err := unix.Getxattr(dir+"/dst/sub/file", "security.capability", buf); err != nil || n != 20 {
		t.Errorf("capability: %d, %v", n, err)
	}
	if _, err := unix.Getxattr(dir+"/dst/sub", "trusted.overlay.opaque", buf); err != unix.ENODATA {
		t.Errorf("overlay's own attribute was copied: %v", err)
	}
	if data, err := os.ReadFile(dir + "/dst/again"); err != nil || string(data) != "content" {
		t.Errorf("content %q, %v", data, err)
	}
}

// TestContentWithoutHelpFromTheKernel copies between file systems that share nothing.
func TestContentWithoutHelpFromTheKernel(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip(err)
	}
	shm, err := os.MkdirTemp("/dev/shm", "tree-test-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(shm)
	want := strings.Repeat("0123456789abcdef", 200_000)
	must(t, os.Mkdir(shm+"/src", 0o755))
	must(t, os.WriteFile(shm+"/src/file", []byte(want), 0o644))
	dir := work(t)
	copyTo(t, shm+"/src", dir+"/dst")
	if got, err := os.ReadFile(dir + "/dst/file"); err != nil || string(got) != want {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestCopyStopsWhenTold(t *testing.T) {
	dir := work(t)
	must(t, os.MkdirAll(dir+"/src/a", 0o755))
	must(t, os.Mkdir(dir+"/dst", 0o755))
	from, err := os.Open(dir + "/src")
	must(t, err)
	defer from.Close()
	to, err := os.Open(dir + "/dst")
	must(t, err)
	defer to.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Copy(ctx, to, from); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestMergeReadsFilesThatHide covers the marks of fuse-overlayfs; the kernel's are
// in the suite of package storage.
func TestMergeReadsFilesThatHide(t *testing.T) {
	dir := work(t)
	for _, file := range []string{"0/gone", "0/dir/old", "0/dir2/in", "0/stays", "1/.wh.gone", "1/dir/.wh..wh..opq", "1/dir/new", "1/.wh.dir2", "2/dir2/fresh"} {
		must(t, os.MkdirAll(filepath.Dir(dir+"/"+file), 0o755))
		must(t, os.WriteFile(dir+"/"+file, nil, 0o644))
	}
	must(t, os.Mkdir(dir+"/dst", 0o755))
	to, err := os.Open(dir + "/dst")
	must(t, err)
	defer to.Close()
	var layers []*os.File
	for _, name := range []string{"2", "1", "0"} {
		f, err := os.Open(dir + "/" + name)
		must(t, err)
		defer f.Close()
		layers = append(layers, f)
	}
	must(t, Merge(context.Background(), to, layers))
	var got []string
	must(t, filepath.WalkDir(dir+"/dst", func(path string, _ fs.DirEntry, err error) error {
		got = append(got, strings.TrimPrefix(path, dir+"/dst"))
		return err
	}))
	if list := strings.Join(got, " "); list != " /dir /dir/new /dir2 /dir2/fresh /stays" {
		t.Errorf("merged: %s", list)
	}
}
