package logs

import (
	"os"
	"sync"
	"time"
	"unsafe"
)

// ring is Docker's mode=non-blocking: writing never waits for the driver behind it.
// What the driver cannot take in time waits in memory, and what would exceed that
// is dropped. (It takes everything that waits at once, so there is nothing circular.)
type ring struct {
	to    Driver
	limit int64

	mu      sync.Mutex
	filled  sync.Cond // signalled when something waits or closed is set
	text    []byte    // the waiting lines, one after the other
	lines   []waiting
	dropped int64
	fault   error // of the driver, not yet reported
	closed  bool
	done    chan struct{} // closed when all is written
}

// waiting is one line of ring.text.
type waiting struct {
	time    time.Time
	size    int32
	stream  Stream
	partial bool
}

func newRing(to Driver, limit int64) *ring {
	r := &ring{to: to, limit: limit, done: make(chan struct{})}
	r.filled.L = &r.mu
	go r.pass()
	return r
}

// Write implements [Driver].
func (r *ring) Write(stream Stream, t time.Time, line []byte, partial bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	needed := len(r.text) + len(line) + (len(r.lines)+1)*int(unsafe.Sizeof(waiting{}))
	if len(r.lines) > 0 && int64(needed) > r.limit {
		r.dropped++
	} else {
		r.text = append(r.text, line...)
		r.lines = append(r.lines, waiting{t, int32(len(line)), stream, partial})
		r.filled.Signal()
	}
	err := r.fault
	r.fault = nil
	return err
}

// pass hands what waits to the driver until the ring is closed and empty.
func (r *ring) pass() {
	defer close(r.done)
	for {
		text, lines := r.take()
		if len(lines) == 0 {
			return
		}
		for _, l := range lines {
			if err := r.to.Write(l.stream, l.time, text[:l.size], l.partial); err != nil {
				r.mu.Lock()
				r.fault = err
				r.mu.Unlock()
			}
			text = text[l.size:]
		}
	}
}

// take waits for lines; there are none when the ring is closed and empty.
func (r *ring) take() ([]byte, []waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.lines) == 0 && !r.closed {
		r.filled.Wait()
	}
	text, lines := r.text, r.lines
	r.text, r.lines = nil, nil
	return text, lines
}

// Dropped implements [Driver].
func (r *ring) Dropped() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped + r.to.Dropped()
}

// Close implements [Driver]. It waits for the driver to take what waits.
func (r *ring) Close() error {
	r.mu.Lock()
	r.closed = true
	r.filled.Signal()
	r.mu.Unlock()
	<-r.done
	return r.to.Close()
}
