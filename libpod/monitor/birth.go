package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ctr/libpod/oci"
	"ctr/libpod/state"
	"ctr/pkg/paths"
)

// Name is argv[0] of a monitor; argv[1] is room for the container's ID, which only
// the request to start one tells: a monitor is born before its container is chosen.
const Name = "ctr-monitor"

// bornSocket is the descriptor, after stdin, stdout and stderr, of the connection to
// the client that starts the container. With its request come the container's lock,
// held until it has started, a file for what goes wrong, and those of --preserve-fds.
const bornSocket = 3

// Main is the whole life of a monitor; it returns the process's exit code.
func Main() int {
	debug.SetGCPercent(-1) // starting is short; rest turns collecting on
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	conn, err := FileConn(os.NewFile(bornSocket, "client"))
	if err != nil {
		return 1
	}
	var req Request
	kind, p, err := conn.Receive()
	if err != nil || kind != KindRequest || json.Unmarshal(p, &req) != nil || req.Op != OpStart {
		return 1 // the client has no container to start, or died
	}
	m, err := born(req.ID, conn.Files())
	if err != nil {
		refuse(conn, err)
		return 1
	}
	return m.live(conn, req)
}

func born(id string, files []*os.File) (*Monitor, error) {
	if len(files) < 2 {
		return nil, errors.New("starting a container: the lock did not arrive")
	}
	if err := unix.Dup3(rawFd(files[1]), int(os.Stderr.Fd()), 0); err != nil {
		return nil, fmt.Errorf("opening the monitor's log: %w", err)
	}
	files[1].Close()
	data, err := paths.Data()
	if err != nil {
		return nil, err
	}
	run, err := paths.Run()
	if err != nil {
		return nil, err
	}
	m := &Monitor{
		store: state.Open(data, run),
		lock:  files[0], extra: files[2:],
		wake: make(chan struct{}), done: make(chan struct{}),
	}
	if m.cfg, err = m.store.Load(id); err != nil {
		return nil, err
	}
	m.dir = m.store.RunDir(id)
	showID(id)
	return m, os.Chdir("/")
}

// showID names the process and its container where ps(1) looks for them.
func showID(id string) {
	_ = os.WriteFile("/proc/self/comm", []byte(Name), 0)
	if len(os.Args) > 1 && len(os.Args[1]) == len(id) {
		copy(unsafe.Slice(unsafe.StringData(os.Args[1]), len(id)), id)
	}
}

func refuse(conn *Conn, err error) {
	_ = conn.SendJSON(KindReply, Reply{Error: fault(err)})
	conn.Close()
}

func fault(err error) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, oci.ErrNotFound):
		return &Fault{Kind: FaultNotFound, Message: err.Error()}
	case errors.Is(err, oci.ErrNotExecutable):
		return &Fault{Kind: FaultNotExecutable, Message: err.Error()}
	case errors.Is(err, oci.ErrNoCgroup):
		return &Fault{Kind: FaultNoCgroup, Message: err.Error()}
	}
	return &Fault{Message: err.Error()}
}
