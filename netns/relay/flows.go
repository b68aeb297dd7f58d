package relay

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// How long a flow is kept after the last packet, as connection trackers have it. A
// name server's answers end an exchange, and programs take a new port for each.
const (
	idleName     = 10 * time.Second // to port 53, and echoes
	idleUnknown  = 30 * time.Second // not answered so far
	idleAnswered = 120 * time.Second
	// A flow that was answered, and then is not for so long although the container keeps
	// sending, gets a new socket: the host may be in another network now.
	stale = 5 * time.Second
)

// flows are the UDP exchanges and the echoes, each with a host socket of its own that
// is connected, so that it gets answers from nobody else.
type flows struct {
	*engine
	buf []byte // the poller's goroutine's

	mu     sync.Mutex
	known  map[flowKey]*flow
	crowd  *crowd[*flow]
	limits map[netip.Addr]int32 // of a container's link, once it was told; see deliver
	closed bool
}

// flowKey names a flow. An echo's source port is its identifier.
type flowKey struct {
	protocol uint8
	tuple
}

type flow struct {
	flowKey
	place place
	// Seconds since the start of the program; heard is -1 before the first answer.
	sent, heard atomic.Int64
	unheard     int64 // when sent is later than heard: since when; the reader's
	answered    atomic.Bool
	limit       atomic.Int32 // size of packets that the container's link carries; 0 is any

	mu    sync.RWMutex // held for writing to change these
	fd    int          // -1 when closed
	to    netip.Addr   // which dst stands for
	watch ticket
}

var started = time.Now()

func seconds(t time.Time) int64 { return int64(t.Sub(started) / time.Second) }

func newFlows(e *engine, limit int) *flows {
	return &flows{engine: e, buf: make([]byte, headerSize+udpSize+maxPacket), known: map[flowKey]*flow{},
		crowd: newCrowd[*flow](limit), limits: map[netip.Addr]int32{}}
}

// find returns the flow of a packet, a new one if need be.
func (f *flows) find(key flowKey) (*flow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := seconds(time.Now())
	if w := f.known[key]; w != nil {
		w.sent.Store(now)
		f.crowd.touch(w.place)
		return w, nil
	}
	if f.closed || f.known[flowKey{key.protocol, tuple{key.dst, key.src}}] != nil {
		return nil, errUnanswerable // the latter is an answer to a container that is none
	}
	source := key.src.Addr()
	for victim, full := f.crowd.room(source); full; victim, full = f.crowd.room(source) {
		if !f.evict(victim, now) {
			return nil, errTooMany
		}
	}
	w := &flow{flowKey: key, fd: -1, unheard: -1}
	w.sent.Store(now)
	w.heard.Store(-1)
	w.limit.Store(f.limits[source])
	if err := f.dial(w); err != nil {
		return nil, err
	}
	w.place = f.crowd.add(w, source)
	f.known[key] = w
	f.sweepSoon()
	return w, nil
}

// evict makes room, of a flow that is or seems the oldest. Age is by what the container
// sent, which costs no lock on the way back; one that was heard of since is spared once.
// It reports false when even the oldest has hardly begun to wait for an answer: then
// somebody floods, which is to end here, cheaply, and not in the host's network.
func (f *flows) evict(w *flow, now int64) bool {
	sent, heard := w.sent.Load(), w.heard.Load()
	switch {
	case heard > sent:
		w.sent.Store(heard)
		f.crowd.touch(w.place)
	case heard < 0 && now-sent < 2:
		return false
	default:
		f.remove(w)
	}
	return true
}

// remove closes a flow. f.mu is held.
func (f *flows) remove(w *flow) {
	f.crowd.remove(w.place)
	delete(f.known, w.flowKey)
	w.mu.Lock()
	f.hangUp(w)
	w.mu.Unlock()
}

// hangUp closes the socket. w.mu is held.
func (f *flows) hangUp(w *flow) {
	if w.fd >= 0 {
		f.poller.drop(w.watch)
		unix.Close(w.fd)
		w.fd = -1
	}
}

// dial gives the flow a new socket.
func (f *flows) dial(w *flow) error {
	to, err := f.target(w.src.Addr(), w.dst.Addr())
	if err != nil {
		return err
	}
	if w.protocol != unix.IPPROTO_UDP && to.Is4() != w.dst.Addr().Is4() {
		return errNoHost // by that protocol
	}
	sa, family := sockaddr(netip.AddrPortFrom(to, w.dst.Port()))
	fd, err := connected(family, int(w.protocol), sa)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f.hangUp(w)
	w.watch, err = f.poller.watch(fd, unix.EPOLLIN, func(events uint32) { f.answer(w, events) })
	if err != nil {
		unix.Close(fd)
		return err
	}
	w.fd, w.to = fd, to
	return nil
}

// connected is a datagram socket, connected, that reports ICMP errors.
func connected(family, protocol int, to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		if protocol != unix.IPPROTO_UDP {
			err = errors.Join(errNoPing, err)
		}
		return -1, err
	}
	if family == unix.AF_INET {
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
	}
	if err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// send sends data, over a new socket when the old one has lost its way.
func (f *flows) send(w *flow, data []byte) error {
	now := w.sent.Load()
	if w.heard.Load() >= w.unheard {
		w.unheard = now
	}
	if w.answered.Load() && now-max(w.heard.Load(), w.unheard) >= int64(stale/time.Second) {
		w.answered.Store(false)
		if err := f.dial(w); err != nil {
			return err
		}
	}
	err := w.transmit(data)
	if err != nil { // perhaps what an ICMP error left behind, which the poller sees to
		err = w.transmit(data)
	}
	if err == nil || errors.Is(err, unix.EMSGSIZE) || why(err) == noAnswer && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	if err := f.dial(w); err != nil {
		return err
	}
	return w.transmit(data)
}

func (w *flow) transmit(data []byte) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.fd < 0 {
		return nil
	}
	return unix.Send(w.fd, data, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// answer is called when the flow's socket has something for the container.
func (f *flows) answer(w *flow, events uint32) {
	const most = 32 // at once, so that others have their turn
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.fd < 0 {
		return
	}
	if events&unix.EPOLLERR != 0 {
		f.complain(w)
	}
	const at = headerSize + udpSize
	for i := range most {
		n, err := w.receive(f.buf[at:])
		if err != nil {
			return
		}
		if i == 0 {
			w.heard.Store(seconds(time.Now()))
			w.answered.Store(true)
		}
		const most4 = maxPacket - 1 - headerSize4 - udpSize // a host with IPv6 can send more
		if n > most4 && w.src.Addr().Is4() {
			continue
		}
		if w.protocol == unix.IPPROTO_UDP {
			b := wrapUDP(f.buf, at, at+n, w.dst, w.src, f.nextIdent())
			f.deliver(w, b)
		} else if b, ok := f.echoReply(w, at, n); ok {
			f.deliver(w, b)
		}
	}
}

// sweep closes the flows that have been idle, and reports whether there are others.
func (f *flows) sweep(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := seconds(now)
	f.crowd.each(func(w *flow) {
		idle := idleUnknown
		switch {
		case w.dst.Port() == 53 || w.protocol != unix.IPPROTO_UDP:
			idle = idleName
		case w.heard.Load() >= 0:
			idle = idleAnswered
		}
		if at-max(w.sent.Load(), w.heard.Load()) > int64(idle/time.Second) {
			f.remove(w)
		}
	})
	return f.crowd.size() > 0
}

func (f *flows) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.crowd.each(f.remove)
}
