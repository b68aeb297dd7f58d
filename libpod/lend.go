package libpod

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// loan is what an exec'd process gets for the caller's streams. A pipe or a socket is
// given as it is. Whoever has a file, a directory or a terminal open can do more with
// it through /proc/self/fd than read or write: open it anew with other rights, walk
// up from it, or keep reading what is typed. Those stay here; the process gets a pipe.
type loan struct {
	files   []*os.File // the process's descriptors 0, 1 and 2
	passed  []*os.File // of these, the ones to close once it has them
	input   func()     // feeds its stdin; nil: nobody has to
	outputs []*output
}

// output is a pipe that the process writes to and the file that it is for.
type output struct {
	pipe, to *os.File
	done     chan struct{}
}

// lend prepares the streams in, out and err, each of which may be /dev/null.
func lend(in, out, err *os.File) (l *loan, failed error) {
	l = &loan{files: []*os.File{in, out, err}}
	defer func() {
		if failed != nil {
			l.abandon()
		}
	}()
	if !harmless(in) {
		read, write, e := pipe(false)
		if e != nil {
			return l, fmt.Errorf("making the process's stdin: %w", e)
		}
		l.files[0], l.passed = read, append(l.passed, read)
		l.input = func() { // ends with the input, or with the process at the next byte
			defer write.Close()
			_, _ = io.Copy(write, in)
		}
	}
	for i, f := range []*os.File{out, err} {
		switch {
		case harmless(f):
		case i == 1 && l.files[1] != out && same(out, err):
			l.files[2] = l.files[1] // one pipe keeps the order of what is written
		default:
			read, write, e := pipe(true)
			if e != nil {
				return l, fmt.Errorf("making the process's output: %w", e)
			}
			l.files[1+i], l.passed = write, append(l.passed, write)
			l.outputs = append(l.outputs, &output{pipe: read, to: f, done: make(chan struct{})})
		}
	}
	return l, nil
}

// pipe makes a pipe, of which the process's end has to be a blocking one; with read,
// reading at ours can be interrupted.
func pipe(read bool) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if read {
		err = unix.SetNonblock(fds[0], true)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), err
}

// harmless reports whether f can be handed out: a pipe, a socket, or /dev/null.
func harmless(f *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return true
	case unix.S_IFCHR:
		return st.Rdev == unix.Mkdev(1, 3)
	}
	return false
}

func same(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// abandon closes everything: there is no process.
func (l *loan) abandon() {
	for _, f := range l.passed {
		f.Close()
	}
	for _, o := range l.outputs {
		o.pipe.Close()
	}
}

// begin copies between the caller's streams and the process that has its own now.
func (l *loan) begin() {
	for _, f := range l.passed {
		f.Close()
	}
	if l.input != nil {
		go l.input()
	}
	for _, o := range l.outputs {
		go o.copy()
	}
}

func (o *output) copy() {
	defer close(o.done)
	// not io.Copy, which would leave the copying to the kernel: end interrupts it
	b := make([]byte, 32<<10)
	for {
		n, err := o.pipe.Read(b)
		if n > 0 {
			if _, e := o.to.Write(b[:n]); e != nil {
				o.pipe.Close() // the process learns that nobody reads
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// end returns when all that the process wrote before it ended has been copied. What
// it left running may keep the pipe open; that is not waited for.
func (l *loan) end() {
	for _, o := range l.outputs {
		_ = o.pipe.SetReadDeadline(time.Now())
		<-o.done
		o.drain()
		o.pipe.Close()
	}
}

// drain copies what is in the pipe, without waiting for more.
func (o *output) drain() {
	raw, err := o.pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		b := make([]byte, 32<<10)
		for {
			n, err := unix.Read(int(fd), b)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				return
			}
			if _, err := o.to.Write(b[:n]); err != nil {
				return
			}
		}
	})
}
