// Package ports publishes a container's ports: it listens on the host and relays every
// connection and datagram to the container.
//
// It runs in the container's monitor, in the network namespace that is the host's.
// The container's side of each connection is a socket in the hub, the namespace of the
// container's bridge, that has the client's own address and port as its source
// (IP_TRANSPARENT, see ip(7)), so that the container sees who its clients really
// are. Its replies to that address come back to the socket by the hub's rules: `socket
// transparent 1` sets a mark, the mark chooses a table in which everything is local.
// The host's firewall is never touched, nothing listens on an address that was not
// asked for, and no process but the monitor is needed.
//
// TCP is copied by splice(2), which moves pages between sockets. A connection that is idle
// holds two sockets and no buffer. A UDP client has a socket of its own, a flow, until
// it has been silent for a while.
package ports

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
)

// Dialer makes sockets in the container's side of the world, the hub. A bridge's hub is one.
type Dialer interface {
	// Socket is socket(2) in the hub, then prepare. The caller closes what it returns.
	Socket(domain, typ int, prepare func(fd int) error) (int, error)
}

// Target is where connections are relayed to. The zero Target refuses them all.
type Target struct {
	IPv4, IPv6         netip.Addr     // of the container; one of them may be invalid
	Gateway4, Gateway6 netip.Addr     // of the hub, on the container's network: what clients are given for a source that cannot keep their own
	Subnets            []netip.Prefix // of the container's network: to their addresses it replies without the hub
	Transparent        bool           // the hub delivers replies to clients' own addresses
}

// Listeners holds a container's ports open on the host.
type Listeners struct {
	ports   []port
	bound   []config.PortMapping
	service atomic.Pointer[service]
	slots   chan struct{} // one for each connection that may be
	flows   int           // that a UDP port may have
	started bool

	mu     sync.Mutex
	open   map[io.Closer]struct{} // connections
	closed bool
	sweep  *time.Timer // nil while there are no flows
}

// port is one socket that listens.
type port interface {
	serve(l *Listeners)
	expire(now time.Time) (left int) // ends what has been idle for too long
	retarget(to Target)              // ends what cannot live on with another target
	io.Closer
}

type service struct {
	Dialer
	Target
}

// Bound are the ports as they are bound: one entry for each address of the host (0.0.0.0
// and :: for all of them), with the host's port filled in.
func (l *Listeners) Bound() []config.PortMapping { return l.bound }

// Serve relays to the target through d from now on; the first call starts it. It may be called
// again, with another target after the container was connected elsewhere or has started
// anew: TCP connections live on with the target that they have, UDP clients go to the new
// one. What arrives before the first call waits.
func (l *Listeners) Serve(d Dialer, to Target) {
	l.service.Store(&service{d, to})
	l.mu.Lock()
	start := !l.started && !l.closed
	l.started = true
	l.mu.Unlock()
	for _, p := range l.ports {
		if start {
			go p.serve(l)
		} else {
			p.retarget(to)
		}
	}
}

// Close gives the ports back and ends every connection. Idempotent.
func (l *Listeners) Close() error {
	l.mu.Lock()
	l.closed = true
	open := l.open
	l.open = nil
	if l.sweep != nil {
		l.sweep.Stop()
	}
	l.mu.Unlock()
	for _, p := range l.ports {
		p.Close()
	}
	for c := range open {
		c.Close()
	}
	return nil
}

// track has c closed by Close, until it is untracked; false when that has happened.
func (l *Listeners) track(c io.Closer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.open == nil {
		l.open = make(map[io.Closer]struct{})
	}
	l.open[c] = struct{}{}
	return true
}

func (l *Listeners) untrack(c io.Closer) {
	l.mu.Lock()
	delete(l.open, c)
	if len(l.open) == 0 {
		l.open = nil // a map never shrinks
	}
	l.mu.Unlock()
}

const sweepEvery = 10 * time.Second

// sweepLater sees to it that idle flows are ended. Nothing ticks when there are none.
func (l *Listeners) sweepLater() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sweep == nil && !l.closed {
		l.sweep = time.AfterFunc(sweepEvery, l.sweepNow)
	}
}

func (l *Listeners) sweepNow() {
	l.mu.Lock()
	l.sweep = nil
	l.mu.Unlock()
	left := 0
	for _, p := range l.ports {
		left += p.expire(time.Now())
	}
	if left > 0 {
		l.sweepLater()
	}
}

// bounds sets how many connections and flows there may be: the monitor needs descriptors
// for other things too, and clients are strangers.
func (l *Listeners) bounds() {
	limit := unix.Rlimit{Cur: 1024}
	unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	udp := 0
	for _, p := range l.ports {
		if _, ok := p.(*udpPort); ok {
			udp++
		}
	}
	left := int(min(limit.Cur, 1<<20)) - 256 - 2*pipes.Most - len(l.ports)
	l.slots = make(chan struct{}, max(64, left/3)) // of two sockets each
	l.flows = min(max(64, left/4/max(1, udp)), 4096)
}

// plain is an address of the family that its packets have.
func plain(a net.Addr) netip.AddrPort {
	t := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(t.Addr().Unmap(), t.Port())
}
