package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

// testTransparentPort: nothing of the hub's own port shows.
func testTransparentPort(t *testing.T, s *served) {
	port := serveTCP(t, s.outside, fmt.Sprintf(":%d", TransparentPort), backwards)
	if err := exchange(s.containers[0], join(outsideAddr, port), pattern(5000)); err != nil {
		t.Error(err)
	}
	c, err := dial(s.containers[0], "tcp", join("10.88.0.1", TransparentPort))
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a connection to the relay itself: %v", err)
	}
}

// testSamePort: a closed connection's remains are not in a new one's way.
func testSamePort(t *testing.T, s *served) {
	port := serveTCP(t, s.outside, ":0", func(c *net.TCPConn) {
		c.Write([]byte("x"))
		c.Close() // first, so that this side has the remains
	})
	var retransmissions int
	for range 20 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: 31234}, Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		}}
		err := netns.Do(s.containers[0], func() error {
			c, err := d.Dial("tcp", join(outsideAddr, port))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = io.ReadAll(c)
			raw, _ := c.(*net.TCPConn).SyscallConn()
			raw.Control(func(fd uintptr) {
				if info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO); err == nil {
					retransmissions += int(info.Total_retrans)
				}
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if retransmissions > 2 {
		t.Errorf("%d repetitions were needed", retransmissions)
	}
}

// testRestart: the device and what a container does outlive the relay.
func testRestart(t *testing.T, s *served) {
	held := make(chan struct{})
	port := serveTCP(t, s.outside, ":0", func(c *net.TCPConn) {
		c.Write([]byte("x"))
		<-held
		c.Close()
	})
	defer close(held)
	again := serveTCP(t, s.outside, ":0", backwards)
	for range 2 {
		c, err := dial(s.containers[0], "tcp", join(outsideAddr, port))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		io.ReadFull(c, make([]byte, 1))
		s.stop()
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the end of the relay was seen as %v", err)
		}
		c.Close()
		s.start(t)
		if err := exchange(s.containers[0], join(outsideAddr, again), pattern(5000)); err != nil {
			t.Error(err)
		}
		if err := exchange(s.containers[1], join(outsideAddr6, again), pattern(5000)); err != nil {
			t.Error(err)
		}
	}
}
