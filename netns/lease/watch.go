package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch calls changed after every change of the network's leases until ctx ends, and
// returns ctx's error then. It waits without a thread.
func (l *Leases) Watch(ctx context.Context, networkID string, changed func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watching the leases of network %.12s: %w", networkID, err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	if _, err := unix.InotifyAddWatch(fd, l.dir, unix.IN_MOVED_TO|unix.IN_DELETE); err != nil {
		return fmt.Errorf("watching the leases of network %.12s: %w", networkID, err)
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	name := filepath.Base(l.File(networkID))
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("watching the leases of network %.12s: %w", networkID, err)
		}
		if mentions(buf[:max(n, 0)], name) {
			changed()
		}
	}
}

// mentions reports whether one of the inotify(7) events is about the file name, or
// events were lost.
func mentions(events []byte, name string) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		e := (*unix.InotifyEvent)(unsafe.Pointer(&events[0]))
		end := unix.SizeofInotifyEvent + int(e.Len)
		if end > len(events) {
			return true
		}
		file := bytes.TrimRight(events[unix.SizeofInotifyEvent:end], "\x00")
		if string(file) == name || e.Mask&unix.IN_Q_OVERFLOW != 0 {
			return true
		}
		events = events[end:]
	}
	return false
}
