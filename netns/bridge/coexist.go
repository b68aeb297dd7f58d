package bridge

import (
	"bytes"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// acceptInTables puts rules into the tables of iptables that accept what comes from
// and goes to the bridge, or removes them. They are needed where the chain FORWARD
// drops by default, as a Docker daemon and several firewalls have it, and are in the
// form that iptables-nft writes itself. Our own tables decide before or after it all
// the same. The place is DOCKER-USER, which its owner keeps, or the top of FORWARD.
// Rules that are there already are left. Idempotent.
func (h *Hub) acceptInTables(bridge string, on bool) error {
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		err := h.transaction(func(c *nftables.Conn) error {
			chains, err := c.ListChainsOfTableFamily(family)
			if err != nil {
				return fmt.Errorf("listing chains: %w", err)
			}
			forward, user := findChain(chains, "FORWARD"), findChain(chains, "DOCKER-USER")
			if !on {
				return removeAccepting(c, bridge, forward, user)
			}
			if forward == nil || forward.Policy == nil || *forward.Policy != nftables.ChainPolicyDrop {
				return nil
			}
			place := forward
			if user != nil {
				place = user
			}
			return addAccepting(c, bridge, place)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func findChain(chains []*nftables.Chain, name string) *nftables.Chain {
	for _, c := range chains {
		if c.Table.Name == "filter" && c.Name == name {
			return c
		}
	}
	return nil
}

func addAccepting(c *nftables.Conn, bridge string, place *nftables.Chain) error {
	rules, err := c.GetRules(place.Table, place)
	if err != nil {
		return fmt.Errorf("listing rules of %s: %w", place.Name, err)
	}
	for _, key := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
		there := false
		for _, r := range rules {
			there = there || accepts(r, key, bridge)
		}
		if !there {
			words := rule(metaIs(key, expr.CmpOpEq, append([]byte(bridge), 0)), words{&expr.Counter{}}, accept())
			c.InsertRule(&nftables.Rule{Table: place.Table, Chain: place, Exprs: words})
		}
	}
	return nil
}

func removeAccepting(c *nftables.Conn, bridge string, places ...*nftables.Chain) error {
	for _, place := range places {
		if place == nil {
			continue
		}
		rules, err := c.GetRules(place.Table, place)
		if err != nil {
			return fmt.Errorf("listing rules of %s: %w", place.Name, err)
		}
		for _, r := range rules {
			if accepts(r, expr.MetaKeyIIFNAME, bridge) || accepts(r, expr.MetaKeyOIFNAME, bridge) {
				r.Table, r.Chain = place.Table, place
				if err := c.DelRule(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// accepts reports whether the rule is one of addAccepting's.
func accepts(r *nftables.Rule, key expr.MetaKey, bridge string) bool {
	if len(r.Exprs) != 4 {
		return false
	}
	meta, ok1 := r.Exprs[0].(*expr.Meta)
	cmp, ok2 := r.Exprs[1].(*expr.Cmp)
	_, ok3 := r.Exprs[2].(*expr.Counter)
	verdict, ok4 := r.Exprs[3].(*expr.Verdict)
	return ok1 && ok2 && ok3 && ok4 && meta.Key == key && cmp.Op == expr.CmpOpEq &&
		bytes.Equal(cmp.Data, append([]byte(bridge), 0)) && verdict.Kind == expr.VerdictAccept
}
