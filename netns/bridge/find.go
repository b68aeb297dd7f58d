package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/process"
	"ctr/pkg/userns"
)

// Open finds the user's hub, or makes it. run is the user's run directory. As real
// root the hub is the network namespace of the caller. The caller closes the Hub.
//
// A made hub has no name: it is found through a process that has it open. Those
// are, first, the processes with a file PID.START.FD in <run>/net/hub, which Open
// makes and [Hub.Close] removes; then the link's helper by its record, and the
// holders of leases. Open makes its own file before it trusts the one it found the
// hub through to be still alive, and a hub is made only, under <run>/net/hub.lock,
// when there is nobody, seen in that order: so a user never has two.
func Open(run string, leases *lease.Leases, networks *network.Networks) (*Hub, error) {
	h := &Hub{dir: filepath.Join(run, "net"), leases: leases, networks: networks}
	if err := os.MkdirAll(filepath.Join(h.dir, "hub"), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory for the networks' state: %w", err)
	}
	if !userns.Inside() {
		if userns.Needed() {
			return nil, errors.New("opening the containers' network: it is the user namespace's, which this process is not in")
		}
		ns, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil, fmt.Errorf("opening the host's network namespace: %w", err)
		}
		h.ns, h.root = ns, true
		return h, nil
	}
	for {
		ns, from, err := h.find()
		if err == nil && ns == nil {
			ns, from, err = h.findOrMake()
		}
		if err != nil {
			return nil, err
		}
		h.ns = ns
		if err := h.register(); err != nil {
			ns.Close()
			return nil, err
		}
		if from.Alive() {
			return h, nil
		}
		os.Remove(h.record)
		ns.Close()
	}
}

// holder is a process that has a hub open.
type holder struct {
	process process.Process
	fd      int
	file    string // in <run>/net/hub, if from there
}

// register makes it known that this process has the hub open.
func (h *Hub) register() error {
	this := process.This()
	h.record = filepath.Join(h.dir, "hub", fmt.Sprintf("%d.%d.%d", this.Pid, this.Start, h.FD()))
	f, err := os.OpenFile(h.record, os.O_CREATE|os.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("recording who has the containers' network open: %w", err)
	}
	return f.Close()
}

// registered lists the files of <run>/net/hub.
func (h *Hub) registered() ([]holder, error) {
	dir := filepath.Join(h.dir, "hub")
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("reading who has the containers' network open: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("reading who has the containers' network open: %w", err)
	}
	var all []holder
	for _, name := range names {
		part := strings.Split(name, ".")
		if len(part) != 3 {
			continue
		}
		pid, err1 := strconv.Atoi(part[0])
		start, err2 := strconv.ParseUint(part[1], 10, 64)
		fd, err3 := strconv.Atoi(part[2])
		if errors.Join(err1, err2, err3) != nil {
			continue
		}
		all = append(all, holder{process.Process{Pid: pid, Start: start}, fd, filepath.Join(dir, name)})
	}
	return all, nil
}

// find opens the hub through the first registered process that has it.
func (h *Hub) find() (*os.File, process.Process, error) {
	all, err := h.registered()
	if err != nil {
		return nil, process.Process{}, err
	}
	for _, p := range all {
		if ns := p.open(); ns != nil {
			return ns, p.process, nil
		}
	}
	return nil, process.Process{}, nil
}

// findOrMake looks everywhere, and makes a hub when there is none. The registered
// come last, again and again until none is left: whoever found the hub through a
// process that has died since has registered before that.
func (h *Hub) findOrMake() (ns *os.File, from process.Process, err error) {
	unlock, err := lock(filepath.Join(h.dir, "hub.lock"), unix.LOCK_EX)
	if err != nil {
		return nil, from, err
	}
	defer unlock()
	others, err := h.recorded()
	if err != nil {
		return nil, from, err
	}
	for _, p := range others {
		if ns := p.open(); ns != nil {
			return ns, p.process, nil
		}
	}
	for {
		all, err := h.registered()
		if err != nil {
			return nil, from, err
		}
		for _, p := range all {
			if ns := p.open(); ns != nil {
				return ns, p.process, nil
			}
			os.Remove(p.file)
		}
		if len(all) == 0 {
			break
		}
	}
	ns, err = h.make()
	return ns, process.This(), err
}

// make makes a hub and registers it, so that it is ready before anybody finds it.
func (h *Hub) make() (*os.File, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	h.ns = ns
	if err := h.prepare(); err != nil {
		ns.Close()
		return nil, err
	}
	if err := h.register(); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

// recorded are the holders that other records name: the link's helper, and the
// monitors with a lease.
func (h *Hub) recorded() ([]holder, error) {
	var all []holder
	var link struct {
		Process process.Process `json:"process"`
		Hub     int             `json:"hub"`
	}
	text, err := os.ReadFile(filepath.Join(h.dir, "link.json"))
	if err == nil && json.Unmarshal(text, &link) == nil {
		all = append(all, holder{process: link.Process, fd: link.Hub})
	}
	leases, err := h.leases.All()
	if err != nil && len(leases) == 0 {
		return nil, fmt.Errorf("looking for the containers' network: %w", err)
	}
	for _, of := range leases {
		for _, l := range of {
			all = append(all, holder{process: l.Holder, fd: l.HubFD})
		}
	}
	return all, nil
}

// open is the hub as p has it open, or nil when it has not. A hub of another user
// namespace, which an earlier helper may still have open, is none for us.
func (p holder) open() *os.File {
	if p.fd <= 0 || !p.process.Alive() {
		return nil
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", p.process.Pid, p.fd)
	if target, err := os.Readlink(path); err != nil || !strings.HasPrefix(target, "net:[") {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET || !ours(fd) || !p.process.Alive() {
		unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "hub")
}

// ours reports whether the namespace belongs to this process's user namespace.
func ours(ns int) bool {
	owner, err := unix.IoctlRetInt(ns, unix.NS_GET_USERNS)
	if err != nil {
		return false
	}
	defer unix.Close(owner)
	var theirs, own unix.Stat_t
	return unix.Fstat(owner, &theirs) == nil && unix.Stat("/proc/self/ns/user", &own) == nil &&
		theirs.Dev == own.Dev && theirs.Ino == own.Ino
}

// lock takes a flock(2) on path until the function it returns is called.
func lock(path string, how int) (unlock func(), err error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	for {
		err = unix.Flock(fd, how)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { unix.Close(fd) }, nil
}
