package link

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
)

const probeTimeout = 20 * time.Second

// probe is what runs in the container's network namespace.
func probe(args []string) error {
	switch args[0] {
	case "dns": // network server name: prints the address
		c := dns.Client{Net: args[1], Timeout: probeTimeout}
		m := new(dns.Msg)
		m.SetQuestion(args[3]+".", dns.TypeA)
		answer, _, err := c.Exchange(m, net.JoinHostPort(args[2], "53"))
		if err != nil {
			return err
		}
		for _, rr := range answer.Answer {
			if a, ok := rr.(*dns.A); ok {
				fmt.Println(a.A)
			}
		}
	case "echo": // network address: one line there and back
		c, err := net.DialTimeout(args[1], args[2], probeTimeout)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(probeTimeout))
		c.Write([]byte("hello"))
		buf := make([]byte, 16)
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", buf[:n])
	case "dial": // address: the error, if any
		c, err := net.DialTimeout("tcp", args[1], 3*time.Second)
		if err != nil {
			return err
		}
		c.Close()
	case "push": // address bytes: sends, then prints the checksum that comes back
		return push(args[1], args[2])
	case "interface": // prints what the interface has
		return describe()
	case "forge": // gateway destination port
		return forge(args[1], args[2], args[3])
	case "ping": // destination
		return ping(args[1])
	}
	return nil
}

// inContainer runs the probe in ns and returns what it printed.
func inContainer(ns *os.File, args ...string) (string, error) {
	var out, errs bytes.Buffer
	c := world.Command("probe", args...)
	c.Stdout, c.Stderr, c.SysProcAttr = &out, &errs, nil // the thread that starts it ends before
	if err := netns.Do(ns, c.Start); err != nil {
		return "", err
	}
	if err := c.Wait(); err != nil {
		return out.String(), fmt.Errorf("probe %v: %w: %s", args, err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

func mustInContainer(t *testing.T, ns *os.File, args ...string) string {
	t.Helper()
	out, err := inContainer(ns, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// push sends size pseudo-random bytes and compares the server's checksum of them
// with its own; then reads as many and compares those.
func push(address, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(c, sum), &pattern{}, n); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	c.(*net.TCPConn).CloseWrite()
	theirs := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c, theirs); err != nil {
		return fmt.Errorf("reading the checksum: %w", err)
	}
	if !bytes.Equal(theirs, sum.Sum(nil)) {
		return errors.New("what was sent is not what arrived")
	}
	back := sha256.New()
	got, err := io.Copy(back, c)
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if got != n || !bytes.Equal(back.Sum(nil), sum.Sum(nil)) {
		return fmt.Errorf("received %d of %d bytes, or others", got, n)
	}
	return nil
}

// pattern is an endless stream that does not repeat itself within a segment.
type pattern struct{ state uint64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := 0; i+8 <= len(b); i += 8 {
		p.state = p.state*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(b[i:], p.state)
	}
	return len(b) &^ 7, nil
}

func describe() error {
	i, err := net.InterfaceByName(Interface)
	if err != nil {
		return err
	}
	addrs, err := i.Addrs()
	if err != nil {
		return err
	}
	fmt.Println("mac", i.HardwareAddr)
	fmt.Println("mtu", i.MTU)
	for _, a := range addrs {
		fmt.Println("address", a)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Gw != nil {
			fmt.Println("gateway", r.Gw)
		}
	}
	return nil
}

// forge sends a datagram to an address that the container's own kernel would keep
// to itself, by writing the packet onto the interface.
func forge(gateway, destination, port string) error {
	mac, index, err := gatewayMAC(gateway)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Protocol: 0x0008, Ifindex: index, Halen: 6}
	copy(to.Addr[:], mac)
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	i, err := net.InterfaceByName(Interface)
	if err != nil {
		return err
	}
	addrs, err := i.Addrs()
	if err != nil {
		return err
	}
	source := addrs[0].(*net.IPNet).IP.To4()
	for range 3 {
		if err := unix.Sendto(fd, datagram(source, net.ParseIP(destination).To4(), number), 0, to); err != nil {
			return err
		}
	}
	return nil
}

// gatewayMAC learns the gateway's hardware address by talking to it.
func gatewayMAC(gateway string) (net.HardwareAddr, int, error) {
	if c, err := net.Dial("udp", gateway+":9"); err == nil {
		c.Write([]byte("x"))
		c.Close()
	}
	for range 100 {
		neighbours, err := netlink.NeighList(0, netlink.FAMILY_V4)
		if err != nil {
			return nil, 0, err
		}
		for _, n := range neighbours {
			if n.IP.String() == gateway && len(n.HardwareAddr) == 6 {
				return n.HardwareAddr, n.LinkIndex, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, 0, errors.New("the gateway does not answer")
}

// datagram is an IPv4 packet with a UDP datagram that says "forged".
func datagram(source, destination net.IP, port int) []byte {
	const text = "forged"
	p := make([]byte, 28+len(text))
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], source)
	copy(p[16:], destination)
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20]))
	binary.BigEndian.PutUint16(p[20:], 40000)
	binary.BigEndian.PutUint16(p[22:], uint16(port))
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(text))) // no UDP checksum: allowed in IPv4
	copy(p[28:], text)
	return p
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// ping sends an ICMP echo request and waits for the answer to it.
func ping(destination string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	request := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1, 'c', 't', 'r', '!'}
	binary.BigEndian.PutUint16(request[2:], checksum(request))
	to := &unix.SockaddrInet4{}
	copy(to.Addr[:], net.ParseIP(destination).To4())
	if err := unix.Sendto(fd, request, 0, to); err != nil {
		return err
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3})
	buf := make([]byte, 1500)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		if n >= 32 && buf[20] == 0 && bytes.Equal(buf[28:32], request[8:12]) {
			return nil
		}
		if n > 20 && buf[20] != 8 {
			return fmt.Errorf("answer %s", hex.EncodeToString(buf[20:n]))
		}
	}
}
