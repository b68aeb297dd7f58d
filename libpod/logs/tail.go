package logs

import (
	"bytes"
	"io"
	"slices"
)

// tail finds where the last lines of a log begin, from the newest file backwards. A
// line that was kept in pieces is one line.
type tail struct {
	format fileFormat
	rec    Record
	later  [streams]bool // a later record of the stream is there: a partial one goes on in it
}

// seekTail makes files, oldest first, begin with the last n lines. What cannot be
// read is found out when it is read for good.
func (r *reader) seekTail(files []*source, n int) {
	t := tail{format: r.format}
	whole := true
	for _, s := range slices.Backward(files) {
		var found int
		switch {
		case !whole:
			s.skip()
		case s.z != nil:
			found, whole = t.seekForward(s, n)
		default:
			found, whole = t.seekBackward(s, n)
		}
		n -= found
	}
}

// seekBackward puts a plain file at the beginning of its n last lines, and returns how
// many it found and whether that is the whole file, so that the first may have begun
// in an older one. It reads no more of the file than these lines.
func (t *tail) seekBackward(s *source, n int) (found int, whole bool) {
	b := backward{s: s}
	start := b.begin()
	for whole = true; ; {
		line, at, ok := b.previous()
		if !ok {
			break
		}
		if t.format.decode(&t.rec, line) {
			ends := !t.rec.Partial || !t.later[t.rec.Stream]
			if ends && found >= n {
				whole = false
				break
			}
			t.later[t.rec.Stream] = true
			if ends {
				found++
			}
		}
		start = at
	}
	s.seek(start)
	return found, whole
}

// backward reads a file's lines from the last to the first.
type backward struct {
	s   *source
	at  int64  // in the file, of buf
	buf []byte // whole lines that were not returned yet, and the end of one
}

// begin finds the end of the last whole line.
func (b *backward) begin() int64 {
	info, err := b.s.f.Stat()
	if err != nil {
		return 0
	}
	b.at = info.Size()
	for b.more() {
		if i := bytes.LastIndexByte(b.buf, '\n'); i >= 0 {
			b.buf = b.buf[:i+1]
			return b.at + int64(i+1)
		}
	}
	b.buf = nil
	return 0
}

// more reads what lies before buf.
func (b *backward) more() bool {
	size := int(min(b.at, readAhead))
	if size == 0 || len(b.buf) > longestLine {
		return false
	}
	grown := make([]byte, size, size+len(b.buf))
	if _, err := b.s.f.ReadAt(grown, b.at-int64(size)); err != nil {
		return false
	}
	b.buf = append(grown, b.buf...)
	b.at -= int64(size)
	return true
}

// previous returns the line before the one that it returned last, and where it begins.
func (b *backward) previous() (line []byte, at int64, ok bool) {
	for len(b.buf) == 0 || bytes.LastIndexByte(b.buf[:len(b.buf)-1], '\n') < 0 {
		if !b.more() {
			break
		}
	}
	if len(b.buf) == 0 {
		return nil, 0, false
	}
	i := bytes.LastIndexByte(b.buf[:len(b.buf)-1], '\n') + 1
	if i == 0 && b.at > 0 {
		return nil, 0, false // not to be read, or no line of ours
	}
	line = b.buf[i:]
	b.buf = b.buf[:i]
	return line, b.at + int64(i), true
}

// seekForward does the same with a compressed file, which is read twice for it.
func (t *tail) seekForward(s *source, n int) (found int, whole bool) {
	var (
		ends []int64 // after each of the last lines, at least n+1 of them
		open [streams]int64
		seen [streams]bool
		pos  int64
	)
	for {
		line, err := s.next()
		if err != nil {
			break
		}
		pos += int64(len(line))
		if !t.format.decode(&t.rec, line) {
			continue
		}
		seen[t.rec.Stream] = true
		if t.rec.Partial {
			open[t.rec.Stream] = pos
			continue
		}
		open[t.rec.Stream] = 0
		ends = append(ends, pos)
		if len(ends) > 1024 && len(ends)/2 > n {
			ends = append(ends[:0], ends[len(ends)-n-1:]...)
		}
	}
	for stream, pos := range open {
		if pos > 0 && !t.later[stream] {
			ends = append(ends, pos)
		}
		t.later[stream] = t.later[stream] || seen[stream]
	}
	slices.Sort(ends)
	s.rewind()
	if len(ends) <= n {
		return len(ends), true
	}
	_, _ = io.CopyN(io.Discard, s.z, ends[len(ends)-1-n]) // an error comes again with the next line
	return n, false
}
