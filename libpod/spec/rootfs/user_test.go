package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/spec"
)

const passwd = `# a comment
root:x:0:0:root:/root:/bin/sh
bob:x:1000:1001:Bob:/home/bob:/bin/sh
1000:x:0:0:trap:/trap:/bin/sh
2000:x:0:0:trap:/trap:/bin/sh
bob:x:5:5:second:/second:/bin/sh
nohome:x:7:7
huge:x:4294967296:0::/:/bin/sh
high:x:2147483648:0::/:/bin/sh
minus:x:-1:0::/:/bin/sh
empty:x::0::/:/bin/sh
badgroup:x:8:what::/:/bin/sh
`

const group = `root:x:0:
wheel:x:10:root,bob
bob:x:1001:
docker:x:999:bob
docker2:x:999:bob
huge:x:99999999999:
`

// tree makes a root of files: path to content; a content that begins with -> is a symbolic link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestResolveUser(t *testing.T) {
	root := tree(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
	for _, c := range []struct {
		user  string
		add   []string
		want  spec.User
		error string
	}{
		{user: "", want: spec.User{Home: "/root", Groups: []uint32{10}}},
		{user: "0", want: spec.User{Home: "/root", Groups: []uint32{10}}},
		{user: "bob", want: spec.User{UID: 1000, GID: 1001, Home: "/home/bob", Groups: []uint32{10, 999}}},
		{user: "1000", want: spec.User{UID: 1000, GID: 1001, Home: "/home/bob", Groups: []uint32{10, 999}}},
		{user: "bob:wheel", want: spec.User{UID: 1000, GID: 10, Home: "/home/bob"}},
		{user: "bob:77", want: spec.User{UID: 1000, GID: 77, Home: "/home/bob"}},
		{user: "bob:", want: spec.User{UID: 1000, GID: 1001, Home: "/home/bob", Groups: []uint32{10, 999}}},
		{user: ":wheel", want: spec.User{GID: 10, Home: "/root"}},
		{user: "4242", want: spec.User{UID: 4242, Home: "/"}},
		{user: "4242:4343", want: spec.User{UID: 4242, GID: 4343, Home: "/"}},
		{user: "2147483647", want: spec.User{UID: 2147483647, Home: "/"}},
		{user: "nohome", want: spec.User{UID: 7, GID: 7, Home: "/"}},
		{user: "bob", add: []string{"wheel", "55", "docker"}, want: spec.User{UID: 1000, GID: 1001, Home: "/home/bob", Groups: []uint32{10, 999, 55}}},
		{user: "alice", error: "unable to find user alice: no matching entries in passwd file"},
		{user: "bob:nogroup", error: "unable to find group nogroup: no matching entries in group file"},
		{user: "bob", add: []string{"nogroup"}, error: "unable to find group nogroup"},
		{user: "bob:huge", error: "must be in range 0-2147483647"},
		{user: "a:b:c", error: "more than one colon"},
	} {
		got, err := ResolveUser(root, c.user, c.add)
		if c.error != "" {
			if err == nil || !strings.Contains(err.Error(), c.error) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error %v, want %q", c.user, err, c.error)
			}
			continue
		}
		if err != nil || got.UID != c.want.UID || got.GID != c.want.GID || got.Home != c.want.Home || !slices.Equal(got.Groups, c.want.Groups) {
			t.Errorf("%q + %v: %+v, %v, want %+v", c.user, c.add, got, err, c.want)
		}
	}
}

// A number is an id even when a name says otherwise, and one too large is an error:
// neither may end up as root (CVE-2024-40635, CVE-2026-46680, CVE-2026-30892).
func TestSecurityUserIDs(t *testing.T) {
	root := tree(t, map[string]string{"etc/passwd": passwd + "4294967296:x:0:0::/:/bin/sh\n2147483648:x:0:0::/:/bin/sh\n", "etc/group": group})
	for _, user := range []string{
		"4294967296", "2147483648", "99999999999999999999", "-1", "-0:-5", "0:4294967296",
		"huge", "high", "minus", "empty", "badgroup",
	} {
		if u, err := ResolveUser(root, user, nil); err == nil {
			t.Errorf("%q is taken for %+v", user, u)
		}
	}
	if u, err := ResolveUser(root, "2000", nil); err != nil || u.UID != 2000 || u.GID != 0 || u.Home != "/" {
		t.Errorf("2000 is taken for %+v, %v", u, err)
	}
	for _, word := range []string{" 0", "0x0", "1e3", "0 ", "\t0"} {
		if u, err := ResolveUser(root, word, nil); err == nil {
			t.Errorf("%q is taken for %+v", word, u)
		}
	}
}

