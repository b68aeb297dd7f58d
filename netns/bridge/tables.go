package bridge

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is what our tables are called, in the families inet and bridge. Nothing
// outside of them is touched, but see coexist.go.
const tableName = "ctr"

// portPrefix begins the names of the hub's ends of veth pairs: the bridge table
// attends to these alone.
const portPrefix = "ctrv"

// tables are the tables' static part: sets, and the chains that look into them. A
// container or network that comes or goes is elements that come or go.
type tables struct {
	inet, bridge *nftables.Table

	bridges  *nftables.Set // our bridges
	internal *nftables.Set // those that reach nothing else
	open     *nftables.Set // as root: those that the outside reaches without a published port
	paths    *nftables.Set // from interface to interface, allowed though both or one is a bridge
	hidden4  *nftables.Set // as root: subnets whose packets get the host's address outside
	hidden6  *nftables.Set
	snat4    *nftables.Set // as root: subnets whose packets get a certain address outside
	snat6    *nftables.Set

	ports  *nftables.Set // port . MAC
	own4   *nftables.Set // port . MAC . IPv4 address
	own6   *nftables.Set // port . MAC . IPv6 address, link-local ones too
	taken4 *nftables.Set // addresses of leases and gateways
	taken6 *nftables.Set
}

func newTables() *tables {
	t := &tables{
		inet:   &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet},
		bridge: &nftables.Table{Name: tableName, Family: nftables.TableFamilyBridge},
	}
	set := func(table *nftables.Table, name string, types ...nftables.SetDatatype) *nftables.Set {
		key := types[0]
		if len(types) > 1 {
			key = nftables.MustConcatSetType(types...)
		}
		s := &nftables.Set{Table: table, Name: name, KeyType: key, Concatenation: len(types) > 1}
		if key.Name == nftables.TypeIFName.Name {
			s.KeyByteOrder = binaryutil.NativeEndian // so that nft(8) shows the names
		}
		return s
	}
	name, mac, ip, ip6 := nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeIPAddr, nftables.TypeIP6Addr
	t.bridges = set(t.inet, "bridges", name)
	t.internal = set(t.inet, "internal", name)
	t.open = set(t.inet, "open", name)
	t.paths = set(t.inet, "paths", name, name)
	t.hidden4, t.hidden6 = set(t.inet, "hidden4", ip), set(t.inet, "hidden6", ip6)
	t.snat4, t.snat6 = set(t.inet, "snat4", ip), set(t.inet, "snat6", ip6)
	for _, s := range []*nftables.Set{t.hidden4, t.hidden6, t.snat4, t.snat6} {
		s.Interval = true
	}
	t.snat4.IsMap, t.snat4.DataType = true, ip
	t.snat6.IsMap, t.snat6.DataType = true, ip6
	t.ports = set(t.bridge, "ports", name, mac)
	t.own4, t.own6 = set(t.bridge, "own4", name, mac, ip), set(t.bridge, "own6", name, mac, ip6)
	t.taken4, t.taken6 = set(t.bridge, "taken4", ip), set(t.bridge, "taken6", ip6)
	return t
}

// lacking is what this kernel has not got.
type lacking struct {
	reject      bool // answers to refused packets
	transparent bool // sockets with other hosts' addresses
	nat         bool
	bridge      bool // rules for bridged frames
}

func (t *tables) inetSets(root bool, l lacking) []*nftables.Set {
	sets := []*nftables.Set{t.bridges, t.internal, t.paths}
	if root {
		sets = append(sets, t.open)
	}
	if root && !l.nat {
		sets = append(sets, t.hidden4, t.hidden6, t.snat4, t.snat6)
	}
	return sets
}

func (t *tables) bridgeSets() []*nftables.Set {
	return []*nftables.Set{t.ports, t.own4, t.own6, t.taken4, t.taken6}
}

// chain is a chain and its rules. Without a hook it is gone to by name.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    []words
}

// inetChains are the rules for packets that the hub routes, sends and receives.
func (t *tables) inetChains(root bool, l lacking) []chain {
	chains := []chain{{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, t.forward(root)}}
	if !l.transparent {
		chains = append(chains, chain{
			"prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle, t.prerouting(root),
		})
	}
	if !root {
		return append(chains, chain{
			"input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, t.input(l),
		})
	}
	if !l.nat {
		chains = append(chains, chain{
			"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, t.postrouting(),
		})
	}
	return chains
}

// prerouting finds the packets that belong to sockets with other hosts' addresses.
// A first packet from a container is never one: it would only find the listener on
// [TransparentPort], which is for what the built-in link puts back into [Uplink].
func (t *tables) prerouting(root bool) []words {
	mine := rule(transparentSocket(), setMark(), accept())
	if root {
		return []words{
			rule(iifNotIn(t.bridges), accept()),
			rule(opensTCP(), accept()),
			rule(l4(unix.IPPROTO_TCP), mine),
			rule(l4(unix.IPPROTO_UDP), mine),
		}
	}
	back := rule(iif(Uplink), opensTCP())
	return []words{
		rule(back, family(unix.NFPROTO_IPV4), tproxy(unix.NFPROTO_IPV4, TransparentPort), setMark(), accept()),
		rule(back, family(unix.NFPROTO_IPV6), tproxy(unix.NFPROTO_IPV6, TransparentPort), setMark(), accept()),
		rule(opensTCP(), accept()),
		rule(l4(unix.IPPROTO_TCP), mine),
		rule(l4(unix.IPPROTO_UDP), mine),
	}
}

