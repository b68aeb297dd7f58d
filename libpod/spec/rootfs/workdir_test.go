package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEnsureWorkdir(t *testing.T) {
	root := tree(t, map[string]string{"srv/file": "", "var/www/keep": "", "link": "->/var/www", "home": "->var"})
	for _, dir := range []string{"/", "", "/srv", "/srv/a/b", "/link", "/link/new", "/home/made", "relative/too"} {
		for range 2 { // idempotent
			if err := EnsureWorkdir(root, dir, 0, 0); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	for _, dir := range []string{"srv/a/b", "var/www/new", "var/made", "relative/too"} {
		if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	if err := EnsureWorkdir(root, "/srv/file", 0, 0); err == nil || !strings.Contains(err.Error(), "Cannot mkdir: /srv/file is not a directory") {
		t.Errorf("error %v", err)
	}
	if err := EnsureWorkdir(root, "/srv/file/below", 0, 0); err == nil {
		t.Error("made a directory below a file")
	}
}

func TestEnsureWorkdirOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	root := t.TempDir()
	if err := EnsureWorkdir(root, "/a/b", 1000, 1001); err != nil {
		t.Fatal(err)
	}
	for dir, owner := range map[string][2]uint32{"a": {0, 0}, "a/b": {1000, 1001}} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(root, dir), &st); err != nil || st.Uid != owner[0] || st.Gid != owner[1] {
			t.Errorf("%s belongs to %d:%d, %v", dir, st.Uid, st.Gid, err)
		}
	}
	if err := EnsureWorkdir(root, "/a", 5, 5); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "a"), &st); err != nil || st.Uid != 0 {
		t.Errorf("took a directory that was there: owner %d, %v", st.Uid, err)
	}
}

// A WORKDIR through links must not make or touch anything outside (CVE-2026-55686).
func TestSecurityWorkdirSymlinks(t *testing.T) {
	outside := t.TempDir()
	for name, target := range map[string]string{
		"absolute": outside,
		"climbing": "../../../../../../../../../../../../.." + outside,
		"magic":    "/proc/self/root" + outside,
		"dangling": outside + "/missing",
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, map[string]string{"work": "->" + target, "etc/x": ""})
			_ = EnsureWorkdir(root, "/work/new/dir", 1234, 1234)
			_ = EnsureWorkdir(root, "/work", 1234, 1234)
			_ = EnsureWorkdir(root, "/../../../../../../.."+outside+"/up", 1234, 1234)
			if made, _ := os.ReadDir(outside); len(made) != 0 {
				t.Errorf("made %s outside the container", made[0].Name())
			}
			var st unix.Stat_t
			if err := unix.Stat(outside, &st); err != nil || st.Uid == 1234 {
				t.Errorf("outside belongs to %d, %v", st.Uid, err)
			}
		})
	}
}

// A working directory in /proc/self/fd is the executor's to refuse; here it must not
// even be made (CVE-2024-21626).
func TestSecurityWorkdirInProc(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"/proc/self/fd/7", "/sys/x", "/dev/fd/7"} {
		if err := EnsureWorkdir(root, dir, 0, 0); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if made, _ := os.ReadDir(root); len(made) != 0 {
		t.Errorf("made %s", made[0].Name())
	}
}
