package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, v *Volumes, name string) *Volume {
	t.Helper()
	vol, err := v.Create(name, Options{})
	must(t, err)
	return vol
}

func TestCreateGetListRemove(t *testing.T) {
	data := t.TempDir()
	v := Open(data + "/ctr")
	if list, err := v.List(); err != nil || len(list) != 0 {
		t.Fatalf("before the first: %v, %v", list, err)
	}
	first, err := v.Create("web_data", Options{Labels: map[string]string{"a": "b"}})
	must(t, err)
	if st, err := os.Stat(first.Path()); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", st, err)
	}
	again, err := v.Create("web_data", Options{Labels: map[string]string{"other": "x"}})
	if err != nil || again.Labels["a"] != "b" || !again.Created.Equal(first.Created) {
		t.Errorf("a second create: %+v, %v", again, err)
	}
	anonymous, err := v.Ensure("", true)
	if err != nil || len(anonymous.Name) != 64 || !anonymous.Anonymous || strings.Trim(anonymous.Name, "0123456789abcdef") != "" {
		t.Errorf("anonymous: %+v, %v", anonymous, err)
	}
	got, err := v.Get("web_data")
	if err != nil || got.Labels["a"] != "b" || got.Driver != "local" || time.Since(got.Created) > time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, os.Mkdir(data+"/ctr/volumes/.new-left-behind", 0o700))
	if list, err := v.List(); err != nil || len(list) != 2 || list[1].Name != "web_data" {
		t.Errorf("list: %v, %v", list, err)
	}
	must(t, os.MkdirAll(first.Path()+"/closed/in", 0o700))
	must(t, os.Chmod(first.Path()+"/closed", 0))
	must(t, v.Remove("web_data"))
	if entries, err := os.ReadDir(data + "/ctr/trash"); err != nil || len(entries) != 0 {
		t.Errorf("trash: %v, %v", entries, err)
	}
	for _, err := range []error{v.Remove("web_data"), func() error { _, err := v.Get("../x"); return err }()} {
		if !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing volume: %v", err)
		}
	}
	if _, err := v.Get("web_data"); err == nil || err.Error() != "get web_data: no such volume" {
		t.Errorf("missing volume: %v", err)
	}
}

func TestNames(t *testing.T) {
	v := Open(t.TempDir())
	for _, name := range []string{"ab", "A.b-c_d", "0x", strings.Repeat("a", 255)} {
		create(t, v, name)
	}
	const invalid = `includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`
	for name, want := range map[string]string{
		"a":                      "create a: volume name is too short, names should be at least two alphanumeric characters",
		"a/b":                    `create a/b: "a/b" ` + invalid,
		"..":                     `create ..: ".." ` + invalid,
		"-ab":                    `create -ab: "-ab" ` + invalid,
		".ab":                    `create .ab: ".ab" ` + invalid,
		"a b":                    `create a b: "a b" ` + invalid,
		strings.Repeat("a", 256): "create " + strings.Repeat("a", 256) + ": volume name is too long, names should be at most 255 characters",
	} {
		if _, err := v.Create(name, Options{}); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	if _, err := v.Create("ab2", Options{Driver: "nfs"}); err == nil || !strings.Contains(err.Error(), `plugin "nfs" not found`) {
		t.Errorf("unknown driver: %v", err)
	}
	if _, err := v.Create("ab2", Options{DriverOpt: map[string]string{"type": "nfs"}}); err == nil || !strings.Contains(err.Error(), `invalid option: "type"`) {
		t.Errorf("driver option: %v", err)
	}
}

func TestManyCreateOne(t *testing.T) {
	v := Open(t.TempDir())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if vol, err := v.Create("same", Options{}); err != nil || vol.Name != "same" {
				t.Errorf("%v, %v", vol, err)
			}
		})
	}
	all.Wait()
	if entries, err := os.ReadDir(v.dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestDamagedRecord(t *testing.T) {
	v := Open(t.TempDir())
	vol := create(t, v, "kept")
	record := filepath.Join(vol.dir, "volume.json")
	for _, content := range []string{"", "{", "null", "{}"} {
		must(t, os.WriteFile(record, []byte(content), 0o600))
		if got, err := v.Get("kept"); err != nil || got.Created.IsZero() {
			t.Errorf("%q: %+v, %v", content, got, err)
		}
	}
	must(t, os.WriteFile(record, []byte(`{"version":99}`), 0o600))
	if _, err := v.Get("kept"); err == nil || !strings.Contains(err.Error(), "newer ctr") {
		t.Errorf("newer format: %v", err)
	}
	create(t, v, "other")
	if list, err := v.List(); err == nil || len(list) != 1 {
		t.Errorf("list with one unreadable: %v, %v", list, err)
	}
}

// image makes a root file system with a directory to copy, and with traps.
func image(t *testing.T) string {
	t.Helper()
	root := t.TempDir() + "/rootfs"
	must(t, os.MkdirAll(root+"/data/sub", 0o755))
	must(t, os.WriteFile(root+"/data/file", []byte("image"), 0o640))
	must(t, os.Link(root+"/data/file", root+"/data/sub/again"))
	must(t, os.Symlink("/etc/passwd", root+"/data/link"))
	must(t, unix.Chmod(root+"/data", 0o1770))
	must(t, os.Symlink("/data", root+"/absolute"))
	must(t, os.Symlink("../../../../../../../..", root+"/up"))
	must(t, os.WriteFile(root+"/plain", nil, 0o600))
	then := time.Unix(1000, 0)
	must(t, os.Chtimes(root+"/data", then, then))
	return root
}

func names(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		list = append(list, strings.TrimPrefix(path, dir))
		return err
	}))
	return strings.Join(list, " ")
}

