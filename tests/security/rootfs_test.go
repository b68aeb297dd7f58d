package security

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// inPlace is what a container with its kernel file systems where they belong prints.
const inPlace = `grep -q ' /proc proc ' /proc/mounts && grep -q ' /sys sysfs ro' /proc/mounts && grep -q ' /dev tmpfs ' /proc/mounts &&
test ! -s /proc/keys && ! touch /proc/sys/kernel/x 2>/dev/null && test -c /dev/null && echo in-place`

// An image in which /proc, /sys or /dev is a link is refused; one in which what is
// mounted below them is a link gets the real thing, and never a mount elsewhere (CVE-2023-27561,
// CVE-2023-28642, CVE-2026-41579, CVE-2026-47766).
func TestKernelFileSystemsAsLinks(t *testing.T) {
	v := victim(t)
	for i, links := range [][]tarEntry{
		{dir("proc"), dir("sys"), dir("dev")}, {link("proc", v)}, {link("sys", v)}, {link("dev", v)},
		{dir("tmp/proc"), link("proc", "tmp/proc")}, {link("sys", "tmp")}, {link("dev", "etc")},
		{link("proc", "../../../../../../.."+v)}, {link("dev", "/proc/1/root"+v)},
		{dir("dev"), link("dev/pts", v), link("dev/shm", v), link("dev/mqueue", v), link("dev/null", v+"/file"), link("dev/console", v+"/made")},
		{dir("sys"), dir("sys/fs"), link("sys/fs/cgroup", v), dir("proc"), link("proc/self", v), link("proc/keys", v+"/file")},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			img := image(t, links)
			for _, flags := range [][]string{nil, {"-t"}, {"--init"}} {
				r := run(append(flags, img, "sh", "-c", inPlace)...)
				if refused := i > 0 && i < 9; refused != (r.code == 125) || !refused && strings.TrimSpace(r.out) != "in-place" {
					t.Errorf("%v: %v", flags, r)
				}
			}
		})
	}
}

