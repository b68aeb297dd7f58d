package image

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const insideEnv = "CTR_TEST_INSIDE"

// inUserns runs the calling test again inside a user namespace whose id 0 is the
// unprivileged uid 70000, with count ids, and returns false there.
func inUserns(t *testing.T, count int) (outside bool) {
	if os.Getenv(insideEnv) != "" {
		return false
	}
	if os.Geteuid() != 0 {
		t.Skip("maps user ids: needs root")
	}
	dir, err := os.MkdirTemp("", "ctr-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, 70000, 70000); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), insideEnv+"="+dir, "HOME="+dir, "TMPDIR="+dir, "XDG_RUNTIME_DIR="+dir,
		"_CONTAINERS_USERNS_CONFIGURED=done", "_CONTAINERS_ROOTLESS_UID=70000", "_CONTAINERS_ROOTLESS_GID=70000")
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 70000, Size: count}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: count > 1,
		Credential: &syscall.Credential{NoSetGroups: count == 1},
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("inside: %v", err)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Error("the test did not run inside")
	}
	return true
}

func ownedBy(t *testing.T, uids ...int) picture {
	var files []file
	for i, uid := range uids {
		files = append(files, file{name: "file" + string(rune('0'+i)), body: "x", uid: uid})
	}
	files = append(files, file{name: "null", typ: tar.TypeChar, mode: 0o666}, file{name: "disk", typ: tar.TypeBlock, mode: 0o666}, file{name: "pipe", typ: tar.TypeFifo})
	return picture{names: []string{"owners:1"}, layers: [][]byte{pack(t, files...)}}
}

func loadInside(t *testing.T, p picture) (*Store, error) {
	t.Helper()
	s := storeAt(t, os.Getenv(insideEnv))
	_, err := s.Load(context.Background(), LoadOptions{Input: bytes.NewReader(p.docker(t))})
	return s, err
}

// With one id only, files of others are taken as the user's own; a user namespace
// makes no device nodes.
func TestUnpackWithASingleID(t *testing.T) {
	if inUserns(t, 1) {
		return
	}
	s, err := loadInside(t, ownedBy(t, 0, 33, 65534))
	if err != nil {
		t.Fatal(err)
	}
	s.checkOwners(t, 0, 0, 0)
}

func TestUnpackWithSubordinateIDs(t *testing.T) {
	if inUserns(t, 65536) {
		return
	}
	s, err := loadInside(t, ownedBy(t, 0, 33, 65534))
	if err != nil {
		t.Fatal(err)
	}
	s.checkOwners(t, 0, 33, 65534)
	before := s.state(t)
	_, err = loadInside(t, ownedBy(t, 0, 2_000_000))
	mustFailCleanly(t, s, before, err, "this user needs more subordinate ids")
}

func (s *Store) checkOwners(t *testing.T, uids ...uint32) {
	t.Helper()
	tree := s.tree(t, "owners:1")
	for _, device := range []string{"null", "disk"} {
		if content, ok := tree[device]; ok && strings.HasPrefix(content, "D") {
			t.Errorf("%s is a device: %s", device, content)
		}
	}
	img, err := s.lookup("owners:1")
	if err != nil {
		t.Fatal(err)
	}
	base, lower, err := s.reader.LayerDirs(img.TopLayer)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range uids {
		st, err := os.Stat(filepath.Join(base, lower[0], "file"+string(rune('0'+i))))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("file%d belongs to %d, want %d", i, got, want)
		}
	}
}

func TestFullDisk(t *testing.T) {
	if inUserns(t, 65536) {
		return
	}
	dir := filepath.Join(os.Getenv(insideEnv), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mounting a small tmpfs: %v", err)
	}
	s := storeAt(t, dir)
	ctx := context.Background()
	if _, err := s.Load(ctx, LoadOptions{Input: bytes.NewReader(simple(t, "earlier:1").docker(t))}); err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB: fits once, not twice
	p := picture{names: []string{"large:1"}, layers: [][]byte{pack(t, file{name: "large", body: string(large)})}}
	_, err := s.Load(ctx, LoadOptions{File: fileOutside(t, p.docker(t))})
	mustFailCleanly(t, s, before, err, "no space left on device; free space")
	_, err = s.Import(ctx, ImportOptions{Source: "-", Input: bytes.NewReader(pack(t, file{name: "huge", body: strings.Repeat("x", 5<<20)}))})
	mustFailCleanly(t, s, before, err, "no space left on device; free space")
	if got := s.tree(t, "earlier:1")["etc/greeting"]; got != "hello" {
		t.Errorf("the earlier image holds %q", got)
	}
}

// fileOutside puts data where the small disk is not.
func fileOutside(t *testing.T, data []byte) string {
	name := filepath.Join(os.Getenv(insideEnv), "archive")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
