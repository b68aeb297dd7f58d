// Package bridge keeps the hub: the network namespace that holds a user's bridges,
// the hub's ends of the containers' veth pairs, the device that leads outside and
// the nftables rules that keep networks apart. As real root the hub is the host's
// own namespace. It also attaches containers to macvlan and ipvlan networks.
//
// There is no process in the hub. It lives as long as somebody has it open, and is
// found through those who have (see [Open]). Everything here is called by monitors
// and short commands, which are uid 0 in the user's namespace, or real root; they
// stay in their own network namespace. See veth(4), network_namespaces(7), nft(8).
package bridge

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/google/nftables"
	nfnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// The devices in a made hub that lead outside: a TUN device of the built-in link,
// and the TAP device of pasta and slirp4netns.
const (
	Uplink = "up0"
	Tap    = "tap0"
)

// TransparentPort is where the built-in link listens in the hub for the TCP
// connections that come in by [Uplink]. Containers cannot connect to it.
const TransparentPort = 10001

// Packets that belong to a transparent socket carry Mark, and are delivered on
// this machine because routing table Table says so. As root both are the host's,
// so they are numbers that nobody else uses: "ctr" in ASCII, and its beginning.
const (
	Mark  = 0x637472
	Table = 0x6374
)

// Hub is an open hub. Its methods may be called from many goroutines at once.
type Hub struct {
	ns       *os.File
	root     bool
	dir      string // <run>/net
	leases   *lease.Leases
	networks *network.Networks
	record   string // our file in <run>/net/hub, "" as root

	threadOnce sync.Once
	threadErr  error
	calls      chan func()

	mu      sync.Mutex // of what follows
	route   *netlink.Handle
	sockets map[int]*nl.SocketHandle
	rules   *nftables.Conn
	rulesNL *nfnetlink.Conn
	notes   []string
	lacking lacking
}

// NS is the hub's namespace. It is the Hub's: do not close it.
func (h *Hub) NS() *os.File { return h.ns }

// FD is the descriptor of [Hub.NS] in this process, for the lease's HubFD.
func (h *Hub) FD() int { return int(h.ns.Fd()) }

// Root reports whether the hub is the host's own namespace.
func (h *Hub) Root() bool { return h.root }

// Notes are lines for the user, one for each thing that the machine lacks and that
// this process found out about.
func (h *Hub) Notes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.notes...)
}

func (h *Hub) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, said := range h.notes {
		if said == line {
			return
		}
	}
	h.notes = append(h.notes, line)
}

// Close gives the hub back. A made hub is gone when nobody has it open any more.
// Not to be called while another method runs.
func (h *Hub) Close() error {
	if h.record != "" {
		os.Remove(h.record) // first: the descriptor's number may soon be something else's
	}
	h.threadOnce.Do(func() {})
	if h.calls != nil {
		close(h.calls)
		h.calls = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.route != nil {
		h.route.Close()
		h.sockets[unix.NETLINK_ROUTE].Close()
		h.route = nil
	}
	h.dropRules()
	return h.ns.Close()
}

// do runs f on a thread in the hub. The thread is made once and kept.
func (h *Hub) do(f func() error) error {
	if h.root {
		return f()
	}
	h.threadOnce.Do(h.startThread)
	if h.threadErr != nil {
		return h.threadErr
	}
	done := make(chan error, 1)
	h.calls <- func() { done <- f() }
	return <-done
}

func (h *Hub) startThread() {
	calls, ready := make(chan func()), make(chan error, 1)
	go func() {
		ready <- netns.Do(h.ns, func() error {
			ready <- nil
			for f := range calls {
				f()
			}
			return nil
		})
	}()
	if h.threadErr = <-ready; h.threadErr == nil {
		h.calls = calls
	}
}

// Socket makes a socket in the hub that may send from and receive for addresses
// that are not the hub's (IP_TRANSPARENT, see ip(7)); it is closed on exec. typ may
// hold SOCK_NONBLOCK. prepare, which may be nil, binds and connects it; it runs on
// the hub's one thread and should not block. The caller closes the descriptor.
//
// A container's answers reach only sockets made this way: everything else that
// containers send to the hub's own addresses is refused.
func (h *Hub) Socket(domain, typ int, prepare func(fd int) error) (fd int, err error) {
	err = h.do(func() error {
		fd, err = unix.Socket(domain, typ|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("making a socket in the containers' network: %w", err)
		}
		err = transparent(fd, domain)
		if err == nil && prepare != nil {
			err = prepare(fd)
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func transparent(fd, domain int) (err error) {
	switch domain {
	case unix.AF_INET:
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	case unix.AF_INET6:
		err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	if err != nil {
		return fmt.Errorf("letting a socket have other hosts' addresses: %w", err)
	}
	return nil
}

// links is the hub's route netlink socket, made once.
func (h *Hub) links() (*netlink.Handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.route != nil {
		return h.route, nil
	}
	err := h.do(func() error {
		route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		// one more for messages that the handle has no words for
		s, err := nl.GetNetlinkSocketAt(vishns.None(), vishns.None(), unix.NETLINK_ROUTE)
		if err != nil {
			route.Close()
			return err
		}
		h.route, h.sockets = route, map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("opening route netlink in the containers' network: %w", err)
	}
	return h.route, nil
}

// ignore is err unless it is one of those expected.
func ignore(err error, expected ...unix.Errno) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}