// A volume that stands in for /dev, or one with links where masks, /dev/null or the
// console go, cannot redirect them (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).
func TestMasksAndConsoleCannotBeRedirected(t *testing.T) {
	v := victim(t)
	vol := t.TempDir()
	for name, target := range map[string]string{
		"null": v + "/file", "console": v + "/made", "ptmx": v + "/made", "tty": "/proc/sysrq-trigger", "full": "/proc/sys/kernel/core_pattern", "pts": v, "shm": "/proc/sys",
	} {
		if err := os.Symlink(target, filepath.Join(vol, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, flags := range [][]string{{"-v", vol + ":/dev"}, {"-t", "-v", vol + ":/dev"}, {"-t", "-v", vol + ":/dev", "-v", vol + ":/dev/shm"}} {
		r := run(append(flags, base, "sh", "-c", "wc -c </proc/keys; cat /proc/timer_list | wc -c; touch /proc/sys/kernel/x && echo wrote")...)
		if r.code == 0 && (!strings.HasPrefix(r.out, "0") || strings.Contains(r.out, "wrote")) {
			t.Errorf("%v: %v", flags, r)
		}
	}
	for _, place := range []string{"/proc", "/proc/self", "/proc/sys", "/proc/self/attr", "/proc/self/../keys", "//proc/", "/tmp/../proc"} {
		if r := run("-v", vol+":"+place, base, "true"); r.code == 0 {
			t.Errorf("a mount at %s is allowed", place)
		}
		if r := run("--tmpfs", place, base, "true"); r.code == 0 {
			t.Errorf("a tmpfs at %s is allowed", place)
		}
	}
	img := image(t, []tarEntry{link("p", "/proc"), link("q", "/proc/self")})
	for _, place := range []string{"/p", "/p/sys", "/q/attr", "/q"} {
		r := run("-v", vol+":"+place, img, "sh", "-c", inPlace)
		if r.code == 0 && strings.TrimSpace(r.out) != "in-place" {
			t.Errorf("a mount at %s: %v", place, r)
		}
	}
}

// Where a mount goes is resolved in the container's root, whatever links the image or
// an earlier mount put there (CVE-2021-30465 and its kind).
func TestMountsStayInTheRoot(t *testing.T) {
	v := victim(t)
	links := []tarEntry{
		link("out", v), link("up", "../../../../../../.."+v), link("magic", "/proc/self/root"), link("fd", "/proc/self/fd/7"), link("top", "/"),
		link("etc/resolv.conf", v+"/file"), link("etc/hosts", v+"/made"), link("etc/hostname", "../../../../../../../"+v+"/made2"),
		dir("sbin"), link("sbin/docker-init", v+"/file"),
	}
	img := image(t, links)
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "mine"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	trap := t.TempDir()
	for name, target := range map[string]string{"out": v, "up": "../../../../../.." + v, "etc": "/etc"} {
		if err := os.Symlink(target, filepath.Join(trap, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, flags := range [][]string{
		{}, {"--init"},
		{"-v", source + ":/out"}, {"-v", source + ":/up"}, {"-v", source + ":/out/made/dir"}, {"-v", source + "/mine:/out/file"}, {"-v", source + "/mine:/out/made"},
		{"-v", "vol:/out"}, {"-v", "vol:/up/made"}, {"--tmpfs", "/out"}, {"--tmpfs", "/up/made"}, {"--mount", "type=tmpfs,dst=/out/made"},
		{"-v", source + ":/magic" + v}, {"-v", source + ":/fd"}, {"-v", source + ":/fd/made"},
		{"-v", trap + ":/trap", "-v", source + ":/trap/out"}, {"-v", trap + ":/trap", "-v", source + ":/trap/out/made"},
		{"-v", trap + ":/trap", "-v", source + ":/trap/up/made"}, {"-v", trap + ":/trap", "--tmpfs", "/trap/up/made"},
		{"-v", trap + ":/trap", "-v", "vol:/trap/out/made", "-w", "/trap/out/made/too"},
		{"-w", "/out/made", "-v", source + ":/top"}, {"--device", "/dev/null:/out/made"},
	} {
		r := run(append(flags, img, "sh", "-c", "cat "+v+"/file ../../../../../../../.."+v+"/file; cat /etc/hostname >/dev/null")...)
		if strings.Contains(r.out, secret) {
			t.Errorf("%v: %v", flags, r)
		}
	}
	if b, err := os.ReadFile(filepath.Join(source, "mine")); err != nil || string(b) != "mine" {
		t.Errorf("the volume's source was changed: %q, %v", b, err)
	}
}

// Directories of mount points are made step by step, without following what another
// container puts in between (CVE-2021-30465, CVE-2024-45310).
func TestMountPointRaces(t *testing.T) {
	v := victim(t)
	vol, source := t.TempDir(), t.TempDir()
	for _, d := range []string{"a", "d"} {
		if err := os.Mkdir(filepath.Join(vol, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for l, target := range map[string]string{"b": v, "c": "../../../../../../../.." + v} {
		if err := os.Symlink(target, filepath.Join(vol, l)); err != nil {
			t.Fatal(err)
		}
	}
	attacker := start(t, "-v", vol+":/v", base, "sh", "-c", "probe flip /v/a /v/b & probe flip /v/d /v/c & wait")
	eventually(t, "the race begins", func() bool { return strings.Count(ctr("logs", attacker).out, "flipping") == 2 })
	for i := range 20 {
		_ = run("-v", vol+":/v", "-v", source+fmt.Sprintf(":/v/a/made%d/x", i), base, "true")
		_ = run("-v", vol+":/v", "--tmpfs", fmt.Sprintf("/v/d/made%d/y", i), "-w", "/v/a/work", base, "true")
	}
}

// A device node of an image's layer, or one made in the container, opens nothing that
// the container was not given.
func TestDeviceNodes(t *testing.T) {
	var st syscall.Stat_t
	if err := syscall.Stat("/", &st); err != nil {
		t.Fatal(err)
	}
	major, minor := int64(st.Dev>>8&0xfff), int64(st.Dev&0xff|st.Dev>>12&0xfff00)
	node := func(name string, kind byte, major, minor int64) tarEntry {
		return tarEntry{Header: tar.Header{Name: name, Typeflag: kind, Mode: 0o666, Devmajor: major, Devminor: minor}}
	}
	nodes := []tarEntry{node("disk", tar.TypeBlock, major, minor), node("kmsg", tar.TypeChar, 1, 11), node("port", tar.TypeChar, 1, 4)}
	name := "device-nodes"
	try := fmt.Sprintf(`mknod /m1 b %d %d; mknod /m2 c 1 11; mknod /m3 c 1 4; mknod /tmp/m4 b %[1]d %[2]d
for n in /disk /kmsg /port /m1 /m2 /m3 /tmp/m4; do if head -c 1 $n >/dev/null 2>&1; then echo opened $n; fi; done; mount -o remount,dev / && echo remounted; true`, major, minor)
	if err := here.importImage(name, append(here.layer[:len(here.layer):len(here.layer)], nodes...)); err != nil {
		name = base // refused
	}
	for _, flags := range [][]string{nil, {"--tmpfs", "/tmp:dev"}} {
		if out := must(t, run(append(flags, name, "sh", "-c", try)...)); out != "" {
			t.Errorf("%v: %s", flags, out)
		}
	}
}
