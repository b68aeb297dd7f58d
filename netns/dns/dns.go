// Package dns is the name server of a container, in the container's monitor. It
// listens on 127.0.0.11 in the container's network namespace, where only the
// container's own processes reach it, answers for the containers on the same
// networks, and forwards everything else (RFC 1034, RFC 1035, RFC 6891).
//
// A container may itself listen on port 53 of all addresses: the server's sockets
// have a port of their own, and packet rules in the container's namespace put it in
// place of 53, without connection tracking. Where the kernel has no nf_tables, it is 53.
//
// Nothing is cached: the host's resolver does that, and names of containers come
// from files that are read when they change.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Address is where a container finds its name server, on port 53.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Config says what a server answers and whom it asks.
type Config struct {
	// Names are the containers'. Nil knows none, and the host's servers are asked for everything.
	Names *Resolver
	// Servers (--dns) are asked instead of the networks' and the host's, from the
	// container's namespace: one of them may be a container. At most three are, as with resolv.conf(5).
	Servers []netip.Addr
	// Ndots says that the host or the user has set ndots. As with Docker, where containers
	// have names an unknown name of one label is then not forwarded, for the client asks
	// again with a search domain.
	Ndots bool
	// HostConfig is the host's resolv.conf, followed as it changes; "" is
	// /etc/resolv.conf. Its servers are asked from the caller's namespace.
	HostConfig string
}

// Server is a running name server.
type Server struct {
	config    Config
	datagrams *net.UDPConn
	streams   *net.TCPListener
	upstream  *upstream
	ctx       context.Context
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Serve starts a server in the network namespace container, whose loopback interface
// must be up. It listens when Serve returns; container may be closed then. What is
// forwarded to the host's servers goes out from the caller's namespace. The caller
// closes the server; its packet rules stay, and end with the namespace.
func Serve(container *os.File, c Config) (*Server, error) {
	fd, err := unix.FcntlInt(container.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("keeping the container's network namespace: %w", err)
	}
	s := &Server{config: c, upstream: newUpstream(os.NewFile(uintptr(fd), container.Name()), c)}
	if s.datagrams, s.streams, err = listen(container, redirect); err != nil {
		s.upstream.close()
		return nil, fmt.Errorf("starting the container's name server: %w", err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Add(2)
	go s.serveDatagrams()
	go s.serveStreams()
	return s, nil
}

// Close ends the server and whatever it was doing, and returns when nothing of it is
// left. Idempotent.
func (s *Server) Close() error {
	s.stop()
	err := errors.Join(s.datagrams.Close(), s.streams.Close())
	s.running.Wait()
	s.upstream.close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// turn is the treatment of one query after another. Its memory is used again.
type turn struct {
	query     query
	reply     []byte
	addresses []netip.Addr
}

// serveDatagrams answers at once what is known here; what is forwarded has a goroutine each.
func (s *Server) serveDatagrams() {
	defer s.running.Done()
	var t turn
	message := make([]byte, maxDatagram)
	for {
		n, from, err := s.datagrams.ReadFromUDPAddrPort(message)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a reply that found nobody comes back as an error
		}
		networks := s.networks()
		reply, forward := s.answer(&t, networks, message[:n], false)
		if forward {
			reply = s.forwardDatagram(&t, networks, from)
		}
		if reply != nil {
			s.datagrams.WriteToUDPAddrPort(reply, from) // what is lost is asked for again
		}
	}
}

// forwardDatagram leaves a query to a goroutine. When that cannot be it returns the
// reply that says so.
func (s *Server) forwardDatagram(t *turn, networks []Attached, from netip.AddrPort) []byte {
	servers := s.upstream.servers(networks)
	if len(servers) == 0 || !s.upstream.enter() {
		return t.fail(serverFailure)
	}
	q := t.query.clone()
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer s.upstream.leave()
		s.upstream.ask(s.ctx, q, servers, "udp", func(reply []byte) { s.datagrams.WriteToUDPAddrPort(reply, from) })
	}()
	return nil
}

func (s *Server) networks() []Attached {
	if s.config.Names == nil {
		return nil
	}
	return s.config.Names.networks()
}

// answer replies to a message from what is known here. A nil reply is none at all,
// unless the query is to be forwarded. The reply is valid until the next turn.
func (s *Server) answer(t *turn, networks []Attached, message []byte, stream bool) (reply []byte, forward bool) {
	q := &t.query
	code, ok := q.parse(message)
	if !ok {
		return nil, false
	}
	if code != noError {
		return t.fail(code), false
	}
	if q.class != classIN || q.odd {
		return nil, true
	}
	limit := q.datagram
	if stream {
		limit = maxStream
	}
	if names := s.config.Names; names != nil && t.local(names, networks, limit) {
		return t.reply, false
	}
	if s.config.Ndots && (q.kind == typeA || q.kind == typeAAAA) && q.single() && named(networks) {
		return t.fail(noError), false
	}
	return nil, true
}

// named says whether containers have names in any of the networks.
func named(networks []Attached) bool {
	for i := range networks {
		if networks[i].DNS {
			return true
		}
	}
	return false
}

// fail makes a reply without answers.
func (t *turn) fail(code int) []byte {
	a := t.query.reply(t.reply, code)
	t.reply = a.finish()
	return t.reply
}

// local makes the reply to a query about a container; false when it is not about one. A name has
// no records but addresses; an address has its first name.
func (t *turn) local(names *Resolver, networks []Attached, limit int) bool {
	q := &t.query
	if q.kind == typePTR {
		address, ok := reverse(q.name)
		if !ok {
			return false
		}
		owner, ok := names.owner(networks, address)
		if !ok {
			return false
		}
		a := q.reply(t.reply, noError)
		a.addPointer(owner, limit)
		t.reply = a.finish()
		return true
	}
	var known bool
	t.addresses, known = names.addresses(t.addresses[:0], networks, q.name, q.kind == typeAAAA)
	if !known {
		return false
	}
	a := q.reply(t.reply, noError)
	if q.kind == typeA || q.kind == typeAAAA {
		for _, address := range t.addresses {
			if !a.addAddress(address, limit) {
				break
			}
		}
	}
	t.reply = a.finish()
	return true
}
