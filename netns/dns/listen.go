package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

const port = 53

// Where the sockets are: outside of the range that the kernel gives to clients, so
// that the container hardly wants one for itself.
const (
	firstPort = 65353
	lastPort  = 65390
)

// listen opens the server's sockets in the container's namespace, beside port 53 if
// redirect can put them in its place.
func listen(container *os.File, redirect func(port uint16) error) (datagrams *net.UDPConn, streams *net.TCPListener, err error) {
	err = netns.Do(container, func() error {
		datagrams, streams, err = listenBeside()
		if err != nil {
			return err
		}
		refused := redirect(uint16(datagrams.LocalAddr().(*net.UDPAddr).Port))
		if refused == nil {
			return nil
		}
		datagrams.Close()
		streams.Close()
		if datagrams, streams, err = listenAt(port); err != nil {
			return errors.Join(refused, err)
		}
		return nil
	})
	return datagrams, streams, err
}

func listenBeside() (datagrams *net.UDPConn, streams *net.TCPListener, err error) {
	for p := uint16(firstPort); p <= lastPort; p++ {
		datagrams, streams, err = listenAt(p)
		if !errors.Is(err, unix.EADDRINUSE) {
			return datagrams, streams, err
		}
	}
	return nil, nil, err
}

func listenAt(port uint16) (*net.UDPConn, *net.TCPListener, error) {
	at := netip.AddrPortFrom(Address, port)
	datagrams, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, nil, err
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	streams, err := c.Listen(context.Background(), "tcp4", at.String())
	if err != nil {
		datagrams.Close()
		return nil, nil, err
	}
	return datagrams, streams.(*net.TCPListener), nil
}
