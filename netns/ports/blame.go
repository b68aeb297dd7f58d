package ports

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
)

// Conflict reports whether the ports that a and b have on the host, as [Listeners.Bound]
// gives them, exclude each other.
func Conflict(a, b config.PortMapping) bool {
	if a.HostPort != b.HostPort || a.HostPort == 0 || a.Protocol != b.Protocol {
		return false
	}
	x, err1 := netip.ParseAddr(a.HostIP)
	y, err2 := netip.ParseAddr(b.HostIP)
	if err1 != nil || err2 != nil {
		return true // one of them is everywhere
	}
	return x == y || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// explain says why a port could not be taken, and what to do. The error still is the
// kernel's.
func (b *binder) explain(m config.PortMapping, at netip.AddrPort, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("failed to bind host port %s/%s: %w", at, m.Protocol, err)
	}
	m.HostIP, m.HostPort, m.HostLast = at.Addr().String(), at.Port(), 0
	switch errno {
	case unix.EADDRINUSE:
		return b.inUse(m, at, errno)
	case unix.EADDRNOTAVAIL:
		return fmt.Errorf("failed to bind host port %s/%s: %w: no interface of this host has the address %s", at, m.Protocol, errno, at.Addr())
	case unix.EACCES:
		if first := firstUnprivileged(); int(at.Port()) < first {
			return &hintedError{errno, fmt.Sprintf("cannot publish privileged port %d: ports below %d are root's on this host; run as root: sysctl net.ipv4.ip_unprivileged_port_start=%d", at.Port(), first, at.Port())}
		}
	}
	return fmt.Errorf("failed to bind host port %s/%s: %w", at, m.Protocol, errno)
}

func (b *binder) inUse(m config.PortMapping, at netip.AddrPort, errno syscall.Errno) error {
	if m.HostPort == 0 {
		return fmt.Errorf("failed to bind a free host port of %s/%s: %w: all of net.ipv4.ip_local_port_range are taken", at.Addr(), m.Protocol, errno)
	}
	allocated := "Bind for " + at.String() + " failed: port is already allocated"
	for _, own := range b.bound {
		for _, s := range own {
			if Conflict(s.as, m) {
				return &hintedError{errno, allocated + " by another --publish of this container"}
			}
		}
	}
	if b.owner != nil {
		if name := b.owner(m); name != "" {
			return &hintedError{errno, allocated + " by container " + name}
		}
	}
	return fmt.Errorf("failed to bind host port %s/%s: %w: %s", at, m.Protocol, errno, holder(at, m.Protocol))
}

// hintedError has words of its own for an error of the kernel's.
type hintedError struct {
	errno syscall.Errno
	words string
}

func (e *hintedError) Error() string { return e.words }
func (e *hintedError) Unwrap() error { return e.errno }

// firstUnprivileged is the first port that an ordinary user may bind.
func firstUnprivileged() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	n, err2 := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || err2 != nil {
		return 1024
	}
	return n
}

// holder names the program that has a port, as far as /proc shows it: another user's
// programs are named to root only.
func holder(at netip.AddrPort, protocol string) string {
	for _, table := range []string{protocol, protocol + "6"} {
		if inode := inodeOf("/proc/thread-self/net/"+table, at, protocol == "tcp"); inode != "" {
			if who := processWith("socket:[" + inode + "]"); who != "" {
				return "it is " + who + "'s"
			}
		}
	}
	return fmt.Sprintf("to see by which program, run as root: ss -Hlpn%.1s 'sport = :%d'", protocol, at.Port())
}

// inodeOf finds the socket that keeps at from being bound in a table of proc_pid_net(5).
func inodeOf(table string, at netip.AddrPort, listening bool) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	port := fmt.Sprintf(":%04X", at.Port())
	six := strings.HasSuffix(table, "6")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word := strings.Fields(lines.Text())
		if len(word) < 10 || !strings.HasSuffix(word[1], port) || listening && word[3] != "0A" {
			continue
		}
		local := strings.TrimSuffix(word[1], port)
		any := strings.Trim(local, "0") == ""
		if any || at.Addr().IsUnspecified() && six == at.Addr().Is6() || local == kernelHex(at.Addr()) {
			return word[9]
		}
	}
	return ""
}

// kernelHex writes an address as the tables do: words of four bytes in the machine's order.
func kernelHex(a netip.Addr) string {
	var out strings.Builder
	for b := a.AsSlice(); len(b) > 0; b = b[4:] {
		fmt.Fprintf(&out, "%08X", binary.NativeEndian.Uint32(b))
	}
	return out.String()
}

// processWith names the process that has a descriptor of that description open.
func processWith(description string) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if is, err := os.Readlink(link); err != nil || is != description {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err == nil {
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}
