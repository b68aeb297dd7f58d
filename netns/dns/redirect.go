package dns

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	tableName = "ctr-dns"
	chainName = "output"
)

// redirect makes rules in the calling thread's namespace by which port 53 of Address
// is p: in packets to the server the destination is changed, in those from it the source.
// Nothing is tracked. They are, for UDP and TCP:
//
//	ip daddr 127.0.0.11 udp dport 53 udp dport set P
//	ip saddr 127.0.0.11 udp sport P udp sport set 53
//
// The messages are written here because every start of a container waits for them:
// in one batch on a plain socket they take a tenth of the time that the library for them needs.
func redirect(p uint16) error {
	err := commit(rules(p, false))
	if errors.Is(err, unix.EEXIST) { // those of a server before this one
		err = commit(rules(p, true))
	}
	if err != nil {
		return fmt.Errorf("making nftables rules in the container's namespace: %w", err)
	}
	return nil
}

// rules is a batch for nf_tables (linux/netfilter/nf_tables.h).
func rules(p uint16, replace bool) *batch {
	b := &batch{}
	b.begin(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	if replace {
		b.message(unix.NFT_MSG_DELTABLE, 0)
		b.text(unix.NFTA_TABLE_NAME, tableName)
	}
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b.text(unix.NFTA_TABLE_NAME, tableName)
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	b.text(unix.NFTA_CHAIN_TABLE, tableName)
	b.text(unix.NFTA_CHAIN_NAME, chainName)
	b.nest(unix.NFTA_CHAIN_HOOK, func() {
		rawPriority := int32(-300) // before connection tracking
		b.number(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_LOCAL_OUT)
		b.number(unix.NFTA_HOOK_PRIORITY, uint32(rawPriority))
	})
	b.text(unix.NFTA_CHAIN_TYPE, "filter")
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		b.rule(protocol, addressTo, portTo, port, p)
		b.rule(protocol, addressFrom, portFrom, p, port)
	}
	b.b[b.start+6] |= unix.NLM_F_ACK // of the last, which all others precede
	b.begin(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
	b.end()
	return b
}

// Where a packet has what the rules look at: addresses in the network header, ports in the next.
const (
	addressFrom, addressTo = 12, 16
	portFrom, portTo       = 0, 2
)

func checksumOf(protocol byte) uint32 {
	if protocol == unix.IPPROTO_TCP {
		return 16
	}
	return 6
}

// rule changes the port of the server in packets of a protocol.
func (b *batch) rule(protocol byte, address, portAt uint32, from, to uint16) {
	server := Address.As4()
	b.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	b.text(unix.NFTA_RULE_TABLE, tableName)
	b.text(unix.NFTA_RULE_CHAIN, chainName)
	b.nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		b.load(unix.NFT_PAYLOAD_NETWORK_HEADER, address, 4)
		b.compare(server[:])
		b.expression("meta", func() {
			b.number(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO)
			b.number(unix.NFTA_META_DREG, unix.NFT_REG_1)
		})
		b.compare([]byte{protocol})
		b.load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, portAt, 2)
		b.compare(binary.BigEndian.AppendUint16(nil, from))
		b.expression("immediate", func() {
			b.number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_1)
			b.data(unix.NFTA_IMMEDIATE_DATA, binary.BigEndian.AppendUint16(nil, to))
		})
		b.expression("payload", func() {
			b.number(unix.NFTA_PAYLOAD_SREG, unix.NFT_REG_1)
			b.number(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER)
			b.number(unix.NFTA_PAYLOAD_OFFSET, portAt)
			b.number(unix.NFTA_PAYLOAD_LEN, 2)
			b.number(unix.NFTA_PAYLOAD_CSUM_TYPE, unix.NFT_PAYLOAD_CSUM_INET)
			b.number(unix.NFTA_PAYLOAD_CSUM_OFFSET, checksumOf(protocol))
		})
	})
}

func (b *batch) load(base, offset, size uint32) {
	b.expression("payload", func() {
		b.number(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1)
		b.number(unix.NFTA_PAYLOAD_BASE, base)
		b.number(unix.NFTA_PAYLOAD_OFFSET, offset)
		b.number(unix.NFTA_PAYLOAD_LEN, size)
	})
}

func (b *batch) compare(value []byte) {
	b.expression("cmp", func() {
		b.number(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
		b.number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
		b.data(unix.NFTA_CMP_DATA, value)
	})
}

// batch is a row of netlink messages (netlink(7)).
type batch struct {
	b     []byte
	start int // of the last message
}

// message begins one for nf_tables, in the family of IPv4.
func (b *batch) message(kind uint16, flags uint16) {
	b.begin(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, unix.NFPROTO_IPV4, 0)
}

func (b *batch) begin(kind, flags uint16, family byte, resource uint16) {
	b.end()
	b.start = len(b.b)
	b.b = append(b.b, 0, 0, 0, 0) // the length, known at the end
	b.b = binary.NativeEndian.AppendUint16(b.b, kind)
	b.b = binary.NativeEndian.AppendUint16(b.b, flags|unix.NLM_F_REQUEST)
	b.b = append(b.b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence number and sender
	b.b = append(b.b, family, unix.NFNETLINK_V0)
	b.b = binary.BigEndian.AppendUint16(b.b, resource)
}

func (b *batch) end() {
	if len(b.b) > b.start {
		binary.NativeEndian.PutUint32(b.b[b.start:], uint32(len(b.b)-b.start))
	}
}

// attribute appends what f appends as one attribute.
func (b *batch) attribute(kind uint16, f func()) {
	at := len(b.b)
	b.b = append(b.b, 0, 0)
	b.b = binary.NativeEndian.AppendUint16(b.b, kind)
	f()
	binary.NativeEndian.PutUint16(b.b[at:], uint16(len(b.b)-at))
	for len(b.b)%4 != 0 {
		b.b = append(b.b, 0)
	}
}

func (b *batch) nest(kind uint16, f func()) { b.attribute(kind|unix.NLA_F_NESTED, f) }

func (b *batch) text(kind uint16, s string) {
	b.attribute(kind, func() { b.b = append(append(b.b, s...), 0) })
}

func (b *batch) number(kind uint16, n uint32) {
	b.attribute(kind, func() { b.b = binary.BigEndian.AppendUint32(b.b, n) })
}

func (b *batch) data(kind uint16, value []byte) {
	b.nest(kind, func() {
		b.attribute(unix.NFTA_DATA_VALUE, func() { b.b = append(b.b, value...) })
	})
}

func (b *batch) expression(name string, f func()) {
	b.nest(unix.NFTA_LIST_ELEM, func() {
		b.text(unix.NFTA_EXPR_NAME, name)
		b.nest(unix.NFTA_EXPR_DATA, f)
	})
}

// commit sends a batch and reads what the kernel says of it, which it has said when
// the sending ends.
func commit(b *batch) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("opening a netlink socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, b.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, unix.MSG_DONTWAIT)
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	const errorAt = unix.SizeofNlMsghdr
	if n < errorAt+4 || binary.NativeEndian.Uint16(reply[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel answered something else")
	}
	if code := int32(binary.NativeEndian.Uint32(reply[errorAt:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
