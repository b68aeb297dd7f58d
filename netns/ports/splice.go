package ports

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	maxPipes  = 64        // that exist; who gets none copies
	bigPipes  = 16        // of them; the kernel grants a user 64 MiB of pipes in all
	freePipes = 4         // kept for the next
	pipeSize  = 256 << 10 // bytes, of a big one
	chunk     = 1 << 20   // asked of one splice
	copySize  = 32 << 10
)

// pipe carries bytes from one socket to the other, inside the kernel, or in memory
// of this process when there are too many pipes.
type pipe struct {
	r, w   int
	big    bool
	memory []byte
	held   []byte // the part of memory with bytes in it
}

var (
	spare    = make(chan *pipe, freePipes)
	pipes    atomic.Int32
	pipesBig atomic.Int32
)

// takePipe is an empty pipe; the caller gives it back or closes it.
func takePipe() *pipe {
	select {
	case p := <-spare:
		return p
	default:
	}
	var fds [2]int
	if pipes.Add(1) > maxPipes || unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		pipes.Add(-1)
		return &pipe{memory: make([]byte, copySize)}
	}
	p := &pipe{r: fds[0], w: fds[1], big: pipesBig.Add(1) <= bigPipes}
	if p.big {
		unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize)
	} else {
		pipesBig.Add(-1)
	}
	return p
}

// give puts an empty pipe back.
func (p *pipe) give() {
	if p.memory != nil {
		return
	}
	select {
	case spare <- p:
	default:
		p.close()
	}
}

func (p *pipe) close() {
	if p.memory != nil {
		return
	}
	unix.Close(p.r)
	unix.Close(p.w)
	pipes.Add(-1)
	if p.big {
		pipesBig.Add(-1)
	}
}

// pump moves what from receives to to, until from's other side ends. It holds a pipe
// only while there are bytes under way.
func pump(to, from syscall.RawConn) error {
	for {
		p, n, err := fill(from)
		if n == 0 {
			return err
		}
		if err := p.drain(to, n); err != nil {
			p.close()
			return err
		}
		p.give()
	}
}

// fill waits until from has received something, and returns a pipe with n bytes; 0 at the end.
func fill(from syscall.RawConn) (p *pipe, n int, err error) {
	failed := from.Read(func(fd uintptr) bool {
		p = takePipe()
		if n, err = p.receive(int(fd)); n == 0 {
			p.give()
		}
		return err != unix.EAGAIN
	})
	if failed != nil {
		return nil, 0, failed
	}
	return p, n, err
}

// drain sends the n bytes in the pipe.
func (p *pipe) drain(to syscall.RawConn, n int) (err error) {
	failed := to.Write(func(fd uintptr) bool {
		for n > 0 {
			var sent int
			if sent, err = p.send(int(fd), n); err != nil {
				return err != unix.EAGAIN
			}
			n -= sent
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

func (p *pipe) receive(fd int) (int, error) {
	if p.memory == nil {
		return splice(fd, p.w, chunk)
	}
	for {
		n, err := unix.Read(fd, p.memory)
		if err != unix.EINTR {
			p.held = p.memory[:max(0, n)]
			return max(0, n), err
		}
	}
}

// send sends some of the n bytes in the pipe; it never returns 0 without an error.
func (p *pipe) send(fd, n int) (int, error) {
	if p.memory == nil {
		sent, err := splice(p.r, fd, n)
		if sent == 0 && err == nil {
			err = unix.EPIPE
		}
		return sent, err
	}
	for {
		n, err := unix.SendmsgN(fd, p.held, nil, nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			p.held = p.held[max(0, n):]
			return max(0, n), err
		}
	}
}

func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if err != unix.EINTR {
			return max(0, int(moved)), err
		}
	}
}