const copied = " /file /link /sub /sub/again"

func TestCopyUp(t *testing.T) {
	root := image(t)
	v := Open(t.TempDir())
	ctx := context.Background()
	for i, dest := range []string{"/data", "/absolute", "absolute/.", "/up/data", "/data/../up/absolute"} {
		vol := create(t, v, fmt.Sprint("vol", i))
		must(t, vol.CopyUp(ctx, root, dest))
		if got := names(t, vol.Path()); got != copied {
			t.Errorf("%s: %s", dest, got)
		}
		st, err := os.Stat(vol.Path())
		if err != nil || st.Mode() != fs.ModeDir|fs.ModeSticky|0o770 || !st.ModTime().Equal(time.Unix(1000, 0)) {
			t.Errorf("%s: the volume's directory %v, %v", dest, st, err)
		}
		must(t, os.RemoveAll(filepath.Join(vol.Path(), "sub")))
		must(t, os.Remove(filepath.Join(vol.Path(), "file")))
		must(t, os.Remove(filepath.Join(vol.Path(), "link")))
		must(t, vol.CopyUp(ctx, root, dest)) // emptied by the user: stays so
		if got := names(t, vol.Path()); got != "" {
			t.Errorf("%s: copied twice: %s", dest, got)
		}
	}
}

func TestCopyUpStaysInTheRootfs(t *testing.T) {
	root := image(t)
	outside := filepath.Dir(root) + "/secret"
	must(t, os.Mkdir(outside, 0o755))
	must(t, os.WriteFile(outside+"/key", nil, 0o600))
	must(t, os.Symlink(outside, root+"/out"))
	must(t, os.Symlink("../secret", root+"/sideways"))
	must(t, os.Symlink("loop", root+"/loop"))
	v := Open(t.TempDir())
	for i, dest := range []string{"/out", "/sideways", "/up/../secret", "/up/up/out", "/../secret", "/missing"} {
		vol := create(t, v, fmt.Sprint("vol", i))
		must(t, vol.CopyUp(context.Background(), root, dest)) // nothing of that name inside
		if got := names(t, vol.Path()); got != "" {
			t.Errorf("%s led out: %s", dest, got)
		}
	}
	for dest, want := range map[string]error{"/plain": syscall.ENOTDIR, "/loop": syscall.ELOOP} {
		vol := create(t, v, "bad"+dest[1:])
		if err := vol.CopyUp(context.Background(), root, dest); !errors.Is(err, want) {
			t.Errorf("%s: %v", dest, err)
		}
	}
}

func TestCopyUpLeavesUsedVolumesAlone(t *testing.T) {
	root := image(t)
	v := Open(t.TempDir())
	vol := create(t, v, "used")
	must(t, os.WriteFile(filepath.Join(vol.Path(), "mine"), nil, 0o600))
	must(t, vol.CopyUp(context.Background(), root, "/data"))
	if got := names(t, vol.Path()); got != " /mine" {
		t.Errorf("%s", got)
	}
}

