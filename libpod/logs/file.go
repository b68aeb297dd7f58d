package logs

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// A line that comes when none came for this long is written at once; lines that
	// follow it within that time are written together. So one write is at most this
	// late, and a noisy container costs at most 200 system calls per second and one per
	// flushSize.
	flushDelay = 5 * time.Millisecond
	flushSize  = 64 << 10
)

// fileDriver appends records to a file and rotates it.
type fileDriver struct {
	format fileFormat
	o      *options
	path   string

	mu       sync.Mutex
	f        *os.File    // nil once closed
	size     int64       // of the file
	rotateAt int64       // size from which the file is rotated
	torn     bool        // the file ends within a line
	buf      []byte      // nil while nothing comes
	pooled   *buffer     // what buf lies in, unless it has outgrown it
	timer    *time.Timer // calls quiet
	armed    bool        // something was written less than flushDelay ago
	stamped  time.Time   // what stamp says
	stamp    []byte

	fault   error // not yet reported
	failing bool  // the last write did not work
	dropped int64
	gzip    *compression // of the newest rotated file, nil when there is none
}

func openFile(format fileFormat, o *options, path string) (*fileDriver, error) {
	d := &fileDriver{format: format, o: o, path: path, rotateAt: o.maxSize}
	f, err := openAppend(path, 0)
	if err != nil {
		return nil, err
	}
	if err := d.use(f); err != nil {
		f.Close()
		return nil, err
	}
	d.timer = time.AfterFunc(time.Hour, d.quiet)
	d.timer.Stop()
	if o.compress && exists(rotated(path, 1)) {
		d.gzip = compress(path) // the last run ended before it could
	}
	return d, nil
}

// openAppend opens a log file for writing. O_NONBLOCK is for a path that is no
// regular file: opening a FIFO would wait.
func openAppend(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK|flags, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// use makes f the file that is written to.
func (d *fileDriver) use(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d.f, d.size, d.torn = f, info.Size(), false
	if d.size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], d.size-1); err != nil {
			return fmt.Errorf("reading the end of %s: %w", d.path, err)
		}
		d.torn = last[0] != '\n' // a crash in the middle of a write
	}
	return nil
}

// Write implements [Driver].
func (d *fileDriver) Write(stream Stream, t time.Time, line []byte, partial bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil {
		return os.ErrClosed
	}
	if d.rotateAt > 0 && d.size+int64(len(d.buf)) >= d.rotateAt {
		d.flush()
		if d.size >= d.rotateAt {
			d.rotate()
		}
	}
	if !t.Equal(d.stamped) || d.stamp == nil {
		d.stamp, d.stamped = d.format.appendStamp(d.stamp[:0], t), t
	}
	if d.buf == nil {
		d.pooled = buffers.Get().(*buffer)
		d.buf = d.pooled[:0]
	}
	d.buf = d.format.appendRecord(d.buf, stream, d.stamp, line, partial)
	if !d.armed {
		d.armed = true
		d.timer.Reset(flushDelay)
		d.flush()
	} else if len(d.buf) >= flushSize {
		d.flush()
	}
	return d.takeFault()
}

// quiet is called when flushDelay has passed since the last write to the file.
func (d *fileDriver) quiet() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil {
		return
	}
	if len(d.buf) > 0 {
		d.flush()
		d.timer.Reset(flushDelay)
		return
	}
	d.armed = false
	if d.pooled != nil {
		buffers.Put(d.pooled)
		d.buf, d.pooled = nil, nil
	}
}

// flush writes the buffer out. What does not fit on the disk is dropped.
func (d *fileDriver) flush() {
	if len(d.buf) == 0 {
		return
	}
	if d.torn {
		if _, err := d.f.Write([]byte{'\n'}); err != nil {
			d.drop(d.buf, err)
			return
		}
		d.size++
		d.torn = false
	}
	n, err := d.f.Write(d.buf)
	if err == nil {
		d.size += int64(n)
		d.buf, d.failing = d.buf[:0], false
		return
	}
	whole := bytes.LastIndexByte(d.buf[:n], '\n') + 1
	if n > whole {
		if d.f.Truncate(d.size+int64(whole)) == nil {
			n = whole
		} else {
			d.torn = true
		}
	}
	d.size += int64(n)
	d.drop(d.buf[whole:], err)
}

// drop forgets the buffer, of which lost was not written.
func (d *fileDriver) drop(lost []byte, err error) {
	d.dropped += int64(bytes.Count(lost, []byte{'\n'}))
	d.buf = d.buf[:0]
	d.fail(fmt.Errorf("writing the container's log: %w", err))
}

// fail remembers err for the next Write, unless the one before was of the same kind.
func (d *fileDriver) fail(err error) {
	if !d.failing {
		d.fault, d.failing = err, true
	}
}

func (d *fileDriver) takeFault() error {
	err := d.fault
	d.fault = nil
	return err
}

// Dropped implements [Driver].
func (d *fileDriver) Dropped() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dropped
}

// Close implements [Driver].
func (d *fileDriver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil {
		return nil
	}
	d.flush()
	d.timer.Stop()
	d.gzip.abort()
	if err := d.f.Close(); err != nil {
		d.fail(fmt.Errorf("closing the container's log: %w", err))
	}
	d.f = nil
	return d.takeFault()
}
