package logs

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

const (
	maxLine  = 16 << 10 // Docker's: a longer line is kept in pieces of this size
	readSize = 64 << 10 // what a pipe holds
)

// buffers are only held while there is something to read or write, so that a monitor
// whose container is silent has none.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

type buffer [maxLine + readSize]byte

// Copy reads what a container writes to one stream, until its end. Every line goes to
// d, and before it is complete every byte goes to tee as it came; either may be nil.
// A last line without a line break is kept as partial. Errors of d do not end the
// copying; the first is returned when nothing else went wrong. The hang-up of a
// terminal counts as its end.
func Copy(r io.Reader, stream Stream, d Driver, tee func(p []byte)) error {
	if _, none := d.(discard); none {
		d = nil
	}
	c := copier{r: r, stream: stream, driver: d}
	if f, ok := r.(syscall.Conn); ok {
		c.raw, _ = f.SyscallConn()
	}
	defer c.release()
	for {
		n, err := c.read()
		if n > 0 {
			fresh := c.buf[c.kept : c.kept+n]
			c.kept += n
			complete := c.lines(c.buf[:c.kept])
			if tee != nil {
				tee(fresh)
			}
			c.kept = copy(c.buf[:], c.buf[complete:c.kept])
		}
		if err == nil {
			continue
		}
		if c.kept > 0 {
			c.emit(c.buf[:c.kept], true)
			c.kept = 0
		}
		if err == io.EOF || errors.Is(err, syscall.EIO) {
			return c.fault
		}
		return err
	}
}

type copier struct {
	r      io.Reader
	raw    syscall.RawConn // r's descriptor, nil when it has none
	stream Stream
	driver Driver

	buf   *buffer // nil while there is nothing to read
	kept  int     // length of the line that is not complete
	saved []byte  // that line, while buf is nil

	within bool      // a piece of a long line was emitted
	began  time.Time // when; all pieces of a line have one time, as Docker does it
	now    time.Time
	fault  error
}

// read reads behind the kept bytes.
func (c *copier) read() (n int, err error) {
	if c.raw == nil {
		c.acquire()
		n, err = c.r.Read(c.buf[c.kept:])
		c.now = time.Now()
		return n, err
	}
	waitErr := c.raw.Read(func(fd uintptr) bool {
		c.acquire()
		for {
			n, err = syscall.Read(int(fd), c.buf[c.kept:])
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			c.release()
			return false
		}
		return true
	})
	c.acquire()
	c.now = time.Now()
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (c *copier) acquire() {
	if c.buf == nil {
		c.buf = buffers.Get().(*buffer)
		copy(c.buf[:], c.saved)
		c.saved = nil
	}
}

func (c *copier) release() {
	if c.buf == nil {
		return
	}
	if c.kept > 0 {
		c.saved = bytes.Clone(c.buf[:c.kept])
	}
	buffers.Put(c.buf)
	c.buf = nil
}

// lines emits the complete lines of p and returns their length.
func (c *copier) lines(p []byte) int {
	if c.driver == nil {
		return len(p)
	}
	done := 0
	for {
		rest := p[done:]
		end := bytes.IndexByte(rest[:min(len(rest), maxLine)], '\n')
		switch {
		case end >= 0:
			c.emit(rest[:end], false)
			done += end + 1
		case len(rest) >= maxLine:
			c.emit(rest[:maxLine], true)
			done += maxLine
		default:
			return done
		}
	}
}

func (c *copier) emit(line []byte, partial bool) {
	if !c.within {
		c.began = c.now
	}
	c.within = partial
	if err := c.driver.Write(c.stream, c.began, line, partial); err != nil && c.fault == nil {
		c.fault = err
	}
}
