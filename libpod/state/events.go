package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one line of Docker's event stream.
type Event struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`   // container, image, volume, network
	Action     string            `json:"action"` // create, start, die, …
	ID         string            `json:"id"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// eventsLimit is the size at which the event file is put aside; one older file is kept.
const eventsLimit = 8 << 20

func (s *Store) eventsFile() string { return filepath.Join(s.data, "events.jsonl") }

// Log appends e, with the present time where it has none. Events are a record for
// people: one that cannot be written does not stop the operation it tells of.
func (s *Store) Log(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	f, err := os.OpenFile(s.eventsFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	f.Write(append(line, '\n'))
	if st, err := f.Stat(); err == nil && st.Size() > eventsLimit {
		os.Rename(s.eventsFile(), s.eventsFile()+".1")
	}
}

// EventOptions selects events. A zero time is no bound.
type EventOptions struct {
	Since, Until time.Time
	Follow       bool // go on with what happens from now on, until Until or ctx's end
}

// Events calls emit for each event in order. It ends with emit's error, if any;
// the end of ctx is no error.
func (s *Store) Events(ctx context.Context, o EventOptions, emit func(Event) error) error {
	if !o.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, o.Until)
		defer cancel()
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	t := tail{store: s, o: o, emit: emit}
	defer t.close()
	if o.Follow {
		if err := t.watch(); err != nil {
			return err
		}
	}
	if !o.Since.IsZero() || !o.Follow {
		if err := t.file(s.eventsFile() + ".1"); err != nil {
			return err
		}
	} else {
		t.o.Since = time.Now()
	}
	for {
		if err := t.drain(); err != nil {
			return err
		}
		if !o.Follow {
			return nil
		}
		if !t.wait(ctx) {
			return t.drain()
		}
	}
}

// tail reads the event file as it grows and is put aside.
type tail struct {
	store   *Store
	o       EventOptions
	emit    func(Event) error
	f       *os.File
	rest    []byte
	inotify *os.File
}

func (t *tail) close() {
	if t.f != nil {
		t.f.Close()
	}
	if t.inotify != nil {
		t.inotify.Close()
	}
}

func (t *tail) watch() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watching events: %w", err)
	}
	t.inotify = os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, t.store.data, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return fmt.Errorf("watching events: %w", err)
	}
	return nil
}

// wait returns false when ctx has ended.
func (t *tail) wait(ctx context.Context) bool {
	stop := context.AfterFunc(ctx, func() { t.inotify.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := t.inotify.Read(make([]byte, 4096))
	return err == nil
}

func (t *tail) file(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	t.rest = nil
	return t.lines(b)
}

func (t *tail) drain() error {
	for {
		if t.f == nil {
			f, err := os.Open(t.store.eventsFile())
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading events: %w", err)
			}
			t.f, t.rest = f, nil
		}
		b, err := io.ReadAll(t.f)
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if err := t.lines(b); err != nil {
			return err
		}
		if sameFile(t.f, t.store.eventsFile()) {
			return nil
		}
		t.f.Close()
		t.f = nil
	}
}

func (t *tail) lines(b []byte) error {
	t.rest = append(t.rest, b...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			return nil
		}
		t.rest = rest
		var e Event
		if json.Unmarshal(line, &e) != nil { // torn by a power cut
			continue
		}
		if e.Time.Before(t.o.Since) || (!t.o.Until.IsZero() && e.Time.After(t.o.Until)) {
			continue
		}
		if err := t.emit(e); err != nil {
			return err
		}
	}
}
