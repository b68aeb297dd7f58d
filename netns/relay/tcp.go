package relay

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/splice"
)

// tuple names a connection or flow as its container sees it.
type tuple struct{ src, dst netip.AddrPort }

// patienceTime is how long a connection is at least given before it makes room for
// others. So a flood of new ones ends here, cheaply, and not in the host's network, and
// those that containers do not accept cannot fill the hub's queue.
const patienceTime = 3 * time.Second

// acceptTime is how long a connection may take from the answer of its destination to
// the container's: it is on the same machine, and the kernel asks it three times.
const acceptTime = 10 * time.Second

// streams are the TCP connections.
type streams struct {
	*engine
	pipes     splice.Pipes
	listeners []*listener
	most      int // connections in all; half of them for one source

	mu      sync.Mutex
	known   map[tuple]*connection
	copying map[*connection]struct{}
	pending *crowd[*connection]
	open    map[netip.Addr]int // connections of each source
	closed  bool
	running sync.WaitGroup
}

type state int

const (
	dialing state = iota
	dialed        // waiting for the container's socket in the hub
	joined        // being copied
)

// connection is one that a container has opened or wants to. It is in streams.known until
// it ends or another takes its name.
type connection struct {
	tuple
	state state
	began time.Time
	first []byte // the packet that opens it
	seq   uint32 // its sequence number
	host  int    // the socket, until joined
	watch ticket
	place place     // among the pending
	until time.Time // when it is dialed but not joined

	ends [2]*stream // when it is joined
}

func newStreams(e *engine, files int) (*streams, error) {
	pending := max(16, min(4096, files/8))
	s := &streams{
		engine: e, pipes: splice.Pipes{Most: 1024, Large: 16, Spare: 16}, most: max(16, (files-files/4-pending-64)/6), // two sockets and two pipes each
		known: map[tuple]*connection{}, copying: map[*connection]struct{}{}, pending: newCrowd[*connection](pending), open: map[netip.Addr]int{},
	}
	err := s.listen()
	for _, l := range s.listeners {
		if err == nil {
			l.watch, err = e.poller.watch(l.fd, unix.EPOLLIN, func(uint32) { s.accept(l) })
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// take is given every TCP packet that leaves the hub: the first of each connection and
// its repetitions, and what belongs to none any more.
func (s *streams) take(p packet) {
	seg, ok := parseTCP(p.payload)
	if !ok || seg.src == 0 || seg.dst == 0 {
		return
	}
	t := tuple{netip.AddrPortFrom(p.src, seg.src), netip.AddrPortFrom(p.dst, seg.dst)}
	s.mu.Lock()
	if c := s.known[t]; c != nil {
		if again := s.takeKnown(c, seg, p); !again {
			s.mu.Unlock()
			return
		}
	}
	s.mu.Unlock()
	switch {
	case seg.opens():
		if err := s.dial(t, seg.seq, p.raw); err != nil {
			s.refuse(t, p.raw, err)
		}
	case seg.flags&flagRST == 0 && answerable(p.src, p.dst):
		s.write(reset(t, seg))
	}
}

// takeKnown is given a packet that bears the name of a connection. It reports whether that
// is free now. s.mu is held.
func (s *streams) takeKnown(c *connection, seg segment, p packet) (free bool) {
	switch {
	case !seg.opens(): // the kernel's copying is about to end, or has not begun
	case c.state == joined:
		if seg.seq == c.seq { // a late repetition
			return false
		}
		delete(s.known, c.tuple) // the container has done with it
		return true
	case c.state == dialed:
		s.write(p.raw)
	case seg.seq != c.seq: // the container has begun anew
		c.first, c.seq = append(c.first[:0], p.raw...), seg.seq
	}
	return false
}

// refuse tells the container that first leads nowhere.
func (s *streams) refuse(t tuple, first []byte, err error) {
	if errors.Is(err, errUnanswerable) {
		return
	}
	switch r := why(err); r {
	case noAnswer:
		if errors.Is(err, unix.ECONNRESET) {
			s.writeReset(t, first)
		}
	case refused:
		s.writeReset(t, first)
	default:
		s.write(unreachable(first, t.src.Addr(), t.dst.Addr(), r))
	}
}

func (s *streams) writeReset(t tuple, first []byte) {
	if p, ok := parse(first); ok {
		if seg, ok := parseTCP(p.payload); ok {
			s.write(reset(t, seg))
		}
	}
}

var errTooMany = errors.New("too many connections")

// dial begins to connect to t.dst. What comes of it is the poller's to see.
func (s *streams) dial(t tuple, seq uint32, first []byte) error {
	to, err := s.target(t.src.Addr(), t.dst.Addr())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.copying)+s.pending.size() >= s.most || s.open[t.src.Addr()] >= s.most/2 {
		return errTooMany
	}
	now := time.Now()
	if victim, full := s.pending.room(t.src.Addr()); full {
		if victim.state == dialed || now.Sub(victim.began) < patienceTime {
			return errTooMany
		}
		s.drop(victim)
	}
	sa, family := sockaddr(netip.AddrPortFrom(to, t.dst.Port()))
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, sa); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return err
	}
	c := &connection{tuple: t, host: fd, began: now, seq: seq, first: append([]byte(nil), first...)}
	c.watch, err = s.poller.watch(fd, unix.EPOLLOUT, func(uint32) { s.answered(c) })
	if err != nil {
		unix.Close(fd)
		return err
	}
	c.place = s.pending.add(c, t.src.Addr())
	s.known[t] = c
	return nil
}

