package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/libpod/spec"
)

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.0-1-amd64": true, "5.12.0": true, "5.12-rc1": true, "5.11.22": false, "4.19.0": false, "10.0": true, "odd": true,
	} {
		if atLeast(release, 5, 12) != want {
			t.Errorf("%s at least 5.12: %t", release, !want)
		}
	}
}

func TestProbe(t *testing.T) {
	h, err := Probe(&config.Container{}, true)
	if err != nil || h.Hostname == "" || h.Devices != nil || h.Capabilities == 0 || h.HardLimits != nil || h.Confined {
		t.Errorf("%+v, %v", h, err)
	}
	score := 5
	h, err = Probe(&config.Container{
		Ulimits: []config.Ulimit{{Name: "nofile"}}, OOMScoreAdj: &score,
	}, true)
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	if err != nil || !h.Confined || h.HardLimits["nofile"] != own.Max {
		t.Errorf("%+v, %v", h, err)
	}
	if _, known := h.HardLimits["stack"]; !known || len(h.HardLimits) != 15 {
		t.Errorf("limits %v", h.HardLimits)
	}
}

func TestDevices(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	asked := func(host, container string) ([]spec.Device, error) {
		return devices(&config.Container{Devices: []config.Device{{Host: host, Container: container, Permissions: "rw"}}}, false)
	}
	for _, host := range []string{"/dev/null", filepath.Join(dir, "link")} {
		found, err := asked(host, "/dev/mine")
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %+v, %v", host, found, err)
		}
		d := found[0]
		if d.Host != "/dev/null" || d.Container != "/dev/mine" || d.Type != "c" || d.Major != 1 || d.Minor != 3 || d.Permissions != "rw" || d.Mode != 0o666 {
			t.Errorf("%s: %+v", host, d)
		}
	}
	for _, host := range []string{filepath.Join(dir, "missing"), "/etc/passwd", dir} {
		if found, err := asked(host, "/dev/mine"); err == nil || !strings.Contains(err.Error(), "error gathering device information while adding custom device") {
			t.Errorf("%s: %+v, %v", host, found, err)
		}
	}
}

func TestDeviceDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mknod(filepath.Join(dir, "a"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
		t.Skipf("making a device node: %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := lookup(config.Device{Host: dir, Container: "/dev/set", Permissions: "r"})
	if err != nil || len(found) != 1 || found[0].Container != "/dev/set/a" || found[0].Host != filepath.Join(dir, "a") {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestPrivilegedDevices(t *testing.T) {
	found := allDevices(false)
	at := func(p string) bool {
		return slices.ContainsFunc(found, func(d spec.Device) bool { return d.Host == p && d.Permissions == "rwm" })
	}
	if !at("/dev/null") || at("/dev/console") || at("/dev/ptmx") || at("/dev/pts/0") {
		t.Errorf("devices %+v", found)
	}
}

func BenchmarkProbe(b *testing.B) {
	for b.Loop() {
		if _, err := Probe(&config.Container{}, true); err != nil {
			b.Fatal(err)
		}
	}
}
