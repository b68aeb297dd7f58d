package ports

import (
	"container/list"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// how long a client may be silent: as long as the kernel's connection tracking
	// remembers one that has had no answer, and one that has
	idleUnanswered = 30 * time.Second
	idleAnswered   = 120 * time.Second

	maxDatagram = 64 << 10
	burst       = 64 // datagrams taken from one socket before others have their turn
)

// datagrams are buffers, which nobody holds while waiting.
var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// udpPort is one socket for datagrams from all clients. It is bound to one address or to all;
// a reply leaves from the address that its client had sent to.
type udpPort struct {
	*net.UDPConn
	target uint16 // port in the container

	mu    sync.Mutex
	flows map[flowKey]*list.Element // of *flow
	order list.List                 // the one heard of last at the front
}

// flowKey is a client, at one of the host's addresses.
type flowKey struct {
	client netip.AddrPort
	local  netip.Addr
}

func (p *udpPort) serve(l *Listeners) {
	raw, err := p.SyscallConn()
	if err != nil {
		return
	}
	for err == nil {
		err = raw.Read(func(fd uintptr) bool { return p.receive(l, int(fd)) })
	}
	p.drop(func(*flow) bool { return true })
}

// receive passes on the datagrams that are there; false when there are no more.
func (p *udpPort) receive(l *Listeners, fd int) bool {
	buffer := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buffer)
	var oob [64]byte
	for range burst {
		n, oobn, _, from, err := unix.Recvmsg(fd, buffer[:], oob[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return false
		}
		if err != nil {
			continue // an error that an earlier reply met
		}
		key := flowKey{client: addrPort(from), local: destination(oob[:oobn])}
		p.forward(l, key, buffer[:n])
	}
	return true
}

// forward sends a client's datagram to the container. What cannot be sent is lost, as datagrams are.
func (p *udpPort) forward(l *Listeners, key flowKey, datagram []byte) {
	f := p.flow(l, key)
	if f == nil {
		return
	}
	f.heard()
	if f.send(datagram) == unix.ECONNREFUSED { // said of the datagram before
		f.send(datagram)
	}
}

// flow finds or makes the client's flow; nil when the container cannot be reached.
func (p *udpPort) flow(l *Listeners, key flowKey) *flow {
	p.mu.Lock()
	if e := p.flows[key]; e != nil {
		p.order.MoveToFront(e)
		p.mu.Unlock()
		return e.Value.(*flow)
	}
	p.mu.Unlock()
	s := l.service.Load()
	f, err := newFlow(s, p, key)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	if l.service.Load() != s { // the old target's flows are being ended
		p.mu.Unlock()
		f.Close()
		return nil
	}
	if p.flows == nil {
		p.flows = make(map[flowKey]*list.Element)
	}
	p.flows[key] = p.order.PushFront(f)
	var oldest *flow
	if p.order.Len() > l.flows {
		oldest = p.order.Back().Value.(*flow)
		p.remove(oldest)
	}
	p.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	go f.replies()
	l.sweepLater()
	return f
}

// remove forgets a flow; p.mu is held.
func (p *udpPort) remove(f *flow) {
	if e := p.flows[f.key]; e != nil && e.Value == f {
		delete(p.flows, f.key)
		p.order.Remove(e)
	}
	if len(p.flows) == 0 {
		p.flows = nil // a map never shrinks
	}
}

// drop ends the flows that it is told to, and counts the others.
func (p *udpPort) drop(ended func(*flow) bool) (left int) {
	p.mu.Lock()
	var all []*flow
	for e := p.order.Front(); e != nil; e = e.Next() {
		if f := e.Value.(*flow); ended(f) {
			all = append(all, f)
		}
	}
	for _, f := range all {
		p.remove(f)
	}
	left = p.order.Len()
	p.mu.Unlock()
	for _, f := range all {
		f.Close()
	}
	return left
}

func (p *udpPort) expire(now time.Time) int {
	return p.drop(func(f *flow) bool { return f.idle(now) })
}

func (p *udpPort) retarget(to Target) {
	p.drop(func(f *flow) bool { return f.to.Addr() != to.IPv4 && f.to.Addr() != to.IPv6 })
}

// addrPort is the address of a client; the zone of a link-local one is its number.
func addrPort(from unix.Sockaddr) netip.AddrPort {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(a.ZoneId)))
		}
		return netip.AddrPortFrom(ip, uint16(a.Port))
	}
	return netip.AddrPort{}
}

// silence is when a flow was last heard of.
type silence struct {
	since    atomic.Int64 // nanoseconds since the program's start
	answered atomic.Bool
}

var began = time.Now()

func (s *silence) heard() { s.since.Store(int64(time.Since(began))) }

func (s *silence) idle(now time.Time) bool {
	limit := idleUnanswered
	if s.answered.Load() {
		limit = idleAnswered
	}
	return now.Sub(began)-time.Duration(s.since.Load()) > limit
}
