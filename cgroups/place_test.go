package cgroups

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnifiedPath(t *testing.T) {
	for content, want := range map[string]string{
		"0::/user.slice/a.service\n":                  "/user.slice/a.service",
		"4:memory:/x\n1:name=systemd:/y\n0::/unified": "/unified",
		"0::/\n":           "/",
		"0::/../../other":  "",
		"4:memory:/only\n": "",
		"":                 "",
	} {
		got, ok := unifiedPath(content)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %t", content, got, ok)
		}
	}
}

// In a version 1 tree a container has a group when its freezer can be written.
func TestForContainerInVersion1(t *testing.T) {
	mount := t.TempDir()
	if path, ok := forContainer(mount, "/proc/self/cgroup", "id"); ok {
		t.Errorf("%s without a hierarchy", path)
	}
	if err := os.Mkdir(filepath.Join(mount, "freezer"), 0o755); err != nil {
		t.Fatal(err)
	}
	if path, ok := forContainer(mount, "/proc/self/cgroup", "id"); !ok || path != "/ctr/id" {
		t.Errorf("%s, %t", path, ok)
	}
}

func TestDelegatedNeedsItsProcsToo(t *testing.T) {
	dir := t.TempDir()
	if delegated(dir) {
		t.Error("without cgroup.procs")
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !delegated(dir) {
		t.Error("with cgroup.procs")
	}
}

func TestForContainerOnThisMachine(t *testing.T) {
	if os.Getuid() != 0 || unix.Access("/sys/fs/cgroup", unix.W_OK) != nil {
		t.Skip("this user owns no cgroups")
	}
	if path, ok := ForContainer("id"); !ok || path != "/ctr/id" {
		t.Errorf("root has %q, %t", path, ok)
	}
}

func TestToOCI(t *testing.T) {
	if (Limits{}).ToOCI() != nil {
		t.Error("no limits, but resources")
	}
	if r := (Limits{PidsLimit: 9}).ToOCI(); *r.Pids.Limit != 9 {
		t.Errorf("%+v", r)
	}
}

func BenchmarkForContainer(b *testing.B) {
	for b.Loop() {
		ForContainer("id")
	}
}