func TestNumericIDsNeedNoFiles(t *testing.T) {
	u, err := ResolveUser(t.TempDir(), "1000:1000", []string{"5"})
	if err != nil || u.UID != 1000 || u.GID != 1000 || !slices.Equal(u.Groups, []uint32{5}) || u.Home != "/" {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := ResolveUser(t.TempDir(), "", nil); err != nil || u.UID != 0 || u.Home != "/" {
		t.Errorf("%+v, %v", u, err)
	}
}

// Links lead nowhere but into the container (CVE-2024-9676).
func TestSecurityPasswdSymlinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("mallory:x:66:66::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string]string{
		"absolute":  {"etc/passwd": "->" + outside},
		"climbing":  {"etc/passwd": "->../../../../../../../../../.." + outside},
		"directory": {"etc": "->" + filepath.Dir(outside)},
		"dangling":  {"etc/passwd": "->/nowhere"},
		"looping":   {"etc/passwd": "->/etc/other", "etc/other": "->passwd"},
		"procfs":    {"etc/passwd": "->/proc/self/root" + outside},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, files)
			if u, err := ResolveUser(root, "mallory", nil); err == nil {
				t.Errorf("found %+v outside the container", u)
			}
			if u, err := ResolveUser(root, "12", nil); err != nil || u.UID != 12 {
				t.Errorf("%+v, %v", u, err)
			}
		})
	}
	inside := tree(t, map[string]string{"etc/passwd": "->/usr/lib/passwd", "usr/lib/passwd": passwd})
	if u, err := ResolveUser(inside, "bob", nil); err != nil || u.UID != 1000 {
		t.Errorf("a link inside the container: %+v, %v", u, err)
	}
}

// A FIFO must not block, a device not be read, a large file not fill the memory (CVE-2026-47262).
func TestSecurityHostilePasswdFiles(t *testing.T) {
	within := func(t *testing.T, root string) error {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			_, err := ResolveUser(root, "bob", nil)
			done <- err
		}()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("blocked")
			return nil
		}
	}
	for _, name := range []string{"passwd", "group"} {
		for kind, make := range map[string]func(p string) error{
			"fifo":      func(p string) error { return unix.Mkfifo(p, 0o644) },
			"directory": func(p string) error { return os.Mkdir(p, 0o755) },
			"device":    func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
			"socket":    func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) },
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				root := tree(t, map[string]string{"etc/none": ""})
				if err := make(filepath.Join(root, "etc", name)); err != nil {
					t.Skipf("making a %s: %v", kind, err)
				}
				if err := within(t, root); err == nil || !strings.Contains(err.Error(), "unable to find user bob") {
					t.Errorf("error %v", err)
				}
			})
		}
		t.Run(name+" huge", func(t *testing.T) {
			root := tree(t, map[string]string{"etc/" + name: passwd})
			if err := os.Truncate(filepath.Join(root, "etc", name), 1<<40); err != nil {
				t.Skipf("making a sparse file: %v", err)
			}
			if err := within(t, root); err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
				t.Errorf("error %v", err)
			}
		})
	}
	var b strings.Builder
	for i := range maxGroups + 1 {
		fmt.Fprintf(&b, "g:x:%d:bob\n", i)
	}
	root := tree(t, map[string]string{"etc/passwd": passwd, "etc/group": b.String()})
	if err := within(t, root); err == nil || !strings.Contains(err.Error(), "more than 65536 groups") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkResolveUser(b *testing.B) {
	root := b.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := ResolveUser(root, "", nil); err != nil {
			b.Fatal(err)
		}
	}
}
