package seccomp

import "slices"

// Offsets in struct seccomp_data of <linux/seccomp.h>. The tables are for machines that
// put the lower half of an argument first.
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

// x32Bit is set in the numbers of x32's calls.
const x32Bit = 1 << 30

// compile writes the program: by the architecture, then by the call's number, then by
// the conditions of its rules.
func (f *ScmpFilter) compile() []instruction {
	w := &writer{code: make([]instruction, 0, 1024), returns: map[uint32]label{}}
	entry := w.ret(f.foreign.value())
	for n := len(abis) - 1; n >= 0; n-- {
		first := slices.IndexFunc(abis[:], func(a abi) bool { return a.audit == abis[n].audit })
		if n != first || !f.has(n) {
			continue // x32 is compiled together with x86_64, and comes after it
		}
		section := w.load(offsetNumber, w.search(f.spans(abis[n].audit)))
		entry = w.branch(opEqual, abis[n].audit, section, entry)
	}
	w.load(offsetArch, entry)
	slices.Reverse(w.code)
	return w.code
}

// span is what to do with the calls from a number up to the next span's.
type span struct {
	from   uint32
	rules  []rule // when there are none, or none holds:
	action ScmpAction
}

// spans are those of all calls with an audit number, in order.
func (f *ScmpFilter) spans(audit uint32) []span {
	x32 := false
	order := make([]uint64, 0, len(calls)) // numbers, and below them the abi and the place
	for n, a := range abis {
		if a.audit != audit || !f.has(n) {
			continue
		}
		x32 = x32 || a.bit == x32Bit
		for place, rules := range f.rules[n] {
			if len(rules) > 0 {
				order = append(order, uint64(f.number(place, n))<<32|uint64(n)<<24|uint64(place))
			}
		}
	}
	slices.Sort(order)
	found := make([]numbered, len(order))
	for i, o := range order {
		found[i] = numbered{uint32(o >> 32), f.rules[o>>24&0xff][o&0xffffff]}
	}
	return f.bound(audit, x32, f.cover(found))
}

// numbered are the rules of the call with a number.
type numbered struct {
	number uint32
	rules  []rule
}

// cover fills the gaps between calls, and joins neighbours that do the same.
func (f *ScmpFilter) cover(rules []numbered) []span {
	spans := make([]span, 1, len(rules)+3)
	spans[0] = span{0, nil, f.fallback}
	add := func(s span) {
		last := &spans[len(spans)-1]
		switch {
		case last.rules == nil && s.rules == nil && last.action == s.action:
		case last.from == s.from:
			*last = s
		default:
			spans = append(spans, s)
		}
	}
	for i, c := range rules {
		s := span{c.number, c.rules, f.fallback}
		if only := s.rules[0]; len(only.conditions) == 0 {
			s.rules, s.action = nil, only.action
		}
		add(s)
		if i == len(rules)-1 || rules[i+1].number != c.number+1 {
			add(span{c.number + 1, nil, f.fallback})
		}
	}
	return spans
}

// bound ends x86_64's calls where those of x32 begin, when the filter does not have x32.
// -1 is no call of x32's: tracers use it to skip a call.
func (f *ScmpFilter) bound(audit uint32, x32 bool, spans []span) []span {
	if x32 || !slices.ContainsFunc(abis[:], func(a abi) bool { return a.audit == audit && a.bit == x32Bit }) {
		return spans
	}
	return append(spans, span{x32Bit, nil, f.foreign}, span{^uint32(0), nil, f.fallback})
}

// search finds the span of the number in the accumulator.
func (w *writer) search(spans []span) label {
	if len(spans) == 1 {
		return w.rules(spans[0])
	}
	middle := len(spans) / 2
	high := w.search(spans[middle:])
	low := w.search(spans[:middle])
	return w.branch(opAtLeast, spans[middle].from, high, low)
}

// rules tries the rules of a span in order.
func (w *writer) rules(s span) label {
	next := w.ret(s.action.value())
	for _, r := range slices.Backward(s.rules) {
		yes := w.ret(r.action.value())
		for _, c := range slices.Backward(r.conditions) {
			yes = w.condition(c, yes, next)
		}
		next = yes
	}
	return next
}

// condition goes on with yes when c holds, else with no. A program sees an argument as
// two words, of which the upper one decides first.
func (w *writer) condition(c condition, yes, no label) label {
	switch c.op { // the opposites of others
	case CompareNotEqual:
		return w.compare(opEqual, c, no, yes)
	case CompareLess:
		return w.compare(opAtLeast, c, no, yes)
	case CompareLessOrEqual:
		return w.compare(opMore, c, no, yes)
	case CompareGreaterEqual:
		return w.compare(opAtLeast, c, yes, no)
	case CompareGreater:
		return w.compare(opMore, c, yes, no)
	}
	return w.compare(opEqual, c, yes, no)
}

func (w *writer) compare(op uint16, c condition, yes, no label) label {
	offset := offsetArguments + 8*uint32(c.argument)
	at := w.word(op, offset, uint32(c.value), uint32(c.mask), yes, no)
	upper, mask := uint32(c.value>>32), uint32(c.mask>>32)
	if mask == 0 {
		return at
	}
	if op == opEqual {
		return w.word(opEqual, offset+4, upper, mask, at, no)
	}
	at = w.branch(opEqual, upper, at, no)
	at = w.branch(opMore, upper, yes, at)
	return w.load(offset+4, at)
}

// word compares the masked word at an offset.
func (w *writer) word(op uint16, offset, value, mask uint32, yes, no label) label {
	if mask == 0 { // what is left equals 0, as does value
		return yes
	}
	at := w.branch(op, value, yes, no)
	if mask != ^uint32(0) {
		at = w.mask(mask, at)
	}
	return w.load(offset, at)
}
