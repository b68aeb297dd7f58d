package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	patience = 800 * time.Millisecond  // before the next server is asked too
	again    = 1600 * time.Millisecond // before a datagram is sent to the same server once more
	giveUp   = 4800 * time.Millisecond // C libraries ask again after 5 s
)

// exchange is one query at the servers.
type exchange struct {
	u       *upstream
	ctx     context.Context
	cancel  context.CancelFunc
	q       *query
	network string // udp or tcp

	waiting  []server // not asked yet
	asked    []server // that have not answered yet
	results  chan result
	ticks    int    // how often patience ended
	fallback []byte // a reply in case that none is better
	denial   bool   // fallback is a server's word that there is nothing
	reply    func([]byte)
	replied  bool
}

type result struct {
	server server
	answer []byte // nil when there is none
}

// ask puts a query to the servers, the next one when the one before is not quick, and calls
// reply once. It returns when all sockets are closed: it waits somewhat for a server that another
// one was quicker than, to know it slow from dead.
//
// That there is no such name is believed of a later server only after some time: the first
// may be the one that knows the names of a company's network.
func (u *upstream) ask(ctx context.Context, q *query, servers []server, network string, reply func([]byte)) {
	e := &exchange{u: u, q: q, network: network, reply: reply, results: make(chan result, maxServers+1)}
	e.ctx, e.cancel = context.WithTimeout(ctx, giveUp)
	defer e.cancel()
	ordered, probe := u.order(servers, network)
	e.waiting = ordered
	e.next()
	if probe != nil {
		e.start(*probe)
	}
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for len(e.asked) > 0 {
		select {
		case r := <-e.results:
			e.take(r)
		case <-tick.C:
			e.ticks++
			e.impatient()
		}
	}
	if !e.replied {
		e.finish(e.fallback, 0)
	}
}

// next asks the next server, if there is one.
func (e *exchange) next() {
	if len(e.waiting) > 0 && !e.replied {
		s := e.waiting[0]
		e.waiting = e.waiting[1:]
		e.start(s)
	}
}

func (e *exchange) start(s server) {
	e.asked = append(e.asked, s)
	go func() {
		answer, err := e.attempt(s)
		if err != nil {
			answer = nil
		}
		e.results <- result{s, answer}
	}()
}

func (e *exchange) remember(s server, answered bool) {
	e.u.remember(way{s, e.network}, answered)
}

func (e *exchange) impatient() {
	if e.ticks >= 2 && e.denial {
		e.finish(e.fallback, len(e.asked))
	}
	e.next()
}

func (e *exchange) take(r result) {
	before := slices.Index(e.asked, r.server) // so many that were asked earlier have not answered
	e.asked = slices.Delete(e.asked, before, before+1)
	if r.answer == nil {
		if e.ctx.Err() == nil {
			e.remember(r.server, false)
		}
		e.next()
		return
	}
	e.remember(r.server, true)
	code := binary.BigEndian.Uint16(r.answer[2:]) & codeMask
	nothing := binary.BigEndian.Uint16(r.answer[6:]) == 0
	switch {
	case e.replied:
	case code == serverFailure || code == refused:
		if e.fallback == nil {
			e.fallback = r.answer
		}
		e.next()
	case nothing && before > 0 && e.ticks < 2:
		if !e.denial {
			e.fallback, e.denial = r.answer, true
		}
	default:
		e.finish(r.answer, before)
	}
}

// finish replies. The first so many of the asked servers should have answered by now.
func (e *exchange) finish(answer []byte, late int) {
	if e.replied {
		return
	}
	e.replied = true
	if answer == nil {
		failure := e.q.reply(nil, serverFailure)
		answer = failure.finish()
	}
	e.reply(answer)
	for _, s := range e.asked[:late] {
		e.remember(s, false)
	}
	if len(e.asked) > 0 {
		time.AfterFunc(again, e.cancel)
	}
}

// attempt asks one server until it answers or the exchange ends.
func (e *exchange) attempt(s server) ([]byte, error) {
	c, err := e.u.dial(e.ctx, e.network, s)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(e.ctx, func() { c.Close() })
	defer stop()
	message := append([]byte(nil), e.q.raw...)
	if _, err := rand.Read(message[:2]); err != nil {
		return nil, err
	}
	var answer []byte
	if e.network == "tcp" {
		answer, err = e.overStream(c, message)
	} else {
		answer, err = e.overDatagrams(c, message)
	}
	if err != nil {
		return nil, err
	}
	copy(answer, e.q.raw[:2])
	if n := e.q.question; binary.BigEndian.Uint16(answer[4:]) == 1 {
		copy(answer[headerSize:n], e.q.raw[headerSize:n]) // the client's own letters, large and small
	}
	return answer, nil
}

func (e *exchange) overStream(c net.Conn, message []byte) ([]byte, error) {
	if err := writeStream(c, message); err != nil {
		return nil, err
	}
	answer, err := readStream(c, maxStream)
	if err == nil && !e.q.answers(answer, binary.BigEndian.Uint16(message)) {
		err = errors.New("the answer is to another question")
	}
	return answer, err
}

// answers that are read, one byte more than may be passed on
var buffers = sync.Pool{New: func() any { return new([maxDatagram + 1]byte) }}

func (e *exchange) overDatagrams(c net.Conn, message []byte) ([]byte, error) {
	buf := buffers.Get().(*[maxDatagram + 1]byte)
	defer buffers.Put(buf)
	for {
		if _, err := c.Write(message); err != nil {
			return nil, err
		}
		if err := c.SetReadDeadline(time.Now().Add(again)); err != nil {
			return nil, err
		}
		for {
			n, err := c.Read(buf[:])
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			if !e.q.answers(buf[:n], binary.BigEndian.Uint16(message)) {
				continue // forged, or late
			}
			if n > maxDatagram {
				return truncated(append([]byte(nil), buf[:n]...), e.q), nil
			}
			return append([]byte(nil), buf[:n]...), nil
		}
	}
}
