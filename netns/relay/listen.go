package relay

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

type listener struct {
	fd    int
	watch ticket
	quiet bool // because of an error; see sweep
}

// settings are for the hub, IPv6 too. Where they cannot be made, what they are for
// takes a second longer.
var settings = [...][2]string{
	// Else the kernel drops the first segment of a connection whose ports were just
	// in use: what is left of the old socket makes it think that it must not forward it.
	{"tcp_early_demux", "0"},
	// The answer to a cookie belongs to no socket, so that the hub would not keep it.
	{"tcp_syncookies", "0"},
}

// listen opens the listeners in the hub. They are in s.listeners even if it fails.
func (s *streams) listen() error {
	return netns.Do(s.Hub, func() error {
		for _, s := range settings {
			os.WriteFile("/proc/sys/net/ipv4/"+s[0], []byte(s[1]), 0)
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			fd, err := listenTransparent(family)
			if errors.Is(err, unix.EAFNOSUPPORT) && family == unix.AF_INET6 {
				continue
			}
			if err != nil {
				return fmt.Errorf("listening in the hub for connections of containers: %w", err)
			}
			s.listeners = append(s.listeners, &listener{fd: fd})
		}
		return nil
	})
}

// listenTransparent opens the transparent socket that the hub's rule hands connections to.
func listenTransparent(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: TransparentPort}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 {
		sa = &unix.SockaddrInet6{Port: TransparentPort}
		set(unix.SOL_IPV6, unix.IPV6_V6ONLY, 1)
		set(unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	} else {
		set(unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	}
	const again = 2 // repetitions of an answer that the container does not acknowledge
	set(unix.SOL_TCP, unix.TCP_SYNCNT, again)
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		err = unix.Listen(fd, 4096)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// accept takes the containers' connections from a listener.
func (s *streams) accept(l *listener) {
	const most = 64 // at once, so that others have their turn
	for range most {
		fd, peer, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EMFILE, err == unix.ENFILE, err == unix.ENOBUFS, err == unix.ENOMEM:
			s.mu.Lock()
			l.quiet = true
			s.mu.Unlock()
			s.poller.change(l.fd, l.watch, 0)
			s.sweepSoon()
			return
		case err != nil: // the connection's own trouble
			continue
		}
		local, err := unix.Getsockname(fd)
		if err != nil || !s.join(tuple{addrPort(peer), addrPort(local)}, fd) {
			abortive(fd)
			unix.Close(fd)
		}
	}
}
