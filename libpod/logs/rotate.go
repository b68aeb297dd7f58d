package logs

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

// Rotated files are called as Docker calls them: log, log.1, log.2 …, the highest
// number being the oldest, or log.1.gz when compressed. log.new and log.1.gz.new are
// names of files in the making; what a crash leaves of them is overwritten.
const (
	making     = ".new"
	compressed = ".gz"
)

func rotated(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// rotate goes on in a new file. When that cannot be had it goes on in the old one and
// tries again some time later. Nothing is buffered when it is called.
func (d *fileDriver) rotate() {
	f, err := d.next()
	if err != nil {
		d.rotateAt = d.size + flushSize
		d.fail(fmt.Errorf("rotating the container's log: %w", err))
		return
	}
	d.f.Close()
	d.f, d.size, d.torn, d.rotateAt = f, 0, false, d.o.maxSize
	if d.o.compress {
		d.gzip = compress(d.path)
	}
}

// next makes room and puts an empty file in the log's place. The new file is there
// before any other is renamed, so a full disk costs no line.
func (d *fileDriver) next() (*os.File, error) {
	if err := d.gzip.wait(); err != nil {
		d.fail(err)
	}
	d.gzip = nil
	f, err := openAppend(d.path+making, os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if d.o.maxFile > 1 {
		err = shift(d.path, d.o.maxFile)
	}
	if err == nil {
		err = os.Rename(d.path+making, d.path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// shift renames log to log.1, log.1 to log.2 and so on, up to the first number that
// is free. The oldest goes when there are maxFile.
func shift(path string, maxFile int) error {
	free := 1
	for free < maxFile-1 && (exists(rotated(path, free)) || exists(rotated(path, free)+compressed)) {
		free++
	}
	for n := free; n > 0; n-- {
		older, newer := rotated(path, n), rotated(path, n-1)
		if err := ignoreMissing(os.Remove(older + compressed)); err != nil {
			return err
		}
		if err := ignoreMissing(os.Rename(newer+compressed, older+compressed)); err != nil {
			return err
		}
		err := os.Rename(newer, older) // replaces the oldest
		if errors.Is(err, os.ErrNotExist) {
			err = ignoreMissing(os.Remove(older))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// compression is a rotated file that is being compressed in the background.
type compression struct {
	done    chan error
	stopped atomic.Bool
}

// compress replaces log.1 by log.1.gz, or leaves it as it is.
func compress(path string) *compression {
	c := &compression{done: make(chan error, 1)}
	go func() {
		err := c.run(rotated(path, 1))
		if err != nil && !c.stopped.Load() {
			c.done <- fmt.Errorf("compressing the container's log: %w", err)
		}
		close(c.done)
	}()
	return c
}

// wait returns when the file is compressed. c may be nil.
func (c *compression) wait() error {
	if c == nil {
		return nil
	}
	return <-c.done
}

// abort ends the work soon and without trace: a container's end does not wait for it.
func (c *compression) abort() {
	if c != nil {
		c.stopped.Store(true)
		<-c.done
	}
}

func (c *compression) run(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	temp := path + compressed + making
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer out.Close()
	if err = c.copy(out, in); err == nil {
		err = os.Rename(temp, path+compressed)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return os.Remove(path)
}

// copy compresses. The file's time says how old its last line is, and its comment
// which file it was, for a reader that is in the middle of that one.
func (c *compression) copy(out, in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	z.ModTime = info.ModTime()
	z.Comment = strconv.FormatUint(inode(info), 10)
	if _, err := io.Copy(z, stoppable{in, &c.stopped}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := out.Sync(); err != nil { // the uncompressed file is about to go
		return err
	}
	return os.Chtimes(out.Name(), info.ModTime(), info.ModTime())
}

func inode(info os.FileInfo) uint64 {
	return info.Sys().(*syscall.Stat_t).Ino
}

// stoppable is a reader that fails once stop is set.
type stoppable struct {
	r    io.Reader
	stop *atomic.Bool
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.stop.Load() {
		return 0, errors.New("stopped")
	}
	return s.r.Read(p)
}
