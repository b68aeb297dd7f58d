package relay

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for many sockets in one goroutine, so that a socket that is silent
// costs neither a goroutine nor a buffer (epoll(7)).
type poller struct {
	file *os.File // the epoll descriptor, which the Go runtime waits for in its turn
	raw  syscall.RawConn
	fd   int

	mu    sync.Mutex
	last  ticket
	ready map[ticket]func(events uint32)
}

// ticket names a watched descriptor. Unlike the descriptor's number it is never used
// again, so that an event that is late finds nobody.
type ticket uint64

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating an epoll instance: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("creating an epoll instance: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, ready: map[ticket]func(uint32){}}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("creating an epoll instance: %w", err)
	}
	return p, nil
}

// watch calls ready in the poller's goroutine whenever one of the events is there. It
// ends with forget, or by itself when the descriptor is closed; then the ticket is
// to be dropped.
func (p *poller) watch(fd int, events uint32, ready func(uint32)) (ticket, error) {
	p.mu.Lock()
	p.last++
	t := p.last
	p.ready[t] = ready
	p.mu.Unlock()
	e := event(t, events)
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		p.drop(t)
		return 0, fmt.Errorf("watching a socket: %w", err)
	}
	return t, nil
}

// change sets other events to wait for.
func (p *poller) change(fd int, t ticket, events uint32) {
	e := event(t, events)
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

// forget ends the watch of a descriptor that stays open.
func (p *poller) forget(fd int, t ticket) {
	p.drop(t)
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

func (p *poller) drop(t ticket) {
	p.mu.Lock()
	delete(p.ready, t)
	p.mu.Unlock()
}

func event(t ticket, events uint32) unix.EpollEvent {
	return unix.EpollEvent{Events: events, Fd: int32(t >> 32), Pad: int32(t)}
}

// run calls the watchers until close.
func (p *poller) run() error {
	var events [64]unix.EpollEvent
	for {
		n, err := 0, error(nil)
		waited := p.raw.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if waited != nil {
			return waited
		}
		if err != nil {
			return fmt.Errorf("waiting for sockets: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			t := ticket(uint32(e.Fd))<<32 | ticket(uint32(e.Pad))
			p.mu.Lock()
			ready := p.ready[t]
			p.mu.Unlock()
			if ready != nil {
				ready(e.Events)
			}
		}
	}
}

func (p *poller) close() { p.file.Close() }
