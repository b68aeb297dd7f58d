package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// pipe has bytes that are under way: in the kernel, or in memory of this process when
// there are too many pipes.
type pipe struct {
	r, w   int
	large  bool
	memory []byte
	held   []byte // the part of memory with bytes in it
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
		return splice(fd, p.w, largeSize)
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
