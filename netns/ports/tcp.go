package ports

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/splice"
)

const (
	connectTimeout = 30 * time.Second // of the container: five tries of the kernel's
	acceptPause    = 100 * time.Millisecond
)

// keepAlive finds out, in ten minutes, that the other side is gone without a word.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute, Interval: time.Minute, Count: 5}

type tcpPort struct {
	*net.TCPListener
	target uint16 // port in the container
}

func (p *tcpPort) expire(time.Time) int { return 0 }
func (p *tcpPort) retarget(Target)      {}

func (p *tcpPort) serve(l *Listeners) {
	for {
		client, err := p.AcceptTCP()
		switch {
		case err == nil:
			l.slots <- struct{}{}
			go func() {
				defer func() { <-l.slots }()
				p.relay(l, client)
			}()
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(acceptPause) // out of descriptors or memory: what waits is not lost
		}
	}
}

func (p *tcpPort) relay(l *Listeners, client *net.TCPConn) {
	s := l.service.Load()
	container, err := s.connect(plain(client.RemoteAddr()), p.target)
	if err != nil {
		abort(client)
		return
	}
	newConnection(client, container).run(l)
}

// connect is a connection to the container that, where possible, comes from the client.
func (s *service) connect(client netip.AddrPort, port uint16) (*os.File, error) {
	way, ok := s.route(client.Addr())
	if !ok {
		return nil, errors.New("the container has no address")
	}
	to := netip.AddrPortFrom(way.to, port)
	deadline := time.Now().Add(connectTimeout)
	var err error
	for _, source := range way.sources(client) {
		var fd int
		fd, err = socket(s.Dialer, unix.SOCK_STREAM, to.Addr(), source, way.transparent)
		if err == nil {
			var f *os.File
			if f, err = connect(fd, to, deadline); err == nil {
				return f, nil
			}
		}
		if !taken(err) {
			break
		}
	}
	return nil, fmt.Errorf("connecting to the container at %s: %w", to, err)
}

// connect connects the socket, which it owns from then on.
func connect(fd int, to netip.AddrPort, deadline time.Time) (*os.File, error) {
	unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_KEEPIDLE, int(keepAlive.Idle/time.Second))
	unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_KEEPINTVL, int(keepAlive.Interval/time.Second))
	unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_KEEPCNT, keepAlive.Count)
	address := sockaddr(to)
	err := unix.Connect(fd, address)
	f := os.NewFile(uintptr(fd), "socket")
	if err == unix.EINPROGRESS {
		err = await(f, address, deadline)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// await returns when the connection that was begun on f is made or has failed, which
// connect(2) says when it is asked again.
func await(f *os.File, to unix.Sockaddr, deadline time.Time) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	f.SetWriteDeadline(deadline)
	defer f.SetWriteDeadline(time.Time{})
	var result error
	err = raw.Write(func(fd uintptr) bool {
		result = unix.Connect(int(fd), to)
		return result != unix.EALREADY && result != unix.EINPROGRESS && result != unix.EINTR
	})
	if err == nil && result != unix.EISCONN {
		err = result
	}
	return err
}

// connection is a client's connection and the container's.
type connection struct {
	client    *net.TCPConn
	container *os.File
	ends      [2]syscall.RawConn
	failed    atomic.Bool
}

func newConnection(client *net.TCPConn, container *os.File) *connection {
	return &connection{client: client, container: container}
}

// run copies both ways until both sides have ended, or one of them is broken, which
// the other gets to know as a reset.
func (c *connection) run(l *Listeners) {
	a, err1 := c.client.SyscallConn()
	b, err2 := c.container.SyscallConn()
	if errors.Join(err1, err2) != nil || !l.track(c) {
		c.Close()
		return
	}
	defer l.untrack(c)
	c.ends = [2]syscall.RawConn{a, b}
	var both sync.WaitGroup
	both.Go(func() { c.carry(1, 0) })
	c.carry(0, 1)
	both.Wait()
	c.client.Close()
	c.container.Close()
}

var pipes = splice.Pipes{Most: 64, Large: 8, Spare: 8}

// carry copies in one direction; the end of what comes in ends what goes out.
func (c *connection) carry(to, from int) {
	err := pipes.Pump(c.ends[to], c.ends[from])
	if err == nil {
		c.ends[to].Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
	} else if c.failed.CompareAndSwap(false, true) {
		c.Close()
	}
}

// Close resets both sides.
func (c *connection) Close() error {
	abort(c.client)
	if raw, err := c.container.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		})
	}
	return c.container.Close()
}

// abort ends a connection by a reset.
func abort(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

var _ io.Closer = (*connection)(nil)
