package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Device carries whole IP packets to and from a hub. Its methods may be called from
// several goroutines at once.
type Device interface {
	ReadPacket([]byte) (int, error) // waits for a packet; io.EOF or os.ErrClosed at the end
	WritePacket([]byte) error       // never waits; a packet that the hub does not take is lost
	Close() error
}

// NewDevice makes a Device of a file that [OpenTUN] or [OpenVeth] returned, perhaps in
// another process; it sees by itself which. The file stays the caller's and may be
// closed at once. The Device is the caller's to close; the interface stays.
func NewDevice(f *os.File) (Device, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("uplink device: %w", err)
	}
	fd, doing := -1, error(nil)
	err = raw.Control(func(orig uintptr) {
		if fd, doing = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0); doing == nil {
			doing = unix.SetNonblock(fd, true)
		}
	})
	if err = errors.Join(err, doing); err != nil {
		return nil, fmt.Errorf("uplink device: %w", err)
	}
	own := os.NewFile(uintptr(fd), f.Name())
	if own.SetDeadline(time.Time{}) != nil {
		own.Close()
		return nil, fmt.Errorf("uplink device %s is neither a TUN device nor a packet socket", f.Name())
	}
	if raw, err = own.SyscallConn(); err != nil {
		own.Close()
		return nil, fmt.Errorf("uplink device: %w", err)
	}
	d := &device{file: own, raw: raw}
	where, err := unix.Getsockname(fd)
	if errors.Is(err, unix.ENOTSOCK) {
		return d, nil
	}
	link, ok := where.(*unix.SockaddrLinklayer)
	if err != nil || !ok {
		own.Close()
		return nil, fmt.Errorf("uplink device %s is neither a TUN device nor a packet socket", f.Name())
	}
	to := unix.SockaddrLinklayer{Ifindex: link.Ifindex, Halen: uint8(len(nearAddress))}
	copy(to.Addr[:], nearAddress[:])
	return &packetDevice{device: *d, to: to}, nil
}

// device is a TUN device: a packet for each read(2) and write(2).
type device struct {
	file *os.File
	raw  syscall.RawConn
}

func (d *device) ReadPacket(b []byte) (int, error) {
	for {
		n, err := d.file.Read(b)
		if errors.Is(err, unix.EBADFD) || errors.Is(err, unix.EIO) {
			return 0, fmt.Errorf("uplink device is gone: %w", err)
		}
		if err != nil && passing(err) {
			continue
		}
		return n, err
	}
}

func (d *device) WritePacket(b []byte) (err error) {
	controlled := d.raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), b) })
	if controlled != nil {
		return controlled
	}
	return err
}

func (d *device) Close() error { return d.file.Close() }

// packetDevice is a packet socket on the far end of a veth pair (packet(7)). It sends
// to the near end's hardware address, for the hub to take the packet in.
type packetDevice struct {
	device
	to unix.SockaddrLinklayer
}

func (d *packetDevice) ReadPacket(b []byte) (int, error) {
	for {
		n, err := 0, error(nil)
		read := d.raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), b)
			return err != unix.EAGAIN
		})
		if read != nil {
			return 0, read
		}
		if n == 0 && err == nil {
			return 0, io.EOF
		}
		if err != nil && (passing(err) || errors.Is(err, unix.ENETDOWN)) {
			continue
		}
		return n, err
	}
}

func (d *packetDevice) WritePacket(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	to := d.to
	to.Protocol = networkOrder(unix.ETH_P_IP)
	if b[0]>>4 == 6 {
		to.Protocol = networkOrder(unix.ETH_P_IPV6)
	}
	err := error(nil)
	controlled := d.raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), b, 0, &to) })
	if controlled != nil {
		return controlled
	}
	return err
}

// passing reports whether a read may be tried again at once.
func passing(err error) bool {
	return errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