// drop forgets a connection that is pending. s.mu is held.
func (s *streams) drop(c *connection) {
	s.pending.remove(c.place)
	delete(s.known, c.tuple)
	s.poller.drop(c.watch)
	unix.Close(c.host)
}

// answered sees how a dial has ended.
func (s *streams) answered(c *connection) {
	s.mu.Lock()
	if s.known[c.tuple] != c || c.state != dialing {
		s.mu.Unlock()
		return
	}
	code, err := unix.GetsockoptInt(c.host, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	if err != nil {
		s.drop(c)
	} else {
		s.poller.forget(c.host, c.watch)
		c.state, c.until = dialed, time.Now().Add(acceptTime)
	}
	s.mu.Unlock()
	if err != nil {
		s.refuse(c.tuple, c.first, err)
		return
	}
	s.sweepSoon()
	s.write(c.first)
}

// join couples the container's socket with the one that was dialed for it. It reports
// false, and leaves the socket alone, when there is none.
func (s *streams) join(t tuple, fd int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.known[t]
	if c == nil || c.state != dialed || s.closed {
		return false
	}
	s.pending.remove(c.place)
	inside, err1 := newStream(fd)
	outside, err2 := newStream(c.host)
	if err := errors.Join(err1, err2); err != nil {
		delete(s.known, t)
		for _, end := range []*stream{inside, outside} {
			if end != nil {
				end.abort()
			}
		}
		return true
	}
	c.state, c.first, c.ends = joined, nil, [2]*stream{inside, outside}
	s.open[t.src.Addr()]++
	s.copying[c] = struct{}{}
	s.running.Go(func() { s.run(c) })
	return true
}

// run copies until the connection is over.
func (s *streams) run(c *connection) {
	for _, end := range c.ends {
		end.set(unix.SOL_TCP, unix.TCP_NODELAY, 1)
		end.set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	keepAlive(c.ends[0], time.Minute, 15*time.Second, 4)
	keepAlive(c.ends[1], 10*time.Minute, time.Minute, 10)
	couple(c.ends[0], c.ends[1], &s.pipes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[c.tuple] == c {
		delete(s.known, c.tuple)
	}
	delete(s.copying, c)
	source := c.src.Addr()
	if s.open[source]--; s.open[source] == 0 {
		delete(s.open, source)
	}
}

// keepAlive sets when a silent peer is asked whether it lives: one that was taken out
// of the network says no good-bye.
func keepAlive(end *stream, after, every time.Duration, times int) {
	end.set(unix.SOL_TCP, unix.TCP_KEEPIDLE, int(after/time.Second))
	end.set(unix.SOL_TCP, unix.TCP_KEEPINTVL, int(every/time.Second))
	end.set(unix.SOL_TCP, unix.TCP_KEEPCNT, times)
}

// sweep drops what was not accepted in time, and reports whether anything waits.
func (s *streams) sweep(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l.quiet {
			l.quiet = false
			s.poller.change(l.fd, l.watch, unix.EPOLLIN)
		}
	}
	waits := false
	s.pending.each(func(c *connection) {
		if c.state != dialed {
			return
		}
		if now.After(c.until) {
			s.drop(c)
			return
		}
		waits = true
	})
	return waits
}

// close ends everything. It waits for the copying to have ended.
func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	for _, l := range s.listeners {
		unix.Close(l.fd)
	}
	s.pending.each(s.drop)
	for c := range s.copying {
		for _, end := range c.ends {
			end.abort()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
	s.pipes.Close()
}
