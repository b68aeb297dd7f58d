package libpod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/libpod/state"
	"ctr/netns/link"
	"ctr/pkg/atomicfile"
	"ctr/pkg/userns"
)

// All containers of a user that run at one time share one user namespace: only so
// can they share other namespaces, or be connected. It is made by the first
// monitor, entered by the others, and ends with the last; run/userns.json names a
// process in it. Entering also saves the two set-uid programs that map ids.

func (r *Runtime) usernsFile() string { return filepath.Join(r.store.Run(), "userns.json") }

// inUserNamespace spawns a long-lived process of this user's in that namespace:
// the one of container with when that is not "", else the shared one. The map is
// the zero value unless the namespace was made now.
func (r *Runtime) inUserNamespace(with string, c userns.Command) (userns.Map, error) {
	if !userns.Needed() {
		pid, m, err := c.Spawn()
		if err == nil {
			go reap(pid)
		}
		return m, err
	}
	if with != "" {
		ns, err := r.namespaceOf(with)
		if err != nil {
			return userns.Map{}, err
		}
		defer ns.Close()
		c.Join = ns
		return r.spawnAndRemember(c)
	}
	if ns := r.sharedNamespace(); ns != nil {
		defer ns.Close()
		c.Join = ns
		pid, m, err := c.Spawn()
		if err == nil {
			go reap(pid)
		}
		return m, err
	}
	lock, err := os.OpenFile(filepath.Join(r.store.Run(), "userns.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return userns.Map{}, fmt.Errorf("locking the user namespace: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return userns.Map{}, fmt.Errorf("locking the user namespace: %w", err)
	}
	ns := r.sharedNamespace()
	if ns == nil {
		ns = r.anyNamespace()
	}
	if ns != nil {
		defer ns.Close()
		c.Join = ns
	}
	return r.spawnAndRemember(c)
}

func (r *Runtime) spawnAndRemember(c userns.Command) (userns.Map, error) {
	pid, m, err := c.Spawn()
	if err != nil {
		return m, err
	}
	go reap(pid)
	b, err := json.Marshal(state.ProcessOf(pid))
	if err != nil {
		return m, err
	}
	return m, atomicfile.Write(r.usernsFile(), b, 0o600, false)
}

// sharedNamespace opens the namespace that is on record, nil when its process is gone.
func (r *Runtime) sharedNamespace() *os.File {
	var p state.Process
	b, err := os.ReadFile(r.usernsFile())
	if err != nil || json.Unmarshal(b, &p) != nil {
		return nil
	}
	return openNamespace(p)
}

// anyNamespace looks for another process of the namespace after the one on record
// ended: the network helper, which has the bridges, or a container that still runs.
func (r *Runtime) anyNamespace() *os.File {
	if l, err := link.Read(r.store.Run()); err == nil {
		if ns := openNamespace(l.Process); ns != nil {
			return ns
		}
	}
	ids, err := r.store.RunningIDs()
	if err != nil {
		return nil
	}
	for _, id := range ids {
		if rec, err := r.store.ReadRecord(id); err == nil && rec != nil {
			if ns := openNamespace(rec.Monitor); ns != nil {
				return ns
			}
		}
	}
	return nil
}

// openNamespace opens the user namespace of p, if p is alive after that as before.
func openNamespace(p state.Process) *os.File {
	if !p.Alive() {
		return nil
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	if err != nil {
		return nil
	}
	if !p.Alive() {
		ns.Close()
		return nil
	}
	return ns
}

// sharesWith is the container whose namespaces this one asked to join, or "".
func (c *Container) sharesWith() string {
	for _, mode := range []string{c.cfg.NS.Network, c.cfg.NS.IPC, c.cfg.NS.PID, c.cfg.NS.UTS} {
		if name, ok := strings.CutPrefix(mode, "container:"); ok {
			return name
		}
	}
	return ""
}

func (r *Runtime) namespaceOf(name string) (*os.File, error) {
	c, err := r.Lookup(name)
	if err != nil {
		return nil, err
	}
	st, err := c.State()
	if err != nil {
		return nil, err
	}
	if ns := openNamespace(st.Monitor); ns != nil {
		return ns, nil
	}
	return nil, &Error{ErrNotRunning, fmt.Sprintf("cannot join the namespaces of container %s: it is not running", name)}
}

// clean runs this program's cleaner on paths in the user namespace.
func (r *Runtime) clean(paths []string, wait bool) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	c := userns.Command{Args: append([]string{CleanName}, paths...), Env: monitorEnv(), Files: []*os.File{null, null, null}, Setsid: true}
	if c.Join = r.sharedNamespace(); c.Join != nil {
		defer c.Join.Close()
	}
	pid, _, err := c.Spawn()
	switch {
	case err != nil:
		return fmt.Errorf("removing %s: %w", strings.Join(paths, ", "), err)
	case !wait:
		go reap(pid)
		return nil
	}
	reap(pid)
	var left []error
	for _, p := range paths {
		if _, err := os.Lstat(p); err == nil {
			left = append(left, fmt.Errorf("removing %s: some files are left", p))
		}
	}
	return errors.Join(left...)
}
