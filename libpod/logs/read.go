package logs

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"ctr/libpod/config"
)

// ReadOptions say which part of a log is wanted.
type ReadOptions struct {
	Tail   *int      // only this many of the last lines; nil is all. Counted before Since and Until are looked at, as Docker does
	Since  time.Time // zero is from the beginning
	Until  time.Time // zero is to the end; with Follow it also ends the following
	Follow bool      // go on with what is added, until Done is closed or ctx ends
	// Done is closed when the container has ended and its driver is closed. What was
	// written until then is still emitted.
	Done <-chan struct{}
}

// Read calls emit for each record of the log of the container whose directory is dir,
// oldest first. It needs no more than to read that directory, and may run while the
// log is written and rotated. A container that has not written yet has no records.
//
// An error of emit ends it and is returned, as is ctx's. A file that cannot be read to
// its end (a damaged gzip file, say) costs its rest: the others are emitted, and the
// error is returned at the end. Lines that are not of the format, as a crash in the
// middle of a write leaves, are left out.
func Read(ctx context.Context, cfg config.Log, dir string, o ReadOptions, emit func(Record) error) error {
	opts, err := parseOptions(cfg)
	if err != nil {
		return err
	}
	r := &reader{ctx: ctx, o: o, path: logPath(opts, dir), emit: emit}
	switch opts.driver {
	case JSONFile:
		r.format = jsonFormat{}
	case K8sFile:
		r.format = criFormat{}
	case Journald:
		return readJournal(ctx, dir, o, emit)
	default:
		return ErrNotReadable
	}
	defer r.close()
	if err := r.read(); err != errUntil {
		return errors.Join(err, r.damage)
	}
	return r.damage
}

// errUntil says that a record after o.Until was met.
var errUntil = errors.New("the end of the wanted time")

// reader is one Read of a log file and its predecessors.
type reader struct {
	ctx    context.Context
	o      ReadOptions
	path   string
	format fileFormat
	emit   func(Record) error
	rec    Record

	last   *source // the file that is, or at its opening was, the newest; nil before there is one
	damage error   // of files that were given up
}

func (r *reader) close() {
	if r.last != nil {
		r.last.close()
	}
}

func (r *reader) read() error {
	var changes <-chan struct{}
	if r.o.Follow {
		w := watch(r.path) // before the first look, so that nothing is missed
		defer w.close()
		changes = w.changes
	}
	files, err := snapshot(r.path)
	if err != nil {
		return err
	}
	if len(files) > 0 && !r.o.Follow {
		files[len(files)-1].limit() // or a noisy container would keep us for ever
	}
	if r.o.Tail != nil {
		r.seekTail(files, *r.o.Tail)
	} else if !r.o.Since.IsZero() {
		skipOlder(files, r.o.Since)
	}
	if err := r.drain(files); err != nil || !r.o.Follow {
		return err
	}
	return r.follow(changes)
}

// clockSlack is by how much a file's time may be behind that of its last line.
const clockSlack = time.Second

// skipOlder leaves out rotated files whose last line was written before since.
func skipOlder(files []*source, since time.Time) {
	for _, s := range files[:max(len(files)-1, 0)] {
		if s.modTime.Add(clockSlack).Before(since) {
			s.skip()
		}
	}
}

// drain emits what files, oldest first, hold, and keeps the last of them open.
func (r *reader) drain(files []*source) (err error) {
	for i, s := range files {
		if err == nil {
			err = r.drainOne(s)
		}
		if i < len(files)-1 {
			s.close()
			continue
		}
		r.close()
		r.last = s
	}
	return err
}

// drainOne emits what s holds. One that cannot be read to its end is given up.
func (r *reader) drainOne(s *source) error {
	for {
		line, err := s.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			r.damage = errors.Join(r.damage, err)
			return nil
		}
		if line == nil {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if !r.format.decode(&r.rec, line) || r.rec.Time.Before(r.o.Since) {
			continue
		}
		if !r.o.Until.IsZero() && r.rec.Time.After(r.o.Until) {
			return errUntil
		}
		if err := r.emit(r.rec); err != nil {
			return err
		}
	}
}

// follow emits what is added until the container, ctx or the wanted time ends.
func (r *reader) follow(changes <-chan struct{}) error {
	var until <-chan time.Time
	if !r.o.Until.IsZero() {
		timer := time.NewTimer(time.Until(r.o.Until))
		defer timer.Stop()
		until = timer.C
	}
	for ended := false; ; {
		if err := r.advance(); err != nil || ended {
			return err
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-r.o.Done:
			ended = true
		case <-until:
			ended = true
		case <-changes:
		}
	}
}

// advance emits all that was added since the last time, in however many files.
func (r *reader) advance() error {
	for {
		if r.last != nil {
			if err := r.drainOne(r.last); err != nil {
				return err
			}
		}
		if r.last.isAt(r.path) {
			return nil
		}
		if r.last != nil { // its last lines were written before it was renamed
			if err := r.drainOne(r.last); err != nil {
				return err
			}
		}
		files, err := snapshot(r.path)
		if err != nil {
			return err
		}
		files = r.last.after(files)
		if len(files) == 0 {
			return nil // the new file is about to be there
		}
		if err := r.drain(files); err != nil {
			return err
		}
	}
}

// isAt tells whether s is the file that is at path. s may be nil: then it is when
// there is none.
func (s *source) isAt(path string) bool {
	info, err := os.Stat(path)
	if s == nil {
		return err != nil
	}
	return err == nil && inode(info) == s.inode
}

// after leaves those of files, oldest first, that were written after s, and closes
// the others. When s is no longer among them it was the oldest, so that is all.
func (s *source) after(files []*source) []*source {
	if s == nil {
		return files
	}
	for i := len(files) - 1; i >= 0; i-- {
		if files[i].inode == s.inode || files[i].was == s.inode {
			for _, f := range files[:i+1] {
				f.close()
			}
			return files[i+1:]
		}
	}
	return files
}
