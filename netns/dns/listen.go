package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
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
	for p := firstPort; p <= lastPort; p++ {
		datagrams, streams, err = listenAt(p)
		if !errors.Is(err, unix.EADDRINUSE) {
			return datagrams, streams, err
		}
	}
	return nil, nil, err
}

func listenAt(port int) (*net.UDPConn, *net.TCPListener, error) {
	at := netip.AddrPortFrom(Address, uint16(port))
	datagrams, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, nil, err
	}
	streams, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	if err != nil {
		datagrams.Close()
		return nil, nil, err
	}
	return datagrams, streams, nil
}

const tableName = "ctr-dns"

// redirect makes rules in the calling thread's namespace by which port 53 of
// Address is p.
func redirect(p uint16) error {
	err := addRules(p, false)
	if errors.Is(err, unix.EEXIST) { // of a server before this one
		err = addRules(p, true)
	}
	if err != nil {
		return fmt.Errorf("making nftables rules in the container's namespace: %w", err)
	}
	return nil
}

func addRules(p uint16, replace bool) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	if replace {
		c.DelTable(table)
	}
	c.CreateTable(table)
	chain := c.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw,
	})
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rewrite(protocol, toServer, port, p)})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rewrite(protocol, fromServer, p, port)})
	}
	return c.Flush()
}

// direction is where a packet has the server's address and port.
type direction struct{ address, port uint32 }

var (
	toServer   = direction{address: 16, port: 2}
	fromServer = direction{address: 12, port: 0}
)

// rewrite is a rule that changes the server's port in packets of a protocol.
func rewrite(protocol byte, d direction, from, to uint16) []expr.Any {
	checksum := uint32(6) // in the header of UDP; TCP's is at 16
	if protocol == unix.IPPROTO_TCP {
		checksum = 16
	}
	address := Address.As4()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: d.address, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: address[:]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: d.port, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(from)},
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(to)},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: 1,
			Base: expr.PayloadBaseTransportHeader, Offset: d.port, Len: 2,
			CsumType: expr.CsumTypeInet, CsumOffset: checksum,
		},
	}
}
