// Package relay is the engine of the built-in link: it connects a user's containers to
// the world with nothing but ordinary sockets of an ordinary process.
//
// The hub, the network namespace that holds the user's bridges, has the uplink device
// as its default route; see [OpenTUN] and [OpenVeth]. Packets that leave it there are
// read here, in the host's network namespace:
//
//   - TCP: the first segment of a connection makes the relay dial its destination.
//     When that is answered the same segment is put back into the hub, where a rule
//     hands it to a transparent socket of the relay's (see below); then the kernel copies
//     between the two sockets, and no further packet comes out here. A refusal is a
//     reset, an unreachable destination an ICMP error, and silence is silence.
//   - UDP: one connected host socket for each pair of ends; answers, and ICMP errors as
//     the host's kernel learns of them, are written back as packets.
//   - ICMP echo: likewise, by ping sockets (icmp(7)), if the host lets the user have them.
//
// So there is no address translation and no connection tracking, every connection is
// made anew from whatever network the host is in, and nothing outlives the process but
// the device. Type of service and time to live are not carried over; the Don't Fragment
// bit is not either, since containers set it always.
//
// # What the hub must have
//
// Forwarding on, rp_filter off, these rules of nft(8) at prerouting,
// priority mangle,
//
//	iifname != "up0" tcp flags & (fin | syn | rst | ack) != syn socket transparent 1 meta mark set M accept
//	iifname "up0" tcp flags & (fin | syn | rst | ack) == syn tproxy to :10001 meta mark set M accept
//
// and packets marked M routed to the machine itself: `ip rule add fwmark M lookup T`, `ip
// route add local default dev lo table T`, both for IPv6 too. First segments are left out of
// the first rule because a listening socket on port 10001, and a closed connection's
// remainder, would take them; all but them are left out of the second because the relay
// sends resets to containers.
//
// A container may send anything. Tables are bounded, for each container and in all.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// TransparentPort is where the hub's rule sends connections; see the package comment.
const TransparentPort = 10001

// Config is what [Serve] works with.
type Config struct {
	Hub    *os.File // the network namespace with the bridges
	Device *os.File // of OpenTUN or OpenVeth, in the hub
	// Host returns the host's own address that [HostAddress] stands for, not a loopback
	// address, or an invalid one when it has none. It is asked for each new connection,
	// from any goroutine.
	Host func() netip.Addr
	// Note, if any, is told once what does not work on this machine.
	Note func(string)
}

type engine struct {
	Config
	device Device
	poller *poller
	noted  sync.Once
	ident  atomic.Uint32 // of IPv4 packets

	streams *streams
	flows   *flows
	pieces  *pieces

	sweepMu  sync.Mutex
	sweeping *time.Timer // nil while there is nothing to sweep
	ended    bool
}

// Serve relays until ctx ends or the device is gone, and then closes every connection. It
// is to be called in the host's network namespace and leaves the files of c open.
// Interface and namespace stay, so that another Serve may take over.
func Serve(ctx context.Context, c Config) error {
	device, err := NewDevice(c.Device)
	if err != nil {
		return err
	}
	e, err := newEngine(c, device)
	if err != nil {
		device.Close()
		return err
	}
	return e.serve(ctx)
}

func (e *engine) serve(ctx context.Context) error {
	stop := sync.OnceFunc(func() { e.poller.close(); e.device.Close() })
	defer context.AfterFunc(ctx, stop)()
	polled := make(chan error, 1)
	go func() {
		polled <- e.poller.run()
		stop()
	}()
	err := e.read()
	stop()
	pollErr := <-polled
	e.close()
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, os.ErrClosed) { // because of the other
		err = pollErr
	}
	return fmt.Errorf("built-in link: %w", err)
}

// newEngine makes an engine, which closes the device at the end of serve.
func newEngine(c Config, d Device) (*engine, error) {
	e := &engine{Config: c, device: d, pieces: newPieces()}
	files := raiseFileLimit()
	var err error
	if e.poller, err = newPoller(); err != nil {
		return nil, err
	}
	e.flows = newFlows(e, min(8192, files/4))
	if e.streams, err = newStreams(e, files); err != nil {
		e.poller.close()
		return nil, err
	}
	return e, nil
}

// raiseFileLimit lets this process have as many open files as it may, and says how many.
func raiseFileLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	return int(min(limit.Cur, 1<<20))
}

// read takes the containers' packets as they come.
func (e *engine) read() error {
	buf := make([]byte, maxPacket)
	for {
		n, err := e.device.ReadPacket(buf)
		if err != nil {
			return err
		}
		p, ok := parse(buf[:n])
		if !ok {
			continue
		}
		if !p.fragment.whole() {
			if p, ok = e.pieces.add(p, time.Now()); !ok {
				e.sweepSoon()
				continue
			}
		}
		e.take(p)
	}
}

func (e *engine) take(p packet) {
	switch p.protocol {
	case unix.IPPROTO_TCP:
		e.streams.take(p)
	case unix.IPPROTO_UDP:
		e.flows.takeDatagram(p)
	case unix.IPPROTO_ICMP:
		if p.src.Is4() {
			e.flows.takeICMP(p)
		}
	case unix.IPPROTO_ICMPV6:
		if p.src.Is6() {
			e.flows.takeICMP(p)
		}
	}
}

// write puts a packet into the hub. What the hub has no room for is lost, as on any wire.
func (e *engine) write(b []byte) { e.device.WritePacket(b) }

// note says s, once whatever s is.
func (e *engine) note(s string) {
	if e.Note != nil {
		e.noted.Do(func() { e.Note(s) })
	}
}

// nextIdent numbers IPv4 packets.
func (e *engine) nextIdent() uint16 { return uint16(e.ident.Add(1)) }

const sweepEvery = time.Second

// sweepSoon has everything that waits looked at in a while, and again until there is
// nothing. An idle relay never wakes.
func (e *engine) sweepSoon() {
	e.sweepMu.Lock()
	defer e.sweepMu.Unlock()
	if e.sweeping == nil && !e.ended {
		e.sweeping = time.AfterFunc(sweepEvery, e.sweep)
	}
}

func (e *engine) sweep() {
	e.sweepMu.Lock()
	e.sweeping = nil
	ended := e.ended
	e.sweepMu.Unlock()
	if ended {
		return
	}
	now := time.Now()
	streams, flows, pieces := e.streams.sweep(now), e.flows.sweep(now), e.pieces.sweep(now)
	if streams || flows || pieces {
		e.sweepSoon()
	}
}

// close ends what newEngine and the packets since began, but for device and poller.
func (e *engine) close() {
	e.sweepMu.Lock()
	e.ended = true
	if e.sweeping != nil {
		e.sweeping.Stop()
	}
	e.sweepMu.Unlock()
	e.streams.close()
	e.flows.close()
}
