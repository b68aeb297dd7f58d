package verbs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/libpod"
	"ctr/libpod/state"
	"ctr/netns/link"
	"ctr/pkg/paths"
	"ctr/pkg/userns"
	"ctr/pkg/version"
	"ctr/storage"
)

// gatherInfo asks the machine and the stores. It changes nothing.
func gatherInfo() (systemInfo, error) {
	info := systemInfo{
		Plugins: plugins{
			Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null", "pasta", "slirp4netns"},
			Log: []string{"json-file", "k8s-file", "none", "passthrough", "journald"},
		},
		LoggingDriver: "json-file", DefaultRuntime: "builtin", OSType: "linux", NCPU: runtime.NumCPU(),
		ServerVersion: version.Version, KernelVersion: kernelRelease(), OperatingSystem: operatingSystem(),
		SecurityOptions: []string{"name=seccomp,profile=builtin"}, Runtimes: map[string]runtimeInfo{"builtin": {}},
	}
	info.Name, _ = os.Hostname()
	info.Architecture = machine()
	var mem unix.Sysinfo_t
	if unix.Sysinfo(&mem) == nil {
		info.MemTotal = int64(mem.Totalram) * int64(mem.Unit)
	}
	id, _ := os.ReadFile("/etc/machine-id")
	info.ID = strings.TrimSpace(string(id))
	for _, name := range []string{"crun", "runc", "runsc", "kata-runtime"} {
		if path, err := exec.LookPath(name); err == nil {
			info.Runtimes[name] = runtimeInfo{Path: path}
		}
	}
	if err := info.countContainers(); err != nil {
		return info, err
	}
	if err := info.describeStore(); err != nil {
		return info, err
	}
	info.describeIDs()
	info.describeCgroups()
	info.describeLink()
	if path, err := paths.Full(); err == nil {
		info.Ctr.FullProgram = path
	} else {
		info.Warnings = append(info.Warnings, err.Error())
	}
	return info, nil
}

func (info *systemInfo) countContainers() error {
	engine, err := libpod.Open()
	if err != nil {
		return err
	}
	info.DockerRootDir, info.Ctr.RunDirectory = engine.Data(), engine.Run()
	list, err := engine.Containers()
	if err != nil {
		info.Warnings = append(info.Warnings, err.Error())
	}
	for _, c := range list {
		st, err := c.State()
		switch {
		case err != nil:
			info.Warnings = append(info.Warnings, err.Error())
		case st.Status == state.Paused:
			info.ContainersPaused++
		case st.Active():
			info.ContainersRunning++
		default:
			info.ContainersStopped++
		}
	}
	info.Containers = len(list)
	return nil
}

func (info *systemInfo) describeStore() error {
	store, err := storage.Open()
	if err != nil {
		return err
	}
	images, err := store.Images()
	if err != nil {
		return err
	}
	info.Images = len(images)
	info.Driver, info.Ctr.ImageStore, info.Ctr.MountProgram = store.Driver(), store.GraphRoot(), store.MountProgram()
	return nil
}

func (info *systemInfo) describeIDs() {
	if !userns.Needed() {
		info.Ctr.SubordinateIDs = "not needed"
		return
	}
	info.Ctr.Rootless = true
	info.SecurityOptions = append(info.SecurityOptions, "name=rootless")
	plan := userns.Plan()
	if plan.Single() {
		info.Ctr.SubordinateIDs = "none"
		info.Warnings = append(info.Warnings, plan.Missing)
		return
	}
	info.Ctr.SubordinateIDs = fmt.Sprintf("%d uids, %d gids", count(plan.UIDs), count(plan.GIDs))
}

func count(ranges []userns.Range) int {
	n := 0
	for _, r := range ranges {
		n += r.Size
	}
	return n
}

// describeLink says which link the bridges use, or would use.
func (info *systemInfo) describeLink() {
	l := &info.Ctr.NetworkLink
	if !info.Ctr.Rootless {
		return
	}
	l.Unavailable = map[string]string{}
	for name, why := range link.Available() {
		if why != "" {
			l.Unavailable[name] = why
		}
	}
	if helper, err := link.Read(info.Ctr.RunDirectory); err == nil && helper.Process.Alive() {
		l.Name, l.Note, l.InUse = helper.Link, helper.Note, true
		return
	}
	var err error
	if l.Name, l.Note, err = link.Chosen(); err != nil {
		l.Name = "unavailable"
		info.Warnings = append(info.Warnings, err.Error())
	}
}

// describeCgroups says which hierarchy there is and whether we may make groups in it.
func (info *systemInfo) describeCgroups() {
	info.CgroupVersion, info.CgroupDriver = "1", "none"
	root := "/sys/fs/cgroup"
	var fs unix.Statfs_t
	if unix.Statfs(root, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		info.CgroupVersion = "2"
		root = filepath.Join(root, ownCgroup())
	} else {
		root = filepath.Join(root, "memory")
	}
	if unix.Access(root, unix.W_OK) == nil {
		info.CgroupDriver = "cgroupfs"
	} else {
		info.Warnings = append(info.Warnings, "No writable cgroup: no limits, no pause")
	}
}

// ownCgroup is our place in the unified hierarchy.
func ownCgroup() string {
	lines, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(lines)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			return path
		}
	}
	return ""
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

func machine() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(name.Machine[:])
}

// operatingSystem is the distribution's name for itself.
func operatingSystem() string {
	lines, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(lines)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); found {
			if unquoted, err := strconv.Unquote(value); err == nil {
				return unquoted
			}
			return value
		}
	}
	return "Linux"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
