package monitor

import (
	"fmt"
	"os"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaces says which namespaces the container shares and with whom.
func (r *root) namespaces() (map[rspec.LinuxNamespaceType]string, error) {
	ns := map[rspec.LinuxNamespaceType]string{}
	for _, n := range []struct {
		kind rspec.LinuxNamespaceType
		proc string
		flag int
		mode string
	}{
		{rspec.NetworkNamespace, "net", unix.CLONE_NEWNET, r.cfg.NS.Network},
		{rspec.IPCNamespace, "ipc", unix.CLONE_NEWIPC, r.cfg.NS.IPC},
		{rspec.PIDNamespace, "pid", unix.CLONE_NEWPID, r.cfg.NS.PID},
		{rspec.UTSNamespace, "uts", unix.CLONE_NEWUTS, r.cfg.NS.UTS},
		{rspec.CgroupNamespace, "cgroup", unix.CLONE_NEWCGROUP, r.cfg.NS.Cgroup},
	} {
		kind, arg, _ := strings.Cut(n.mode, ":")
		switch kind {
		case "host":
			ns[n.kind] = "host"
		case "ns":
			path, err := r.named(arg, n.proc, n.flag)
			if err != nil {
				return nil, err
			}
			ns[n.kind] = path
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

// named opens the namespace at a path of the user's (ns:PATH).
func (r *root) named(path, kind string, flag int) (string, error) {
	if f := r.joined[kind]; f != nil {
		return ownFile(f), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("joining the %s namespace: %w", kind, err)
	}
	if is, err := unix.IoctlRetInt(rawFd(f), unix.NS_GET_NSTYPE); err != nil || is != flag {
		f.Close()
		return "", fmt.Errorf("joining the %s namespace: %s is not one", kind, path)
	}
	r.joined[kind] = f
	return ownFile(f), nil
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
