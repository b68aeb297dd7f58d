package bridge

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The words that rules are made of: each returns the expressions of a match or of a
// verdict, and a rule is their concatenation. See nft(8) for what they mean.
type words = []expr.Any

const (
	reg0 = unix.NFT_REG32_00 // 16 bytes, then the further parts of a concatenated key
	regB = unix.NFT_REG32_04
	regC = unix.NFT_REG32_06
)

func rule(parts ...words) (all words) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func metaIs(key expr.MetaKey, op expr.CmpOp, data []byte) words {
	return words{&expr.Meta{Key: key, Register: reg0}, &expr.Cmp{Op: op, Register: reg0, Data: data}}
}

func iif(name string) words { return metaIs(expr.MetaKeyIIFNAME, expr.CmpOpEq, ifname(name)) }
func oif(name string) words { return metaIs(expr.MetaKeyOIFNAME, expr.CmpOpEq, ifname(name)) }

func notFrom(name string) words { return metaIs(expr.MetaKeyIIFNAME, expr.CmpOpNeq, ifname(name)) }

func iifIn(s *nftables.Set) words {
	return words{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}, in(s)}
}

func iifNotIn(s *nftables.Set) words {
	return words{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}, notIn(s)}
}

func oifIn(s *nftables.Set) words {
	return words{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg0}, in(s)}
}

func oifNotIn(s *nftables.Set) words {
	return words{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg0}, notIn(s)}
}

func pathIn(s *nftables.Set) words {
	return words{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: regB},
		in(s),
	}
}

func in(s *nftables.Set) expr.Any { return &expr.Lookup{SourceRegister: reg0, SetName: s.Name} }
func notIn(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, SetName: s.Name, Invert: true}
}

// protocol is the network protocol, inside of a VLAN tag that the kernel took off.
func protocol(etherType uint16) words {
	return metaIs(expr.MetaKeyPROTOCOL, expr.CmpOpEq, binary.BigEndian.AppendUint16(nil, etherType))
}

func family(f byte) words { return metaIs(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{f}) }
func l4(p byte) words     { return metaIs(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{p}) }

func marked() words {
	return metaIs(expr.MetaKeyMARK, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(Mark))
}

func setMark() words {
	return words{
		&expr.Immediate{Register: reg0, Data: binaryutil.NativeEndian.PutUint32(Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg0},
	}
}

func load(base expr.PayloadBase, offset, size, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: size}
}

func header(base expr.PayloadBase, offset uint32, data []byte) words {
	return words{
		load(base, offset, uint32(len(data)), reg0),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: data},
	}
}

// icmpType is the first byte of an ICMP or ICMPv6 message.
func icmpType(t byte) words { return header(expr.PayloadBaseTransportHeader, 0, []byte{t}) }

// opensTCP matches the first packet of a TCP connection, of whatever further flags.
func opensTCP() words {
	const fin, syn, rst, ack = 1, 2, 4, 16
	return rule(l4(unix.IPPROTO_TCP), words{
		load(expr.PayloadBaseTransportHeader, 13, 1, reg0),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 1, Mask: []byte{fin | syn | rst | ack}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{syn}},
	})
}

// transparentSocket matches what belongs to a socket with IP_TRANSPARENT.
func transparentSocket() words {
	return words{
		&expr.Socket{Key: expr.SocketKeyTransparent, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{1}},
	}
}

// tproxy hands the packet to the listener on a port. It goes on to the next word.
func tproxy(f byte, port uint16) words {
	return words{
		&expr.Immediate{Register: reg0, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.TProxy{Family: f, TableFamily: byte(nftables.TableFamilyINet), RegPort: reg0},
	}
}

// replies matches packets of known connections.
func replies() words {
	return words{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg0},
		&expr.Bitwise{
			SourceRegister: reg0, DestRegister: reg0, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: make([]byte, 4)},
	}
}

func verdict(k expr.VerdictKind) words { return words{&expr.Verdict{Kind: k}} }

func accept() words           { return verdict(expr.VerdictAccept) }
func drop() words             { return verdict(expr.VerdictDrop) }
func goTo(chain string) words { return words{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}} }

func refuseTCP() words { return words{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }

func refuse() words {
	const portUnreachable = 1 // NFT_REJECT_ICMPX_PORT_UNREACH
	return words{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: portUnreachable}}
}
