package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// WatchRules calls again, which is likely to be [Hub.Reload], whenever our rules
// were deleted from outside, as `nft flush ruleset` and a restarted firewall do. It
// returns when ctx ends, or at once with an error when the kernel does not tell.
// What is deleted in quick succession is one call. Of many who watch, most find the
// rules back before it is their turn.
func (h *Hub) WatchRules(ctx context.Context, again func()) error {
	var events *os.File
	err := h.do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
		if err != nil {
			unix.Close(fd)
			return err
		}
		events = os.NewFile(uintptr(fd), "nftables events")
		return nil
	})
	if err != nil {
		return fmt.Errorf("watching the firewall rules: %w", err)
	}
	defer events.Close()
	defer context.AfterFunc(ctx, func() { events.SetDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, err := events.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // too much at once: look for ourselves
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watching the firewall rules: %w", err)
		}
		if err == nil && !deletesTable(buf[:n]) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(50*time.Millisecond + rand.N(200*time.Millisecond)):
		}
		if ctx.Err() == nil && !h.rulesThere() {
			again()
		}
	}
	return nil
}

// deletesTable looks for NFT_MSG_DELTABLE among netlink messages, see netlink(7).
func deletesTable(b []byte) bool {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if binary.NativeEndian.Uint16(b[4:]) == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE {
			return true
		}
		size = (size + 3) &^ 3
		if size < unix.SizeofNlMsghdr || size > len(b) {
			break
		}
		b = b[size:]
	}
	return false
}

// rulesThere reports whether both tables are, as far as the kernel can have them.
func (h *Hub) rulesThere() bool {
	there := false
	err := h.transaction(func(c *nftables.Conn) error {
		_, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
		if err == nil && !h.lacking.bridge {
			_, err = c.ListTableOfFamily(tableName, nftables.TableFamilyBridge)
		}
		there = err == nil
		return nil
	})
	return err == nil && there
}