// forward keeps bridges apart. What comes in by the uplink of a made hub was let
// in by the link; as root the outside reaches no container by itself.
func (t *tables) forward(root bool) []words {
	rules := []words{
		rule(pathIn(t.paths), accept()),
		rule(iifIn(t.bridges), oifIn(t.bridges), drop()),
		rule(iifIn(t.internal), drop()),
		rule(oifIn(t.internal), drop()),
	}
	if root {
		rules = append(rules,
			rule(oifIn(t.bridges), replies(), accept()),
			rule(oifIn(t.open), accept()),
			rule(oifIn(t.bridges), drop()),
		)
	}
	return rules
}

// input protects what listens in a made hub. ICMP is what ping, path MTU discovery
// and finding neighbours need; the kernel is told to ignore redirects and routers.
func (t *tables) input(l lacking) []words {
	rules := []words{
		rule(iif("lo"), accept()),
		rule(marked(), accept()),
		rule(l4(unix.IPPROTO_ICMP), accept()),
		rule(l4(unix.IPPROTO_ICMPV6), accept()),
	}
	if !l.reject {
		rules = append(rules,
			rule(iifIn(t.bridges), l4(unix.IPPROTO_TCP), refuseTCP()),
			rule(iifIn(t.bridges), l4(unix.IPPROTO_UDP), refuse()),
		)
	}
	return append(rules, drop())
}

// postrouting gives packets that leave the host its address. Between bridges nothing passes.
func (t *tables) postrouting() []words {
	const source4, source6 = 12, 8
	from4 := rule(family(unix.NFPROTO_IPV4), oifNotIn(t.bridges), words{load(expr.PayloadBaseNetworkHeader, source4, 4, reg0)})
	from6 := rule(family(unix.NFPROTO_IPV6), oifNotIn(t.bridges), words{load(expr.PayloadBaseNetworkHeader, source6, 16, reg0)})
	translate := func(m *nftables.Set, f uint32) words {
		return words{
			&expr.Lookup{SourceRegister: reg0, DestRegister: reg0, IsDestRegSet: true, SetName: m.Name},
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: f, RegAddrMin: reg0},
		}
	}
	return []words{
		rule(from4, translate(t.snat4, unix.NFPROTO_IPV4)),
		rule(from6, translate(t.snat6, unix.NFPROTO_IPV6)),
		rule(from4, words{in(t.hidden4), &expr.Masq{}}),
		rule(from6, words{in(t.hidden6), &expr.Masq{}}),
	}
}

// bridgeChains keep containers from speaking for others. A frame bears the sender's
// MAC; an ARP message or an IPv6 neighbour advertisement tells of the sender's own
// addresses only; no packet bears an address that is leased to another or is a
// gateway's, while other sources are allowed, for containers that route. Nobody
// announces routers. Tagged frames are refused because Linux receives those of VLAN
// 0 as untagged ones, after our look at them.
func (t *tables) bridgeChains() []chain {
	const (
		arp, ip4, ip6            = unix.ETH_P_ARP, unix.ETH_P_IP, unix.ETH_P_IPV6
		advert, redirect, router = 136, 137, 134
	)
	const link, network, transport = expr.PayloadBaseLLHeader, expr.PayloadBaseNetworkHeader, expr.PayloadBaseTransportHeader
	port := &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg0}
	frame := words{port, load(link, 6, 6, regB)}     // port . source MAC
	sender := words{port, load(network, 8, 6, regB)} // port . MAC that ARP tells
	told := words{load(network, 14, 4, regC)}        // . address that ARP tells
	source4 := words{load(network, 12, 4, regC)}     // . source
	source6 := words{load(network, 8, 16, regC)}     // . source
	target6 := words{load(transport, 8, 16, regC)}   // . address advertised
	icmp6 := func(kind byte) words { return rule(l4(unix.IPPROTO_ICMPV6), icmpType(kind)) }
	check := nftables.ChainPriorityRef(-200) // filter, of the bridge family

	return []chain{
		{name: "arp", rules: []words{
			rule(frame, words{notIn(t.ports)}, drop()),
			rule(sender, told, words{in(t.own4)}, accept()),
			rule(sender, words{in(t.ports)}, header(network, 14, make([]byte, 4)), accept()), // a probe
			drop(),
		}},
		{name: "ip6", rules: []words{
			rule(icmp6(router), drop()),
			rule(icmp6(redirect), drop()),
			rule(icmp6(advert), frame, target6, words{notIn(t.own6)}, drop()),
			rule(frame, source6, words{in(t.own6)}, accept()),
			rule(frame, words{notIn(t.ports)}, drop()),
			rule(words{load(network, 8, 16, reg0)}, words{in(t.taken6)}, drop()),
			accept(),
		}},
		{"prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, check, []words{
			rule(metaIs(expr.MetaKeyIIFNAME, expr.CmpOpNeq, []byte(portPrefix)), accept()),
			rule(protocol(ip4), frame, source4, words{in(t.own4)}, accept()),
			rule(protocol(ip6), goTo("ip6")),
			rule(protocol(arp), goTo("arp")),
			rule(protocol(unix.ETH_P_8021Q), drop()),
			rule(protocol(unix.ETH_P_8021AD), drop()),
			rule(frame, words{notIn(t.ports)}, drop()),
			rule(protocol(ip4), words{load(network, 12, 4, reg0)}, words{in(t.taken4)}, drop()),
		}},
	}
}
