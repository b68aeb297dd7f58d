// Package term deals with terminals: raw mode, their size, and the keys that
// detach from a container.
//
// It uses nothing but ioctls on the file that it is given, and leaves the blocking
// mode of the descriptor as it is, because that is shared with whoever else has
// the terminal open.
package term

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Winsize is the size of a terminal in characters.
type Winsize struct {
	Height, Width uint16
}

// IsTerminal tells whether f, which may be nil, is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := attributes(f)
	return err == nil
}

// MakeRaw puts the terminal f into raw mode: every byte that is typed arrives as
// it is and at once, and nothing is echoed. restore puts it back as it was; it may
// be called from several goroutines, only the first call does anything.
func MakeRaw(f *os.File) (restore func(), err error) {
	before, err := attributes(f)
	if err != nil {
		return nil, fmt.Errorf("reading the terminal's mode: %w", err)
	}
	raw := *before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag &^= unix.CSIZE | unix.PARENB
	raw.Cflag |= unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := setAttributes(f, &raw); err != nil {
		return nil, fmt.Errorf("making the terminal raw: %w", err)
	}
	// a terminal that is gone need not be put back
	return sync.OnceFunc(func() { _ = setAttributes(f, before) }), nil
}

func attributes(f *os.File) (t *unix.Termios, err error) {
	control(f, &err, func(fd int) { t, err = unix.IoctlGetTermios(fd, unix.TCGETS) })
	return t, err
}

func setAttributes(f *os.File, t *unix.Termios) (err error) {
	control(f, &err, func(fd int) { err = unix.IoctlSetTermios(fd, unix.TCSETS, t) })
	return err
}

// control calls do with f's descriptor, or sets err when f is nil or closed.
func control(f *os.File, err *error, do func(fd int)) {
	conn, e := f.SyscallConn()
	if e == nil {
		e = conn.Control(func(fd uintptr) { do(int(fd)) })
	}
	if e != nil {
		*err = e
	}
}

// Size is the present size of the terminal f.
func Size(f *os.File) (Winsize, error) {
	var w *unix.Winsize
	var err error
	control(f, &err, func(fd int) { w, err = unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ) })
	if err != nil {
		return Winsize{}, fmt.Errorf("reading the terminal's size: %w", err)
	}
	return Winsize{Height: w.Row, Width: w.Col}, nil
}

// SetSize changes the size of the terminal f, of either of its ends. The processes
// in its foreground get SIGWINCH when that is a change.
func SetSize(f *os.File, size Winsize) (err error) {
	w := unix.Winsize{Row: size.Height, Col: size.Width}
	control(f, &err, func(fd int) { err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &w) })
	if err != nil {
		return fmt.Errorf("setting the terminal's size: %w", err)
	}
	return nil
}

// Columns is the width of the terminal with descriptor fd, 0 when it is none or
// does not know its size.
func Columns(fd uintptr) int {
	w, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(w.Col)
}

// NotifyResize returns a channel that gets a value after this process's terminal
// has changed its size. Changes that come while a value waits are one with it. The
// channel is closed when ctx ends.
func NotifyResize(ctx context.Context) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGWINCH)
	changes := make(chan struct{}, 1)
	go func() {
		defer close(changes)
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes
}
