package libpod

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/libpod/monitor"
	"ctr/pkg/userns"
)

// newborn is a monitor that has no container yet.
type newborn struct {
	conn *monitor.Conn
	ids  userns.Map
	err  error
	done chan struct{} // closed when the fields above are set
}

// Warm begins to start a monitor for a container that this process is going to
// start: mapping ids and starting the program take half of a start's time, and need
// nothing of the container. A monitor that is not used ends with this process.
func (r *Runtime) Warm() {
	if r.warm != nil {
		return
	}
	r.warm = &newborn{done: make(chan struct{})}
	go r.warm.spawn(r, "")
}

// monitorFor returns the connection to a monitor that has no container yet, in the
// user namespace of container with when that is not "".
func (r *Runtime) monitorFor(with string) (*monitor.Conn, userns.Map, error) {
	n := r.warm
	r.warm = nil
	if n != nil && with != "" { // warmed in another namespace, perhaps
		go n.dismiss()
		n = nil
	}
	if n == nil {
		n = &newborn{done: make(chan struct{})}
		n.spawn(r, with)
	}
	<-n.done
	return n.conn, n.ids, n.err
}

// dismiss ends a monitor that is not needed.
func (n *newborn) dismiss() {
	if <-n.done; n.conn != nil {
		n.conn.Close()
	}
}

func (n *newborn) spawn(r *Runtime, with string) {
	defer close(n.done)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		n.err = fmt.Errorf("making the control connection: %w", err)
		return
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "monitor"), os.NewFile(uintptr(pair[1]), "client")
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		ours.Close()
		n.err = err
		return
	}
	defer null.Close()
	n.ids, n.err = r.inUserNamespace(with, userns.Command{
		Args:   []string{monitor.Name, strings.Repeat("-", 64)}, // room for the container's ID
		Env:    monitorEnv(),
		Files:  []*os.File{null, null, null, theirs},
		Setsid: true,
	})
	if n.err != nil {
		ours.Close()
		return
	}
	n.conn, n.err = monitor.FileConn(ours)
}
