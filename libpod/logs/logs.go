// Package logs keeps what a container writes and gives it back.
//
// The container's monitor holds a [Driver] and feeds it through [Copy]. `ctr logs`
// runs in another process and knows the container's directory only: [Read] finds
// there all that was kept, across rotated and compressed files, and follows what is
// added. The two never speak to each other; docs/state.md lists the files.
//
// Drivers and their options are Docker's (json-file, journald, none) and Podman's
// (k8s-file, passthrough).
package logs

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"ctr/libpod/config"
)

// Stream says what a line was written to.
type Stream uint8

// The streams of a container. What a terminal shows is all Stdout.
const (
	Stdout Stream = iota
	Stderr
	streams
)

// String is the stream's name in log files.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Meta is what a log may say of its container.
type Meta struct {
	ID        string // 64 digits
	Name      string
	ImageName string // as the user typed it
	ImageID   string
	Labels    map[string]string
	Env       []string // KEY=VALUE
}

// Driver keeps lines. It may be used from several goroutines.
type Driver interface {
	// Write keeps one line, given without its line break. partial says that the line
	// goes on in the next write to the same stream. The line is copied; it may reach
	// the disk a few milliseconds later. An error is of this or an earlier write, and
	// reported once until writing works again: the lines in between are lost and
	// counted, the caller just goes on.
	Write(stream Stream, t time.Time, line []byte, partial bool) error
	// Dropped is the number of lines that were lost so far.
	Dropped() int64
	// Close writes out what is buffered. Only the first call does anything.
	Close() error
}

// The names of drivers.
const (
	JSONFile    = "json-file" // the default
	K8sFile     = "k8s-file"
	Journald    = "journald"
	None        = "none"
	Passthrough = "passthrough"
)

// ErrNotReadable is what [Read] says of a driver that keeps nothing.
var ErrNotReadable = errors.New("configured logging driver does not support reading")

// Open starts, or after a restart goes on with, the log of the container meta in dir,
// the container's directory. The caller closes the driver.
func Open(cfg config.Log, dir string, meta Meta) (Driver, error) {
	o, err := parseOptions(cfg)
	if err != nil {
		return nil, err
	}
	d, err := open(o, dir, meta)
	if err != nil {
		return nil, fmt.Errorf("opening the container's log: %w", err)
	}
	if o.nonBlocking {
		return newRing(d, o.maxBuffer), nil
	}
	return d, nil
}

func open(o *options, dir string, meta Meta) (Driver, error) {
	attrs, err := o.attributes(meta)
	if err != nil {
		return nil, err
	}
	switch o.driver {
	case JSONFile:
		return openFile(jsonFormat{attrs: encodeAttrs(attrs)}, o, logPath(o, dir))
	case K8sFile:
		return openFile(criFormat{}, o, logPath(o, dir))
	case Journald:
		return openJournal(o, meta, attrs)
	}
	return discard{}, nil
}

// Path is the log file of the container whose directory is dir, "" when the driver
// has none. Docker's inspect shows it as LogPath.
func Path(cfg config.Log, dir string) string {
	o, err := parseOptions(cfg)
	if err != nil {
		return ""
	}
	return logPath(o, dir)
}

func logPath(o *options, dir string) string {
	switch {
	case o.driver == JSONFile:
		return filepath.Join(dir, filepath.Base(dir)+"-json.log")
	case o.driver == K8sFile && o.path != "":
		return o.path
	case o.driver == K8sFile:
		return filepath.Join(dir, "ctr.log")
	}
	return ""
}

// discard is the driver that keeps nothing.
type discard struct{}

func (discard) Write(Stream, time.Time, []byte, bool) error { return nil }
func (discard) Dropped() int64                              { return 0 }
func (discard) Close() error                                { return nil }
