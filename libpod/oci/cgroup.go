package oci

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupUsable reports whether a cgroup at path can be made by this process. On a
// version 1 or hybrid hierarchy the freezer, which pause needs, stands for all.
func cgroupUsable(path string) bool {
	root := filepath.Join(cgroupRoot, "freezer")
	var fs unix.Statfs_t
	if unix.Statfs(cgroupRoot, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		root = cgroupRoot
	}
	dir := filepath.Join(root, filepath.Clean("/"+path))
	for {
		err := unix.Access(dir, unix.W_OK)
		if !errors.Is(err, unix.ENOENT) || dir == root {
			return err == nil
		}
		dir = filepath.Dir(dir)
	}
}

// withoutCgroup returns spec as it is to be run where no cgroup can be made: the same
// spec without a cgroup's path, or an error when limits were asked for.
func withoutCgroup(spec *rspec.Spec) (*rspec.Spec, error) {
	if spec.Linux == nil {
		return spec, nil
	}
	if limit := askedLimit(spec.Linux.Resources); limit != "" {
		return nil, fmt.Errorf("limiting %s: %w", limit, ErrNoCgroup)
	}
	linux := *spec.Linux
	linux.CgroupsPath, linux.Resources = "", nil
	stripped := *spec
	stripped.Linux = &linux
	return &stripped, nil
}

// askedLimit names a limit that r asks for. Device rules are none: in a user
// namespace no device node can be made, and the rules are everybody's default.
func askedLimit(r *rspec.LinuxResources) string {
	if r == nil {
		return ""
	}
	pids := r.Pids
	if pids != nil && pids.Limit != nil && *pids.Limit <= 0 {
		pids = nil
	}
	for _, limit := range []struct {
		name  string
		value any
	}{
		{"memory", r.Memory}, {"CPU", r.CPU}, {"processes", pids}, {"block I/O", r.BlockIO},
		{"huge pages", r.HugepageLimits}, {"RDMA", r.Rdma}, {"cgroup files", r.Unified},
	} {
		if v := reflect.Indirect(reflect.ValueOf(limit.value)); v.IsValid() && !v.IsZero() {
			return limit.name
		}
	}
	return ""
}
