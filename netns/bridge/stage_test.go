package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/process"
)

// stage is a hub with its stores, for one test.
type stage struct {
	testing.TB
	run      string
	networks *network.Networks
	leases   *lease.Leases
	hub      *Hub
}

func newStage(t testing.TB) *stage {
	world.Need(t, world.Tests)
	s := &stage{TB: t, run: t.TempDir()}
	s.networks, s.leases = network.Open(t.TempDir()), lease.Open(s.run)
	s.hub = s.open()
	t.Cleanup(func() {
		for _, note := range s.hub.Notes() {
			t.Errorf("note: %s", note)
		}
		if err := s.hub.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) open() *Hub {
	h, err := Open(s.run, s.leases, s.networks)
	if err != nil {
		s.Fatal(err)
	}
	return h
}

func (s *stage) network(n network.Network) *network.Network {
	made, err := s.networks.Create(n)
	if err != nil {
		s.Fatal(err)
	}
	return made
}

// subnets makes the subnets of a network, with the first address for the gateway.
func subnets(prefixes ...string) (all []network.Subnet) {
	for _, p := range prefixes {
		all = append(all, network.Subnet{Subnet: netip.MustParsePrefix(p)})
	}
	return all
}

// container is a namespace attached to a network.
type container struct {
	*stage
	ns    *os.File
	n     *network.Network
	lease lease.Lease
	o     Attachment
}

func (s *stage) namespace() *os.File { return world.Namespace(s) }

// take is a lease for a new container.
func (s *stage) take(n *network.Network, want lease.Lease) lease.Lease {
	want.Container, want.Holder, want.HubFD = randomID(), process.This(), s.hub.FD()
	want.Names = []string{want.Container[:12]}
	l, err := s.leases.Take(n, want)
	if err != nil {
		s.Fatal(err)
	}
	return l
}

func randomID() string {
	id := make([]byte, 32)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// start makes a container on the network.
func (s *stage) start(n *network.Network) *container { return s.startAs(n, lease.Lease{}) }

func (s *stage) startAs(n *network.Network, want lease.Lease) *container {
	c := &container{stage: s, ns: s.namespace(), n: n, lease: s.take(n, want)}
	c.o = Attachment{Interface: "eth0", Default4: true, Default6: true}
	if err := s.hub.Attach(c.ns, n, c.lease, c.o); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(c.stop)
	return c
}

func (c *container) stop() {
	err := c.hub.Detach(c.ns, c.n, c.lease, c.o.Interface)
	err = errors.Join(err, c.leases.Release(c.n.ID, c.lease.Container))
	if err = errors.Join(err, c.hub.Left(c.n)); err != nil {
		c.Error(err)
	}
}

// in runs f on a thread in the container's namespace.
func (c *container) in(f func() error) error { return netns.Do(c.ns, f) }

// command runs a program in the container's namespace, which must succeed.
func (c *container) command(name string, args ...string) string {
	c.Helper()
	out, err := world.Output(c.ns, name, args...)
	if err != nil {
		c.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6
}

// listen makes a TCP listener in a namespace that accepts and closes.
func listen(t testing.TB, ns *os.File, a netip.AddrPort) {
	t.Helper()
	addr, domain := sockaddr(a)
	var fd int
	err := netns.Do(ns, func() (err error) {
		if fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if domain == unix.AF_INET {
			transparent(fd, domain) // as the built-in link's is
		}
		return errors.Join(unix.Bind(fd, addr), unix.Listen(fd, 16))
	})
	if err != nil {
		t.Fatalf("listening on %v: %v", a, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
}

// dial connects by TCP from a namespace. The error is nil, ECONNREFUSED and the
// like, or ETIMEDOUT after the time.
func dial(ns *os.File, to netip.AddrPort, patience time.Duration) error {
	addr, domain := sockaddr(to)
	return netns.Do(ns, func() error {
		fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, addr); err != unix.EINPROGRESS {
			return err
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		for end := time.Now().Add(patience); ; {
			n, err := unix.Poll(p, int(time.Until(end).Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			if n == 0 {
				return unix.ETIMEDOUT
			}
			break
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	})
}

const (
	soon  = 5 * time.Second        // for what must happen
	never = 300 * time.Millisecond // for what must not
)

// reaches fails the test unless c connects to the other's listener.
func (c *container) reaches(to netip.AddrPort) {
	c.Helper()
	if err := dial(c.ns, to, soon); err != nil {
		c.Errorf("%v cannot connect to %v: %v", c.lease.IPv4, to, err)
	}
}

func (c *container) cannotReach(to netip.AddrPort) {
	c.Helper()
	if err := dial(c.ns, to, never); err == nil {
		c.Errorf("%v can connect to %v", c.lease.IPv4, to)
	}
}

func (c *container) ping(to netip.Addr) error {
	out, err := world.Output(c.ns, "ping", "-c1", "-W1", to.String())
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
