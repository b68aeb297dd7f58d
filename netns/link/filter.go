package link

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// guardLoopback makes the kernel drop, before the helper sees them, the frames with
// which a container that may write raw packets reaches the host's loopback: libslirp
// connects to any destination but its own gateway, 127.0.0.1 and 0.0.0.0 included,
// whatever --disable-host-loopback says. A filter on the TAP device is the one place
// that a packet socket cannot bypass. The device is the helper's, so its descriptor
// is borrowed with pidfd_getfd(2), for which this process must be uid 0 in the
// helper's user namespace.
func guardLoopback(pid int) error {
	tap, err := borrowTap(pid)
	if err != nil {
		return fmt.Errorf("borrowing the TAP device of process %d: %w", pid, err)
	}
	defer unix.Close(tap)
	return filterTap(tap)
}

func borrowTap(pid int) (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return -1, err
	}
	for _, e := range entries {
		var st unix.Stat_t
		n, err := strconv.Atoi(e.Name())
		if err != nil || unix.Stat(dir+"/"+e.Name(), &st) != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(10, 200) {
			continue
		}
		process, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return -1, err
		}
		defer unix.Close(process)
		return unix.PidfdGetfd(process, n, 0)
	}
	return -1, errors.New("it has none")
}

// allowedFrames is a classic BPF program over an Ethernet frame: ARP; IPv4 to anywhere
// but 0.0.0.0/8, 127.0.0.0/8 and the limited broadcast address; IPv6 to anywhere but
// ::/64, in which are the unspecified address, loopback, and both as mapped ones.
var allowedFrames = [...]unix.SockFilter{
	load(unix.BPF_H, 12),        // the Ethernet type
	jumpEqual(0x0806, 11, 0),    // ARP: accept
	jumpEqual(0x86dd, 6, 0),     // IPv6
	jumpEqual(0x0800, 0, 10),    // not IPv4: drop
	load(unix.BPF_W, 14+16),     // the destination
	jumpEqual(0xffffffff, 8, 0), // drop
	load(unix.BPF_B, 14+16),     // its first byte
	jumpEqual(0, 6, 0),          // drop
	jumpEqual(127, 5, 4),        // drop, else accept
	load(unix.BPF_W, 14+24),     // the IPv6 destination's first 32 bits
	jumpEqual(0, 0, 2),          // else accept
	load(unix.BPF_W, 14+28),     // and the next
	jumpEqual(0, 1, 0),          // drop
	keep(1 << 18),
	keep(0),
}

func load(size uint16, offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | size | unix.BPF_ABS, K: offset}
}

func jumpEqual(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func keep(bytes uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: bytes}
}