func TestCopyUpAfterACrash(t *testing.T) {
	root := image(t)
	v := Open(t.TempDir())
	ctx := context.Background()

	partial := create(t, v, "partial") // killed while it copied
	must(t, os.MkdirAll(partial.dir+"/filling.new/sub", 0o700))
	must(t, os.WriteFile(partial.dir+"/filling.new/half", nil, 0o600))
	must(t, partial.CopyUp(ctx, root, "/data"))
	if got := names(t, partial.Path()); got != copied {
		t.Errorf("after a crash in the copy: %s", got)
	}

	moving := create(t, v, "moving") // killed while it moved the copy into place
	must(t, moving.stage(ctx, moving.dir+"/filling", root, "/data"))
	must(t, os.Rename(moving.dir+"/filling/sub", moving.Path()+"/sub"))
	must(t, os.WriteFile(moving.Path()+"/link", []byte("a container's own"), 0o600))
	must(t, moving.CopyUp(ctx, root, "/data"))
	if got := names(t, moving.Path()); got != copied {
		t.Errorf("after a crash in the move: %s", got)
	}
	if data, err := os.ReadFile(moving.Path() + "/link"); err != nil || string(data) != "a container's own" {
		t.Errorf("what a container wrote was replaced: %q, %v", data, err)
	}
	for _, vol := range []*Volume{partial, moving} {
		if vol.has("filling") || vol.has("filling.new") || !vol.has("copied") {
			t.Errorf("left behind: %s", names(t, vol.dir))
		}
	}
}

func TestCopyUpKeepsTheMountedDirectory(t *testing.T) {
	v := Open(t.TempDir())
	vol := create(t, v, "mounted")
	before, err := os.Stat(vol.Path())
	must(t, err)
	must(t, vol.CopyUp(context.Background(), image(t), "/data"))
	after, err := os.Stat(vol.Path())
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the directory was replaced under a container that may have it mounted")
	}
}

func TestManyCopyUpOne(t *testing.T) {
	root := image(t)
	v := Open(t.TempDir())
	create(t, v, "shared")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			vol, err := v.Get("shared")
			if err == nil {
				err = vol.CopyUp(context.Background(), root, "/data")
			}
			if err != nil {
				t.Error(err)
			}
			if got := names(t, vol.Path()); got != copied {
				t.Errorf("returned before it was filled: %s", got)
			}
		})
	}
	all.Wait()
}

func TestWaitingForTheLock(t *testing.T) {
	root := image(t)
	v := Open(t.TempDir())
	vol := create(t, v, "locked")
	unlock, err := vol.lock(context.Background())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := vol.CopyUp(ctx, root, "/data"); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait: %v", err)
	}
	result := make(chan error)
	go func() { result <- vol.CopyUp(context.Background(), root, "/data") }()
	must(t, os.Rename(vol.dir, v.dir+"/.elsewhere")) // removed while another waits
	must(t, os.Mkdir(vol.dir, 0o700))
	unlock()
	if err := <-result; err == nil {
		t.Error("a removed volume was filled")
	}
}

// TestOwners needs root, as the monitor has it in the user namespace.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	root := image(t)
	must(t, os.Lchown(root+"/data", 70, 71))
	must(t, os.Lchown(root+"/data/file", 70, 72))
	v := Open(t.TempDir())
	vol := create(t, v, "owned")
	must(t, vol.CopyUp(context.Background(), root, "/data"))
	for path, want := range map[string][2]uint32{"": {70, 71}, "/file": {70, 72}} {
		var st unix.Stat_t
		must(t, unix.Lstat(vol.Path()+path, &st))
		if st.Uid != want[0] || st.Gid != want[1] {
			t.Errorf("%q belongs to %d:%d, want %v", path, st.Uid, st.Gid, want)
		}
	}
}

func BenchmarkCopyUpAgain(b *testing.B) {
	v := Open(b.TempDir())
	vol, err := v.Create("done", Options{})
	must(b, err)
	must(b, vol.CopyUp(context.Background(), "/", "/nothing-here"))
	for b.Loop() {
		must(b, vol.CopyUp(context.Background(), "/", "/nothing-here"))
	}
}

func BenchmarkCreate(b *testing.B) {
	v := Open(b.TempDir())
	for b.Loop() {
		if _, err := v.Create("", Options{Anonymous: true}); err != nil {
			b.Fatal(err)
		}
	}
}
