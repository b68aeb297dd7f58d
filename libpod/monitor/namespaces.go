package monitor

import (
	"fmt"
	"os"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// namespaces says which namespaces the container shares and with whom.
func (r *root) namespaces() (map[rspec.LinuxNamespaceType]string, error) {
	ns := map[rspec.LinuxNamespaceType]string{}
	for _, n := range []struct {
		kind rspec.LinuxNamespaceType
		proc string
		mode string
	}{
		{rspec.NetworkNamespace, "net", r.cfg.NS.Network},
		{rspec.IPCNamespace, "ipc", r.cfg.NS.IPC},
		{rspec.PIDNamespace, "pid", r.cfg.NS.PID},
		{rspec.UTSNamespace, "uts", r.cfg.NS.UTS},
		{rspec.CgroupNamespace, "cgroup", r.cfg.NS.Cgroup},
	} {
		kind, arg, _ := strings.Cut(n.mode, ":")
		switch kind {
		case "host":
			ns[n.kind] = "host"
		case "ns":
			ns[n.kind] = arg
		case "container":
			path, err := r.join(arg, n.proc)
			if err != nil {
				return nil, err
			}
			ns[n.kind] = path
		}
	}
	if r.wiring != nil {
		ns[rspec.NetworkNamespace] = ownFile(r.wiring.ns)
	}
	return ns, nil
}

// join opens a namespace of another container that runs, so that it stays the same
// one until the executor enters it.
func (r *root) join(name, kind string) (string, error) {
	if f := r.joined[kind]; f != nil {
		return ownFile(f), nil
	}
	id, err := r.store.Resolve(name)
	if err != nil {
		return "", err
	}
	record, err := r.store.ReadRecord(id)
	if err != nil {
		return "", err
	}
	if record != nil && record.Container.Alive() {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", record.Container.Pid, kind))
		if err == nil && record.Container.Alive() {
			r.joined[kind] = f
			if kind == "ipc" {
				err = r.shareShm(record.Container.Pid)
			}
			return ownFile(f), err
		}
	}
	return "", fmt.Errorf("cannot join the %s namespace of container %s: it is not running", kind, name)
}

// ownFile is a path by which a child of this process reaches an open file of it.
func ownFile(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), rawFd(f)) }
