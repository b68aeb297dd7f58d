package builtin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	dnsPort     = 53
	dnsTimeout  = 3 * time.Second // for one name server
	maxQueries  = 256             // at once; more are lost, and asked again
	maxDatagram = 1 << 16
)

// serveDNS relays queries to the host's name servers, unread, over UDP and TCP.
func serveDNS(s *stack.Stack, address netip.Addr) error {
	at := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(address.As4()), Port: dnsPort}
	datagrams, err := gonet.DialUDP(s, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	connections, err := gonet.ListenTCP(s, at, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	go answerDatagrams(datagrams)
	go func() {
		for {
			c, err := connections.Accept()
			if err != nil {
				return
			}
			go answerConnection(c.(*gonet.TCPConn))
		}
	}()
	return nil
}

func answerDatagrams(conn *gonet.UDPConn) {
	slots := make(chan struct{}, maxQueries)
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		query := bytes.Clone(buf[:n])
		go func() {
			defer func() { <-slots }()
			if answer, err := ask(query); err == nil {
				conn.WriteTo(answer, from) // an unanswered query is asked again
			}
		}()
	}
}

// ask puts a query to the host's name servers, one after another.
func ask(query []byte) ([]byte, error) {
	err := errors.New("no name server")
	for _, server := range nameServers() {
		var answer []byte
		if answer, err = askServer(server, query); err == nil {
			return answer, nil
		}
	}
	return nil, err
}

func askServer(server string, query []byte) ([]byte, error) {
	c, err := net.Dial("udp", server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(dnsTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	answer := make([]byte, maxDatagram)
	n, err := c.Read(answer)
	return answer[:n], err
}

func answerConnection(container *gonet.TCPConn) {
	for _, server := range nameServers() {
		c, err := net.DialTimeout("tcp", server, dnsTimeout)
		if err != nil {
			continue
		}
		relay(container, c.(*net.TCPConn), func() { container.Close() })
		return
	}
	container.Close()
}

// nameServers reads the host's at every query, for it may have moved to another
// network. Without any it is the one on this machine, as resolv.conf(5) says.
func nameServers() []string {
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return []string{"127.0.0.1:53"}
	}
	defer f.Close()
	return parseNameServers(f)
}

func parseNameServers(r io.Reader) []string {
	var servers []string
	lines := bufio.NewScanner(io.LimitReader(r, 1<<16))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) >= 2 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				servers = append(servers, netip.AddrPortFrom(a, dnsPort).String())
			}
		}
	}
	if len(servers) == 0 {
		return []string{"127.0.0.1:53"}
	}
	return servers
}
