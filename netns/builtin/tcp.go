package builtin

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	maxDials    = 1024 // connections being made at once; more wait for the container to try again
	dialTimeout = 2 * time.Minute
)

// forwardTCP connects where the container wanted to and accepts its connection only
// then, so that it sees a refusal as a refusal.
func forwardTCP(r *tcp.ForwarderRequest) {
	id := r.ID()
	to := netip.AddrPortFrom(netip.AddrFrom4(id.LocalAddress.As4()), id.LocalPort)
	c, err := net.DialTimeout("tcp4", to.String(), dialTimeout)
	if err != nil {
		r.Complete(true)
		return
	}
	host := c.(*net.TCPConn)
	var wq waiter.Queue
	ep, tcpErr := r.CreateEndpoint(&wq)
	r.Complete(false)
	if tcpErr != nil {
		host.Close()
		return
	}
	relay(gonet.NewTCPConn(&wq, ep), host, ep.Abort)
}

// relay copies both ways until both have ended or one has failed, and closes both.
// A connection that the host's side has reset is reset for the container, by abort.
func relay(container *gonet.TCPConn, host *net.TCPConn, abort func()) {
	var both sync.WaitGroup
	both.Go(func() {
		if err := carry(host, container); err != nil {
			host.SetLinger(0)
			host.Close()
			abort()
		}
	})
	both.Go(func() {
		if err := carry(container, host); err != nil {
			abort()
			host.SetLinger(0)
			host.Close()
		}
	})
	both.Wait()
	container.Close()
	host.Close()
}

type halfCloser interface {
	io.Writer
	CloseWrite() error
}

// carry copies until from ends and then ends that direction of to.
func carry(to halfCloser, from io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			to.CloseWrite() // an error means that the other direction has ended too
			return nil
		}
		if err != nil {
			return err
		}
	}
}
