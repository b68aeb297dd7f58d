// Package state keeps what is known of containers on disk: their configuration,
// names, how they ended, what runs now, and events.
//
// What must survive a reboot lies in the data directory, what a reboot ends in
// the run directory (docs/state.md lists every file). Every change is one rename,
// one symlink or one append, so a process may be killed between any two
// instructions and the next command sees a state that was true at some moment.
// A container exists from the moment its config.json is renamed into place until
// its directory is renamed into the trash.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/pkg/atomicfile"
)

// Store is the pair of directories. Its methods may be called concurrently and
// from several processes.
type Store struct {
	data, run string
}

// Open returns the store in the given directories, which are made when needed.
func Open(data, run string) *Store { return &Store{data: data, run: run} }

// Data is the directory of what survives a reboot.
func (s *Store) Data() string { return s.data }

// Run is the directory of what a reboot ends.
func (s *Store) Run() string { return s.run }

// Dir is the directory of container id.
func (s *Store) Dir(id string) string { return filepath.Join(s.data, "containers", id) }

// RunDir is the directory of container id while it runs.
func (s *Store) RunDir(id string) string { return filepath.Join(s.run, id) }

func (s *Store) configFile(id string) string { return filepath.Join(s.Dir(id), "config.json") }

// NoSuchContainerError says that nothing is called Name.
type NoSuchContainerError struct{ Name string }

func (e *NoSuchContainerError) Error() string { return "No such container: " + e.Name }

// AmbiguousError says that an ID prefix fits several containers.
type AmbiguousError struct{ Prefix string }

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("Multiple IDs found with provided prefix: %s", e.Prefix)
}

// DamagedError is a configuration that cannot be read.
type DamagedError struct {
	ID, File string
	Err      error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("reading configuration of container %.12[1]s: %s is damaged (%v); remove the container with: ctr rm -f %.12[1]s", e.ID, e.File, e.Err)
}

// Load reads the configuration of container id. A file of a newer format is refused.
func (s *Store) Load(id string) (*config.Container, error) {
	b, err := readFile(s.configFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &NoSuchContainerError{id}
	}
	if err != nil {
		return nil, fmt.Errorf("reading configuration of container %.12s: %w", id, err)
	}
	var c config.Container
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, &DamagedError{id, s.configFile(id), err}
	}
	if c.Version > config.Version {
		return nil, fmt.Errorf("container %.12s was written by a newer ctr (format %d, this one knows %d); use that version", id, c.Version, config.Version)
	}
	return &c, nil
}

// IDs lists every container, in no particular order, and sweeps away what a
// create that was killed left behind.
func (s *Store) IDs() ([]string, error) {
	dir, err := os.Open(filepath.Join(s.data, "containers"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	return names, nil
}

// RunningIDs lists the containers that have something in the run directory.
func (s *Store) RunningIDs() ([]string, error) {
	dir, err := os.Open(s.run)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing running containers: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing running containers: %w", err)
	}
	ids := names[:0]
	for _, n := range names {
		if len(n) == 64 {
			ids = append(ids, n)
		}
	}
	return ids, nil
}

// Resolve finds a container by full ID, name, or unique ID prefix, in this order.
func (s *Store) Resolve(name string) (id string, err error) {
	typed := name
	name = strings.TrimPrefix(name, "/") // as inspect shows it
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return "", &NoSuchContainerError{typed}
	}
	if isID(name) && len(name) == 64 {
		if _, err := os.Stat(s.configFile(name)); err == nil {
			return name, nil
		}
	}
	if id, err := os.Readlink(s.nameFile(name)); err == nil {
		if _, err := os.Stat(s.configFile(id)); err == nil {
			return id, nil
		}
	}
	if !isID(name) {
		return "", &NoSuchContainerError{name}
	}
	ids, err := s.IDs()
	if err != nil {
		return "", err
	}
	var found []string
	for _, id := range ids {
		if strings.HasPrefix(id, name) {
			if _, err := os.Stat(s.configFile(id)); err == nil {
				found = append(found, id)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", &NoSuchContainerError{name}
	case 1:
		return found[0], nil
	}
	return "", &AmbiguousError{name}
}

func isID(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// Configs reads the containers ids, newest first. One that cannot be read is left
// out of the list and its error joined into err; the list is good all the same.
func (s *Store) Configs(ids []string) (list []*config.Container, err error) {
	configs, errs := make([]*config.Container, len(ids)), make([]error, len(ids))
	parallel(len(ids), func(i int) {
		c, err := s.Load(ids[i])
		var gone *NoSuchContainerError
		switch {
		case errors.As(err, &gone):
			s.sweep(ids[i])
		case err != nil:
			errs[i] = err
		default:
			configs[i] = c
		}
	})
	for _, c := range configs {
		if c != nil {
			list = append(list, c)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Created.After(list[j].Created) })
	return list, errors.Join(errs...)
}

// parallel calls f(0) … f(n-1) on all processors.
func parallel(n int, f func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// Exit is how a container's last run ended.
type Exit struct {
	Code         int       `json:"code"`
	Signal       string    `json:"signal,omitempty"`
	OOM          bool      `json:"oom,omitempty"`
	Error        string    `json:"error,omitempty"` // why it could not be started, or why Code is not known
	Unknown      bool      `json:"unknown,omitempty"`
	StartedAt    time.Time `json:"startedAt"` // zero when it never ran
	FinishedAt   time.Time `json:"finishedAt"`
	RestartCount int       `json:"restartCount,omitempty"`
	Stopped      bool      `json:"stopped,omitempty"` // by the user: unless-stopped does not start it again
}

func (s *Store) exitFile(id string) string { return filepath.Join(s.Dir(id), "exit.json") }

// WriteExit records how container id ended.
func (s *Store) WriteExit(id string, e Exit, durable bool) error {
	return writeJSON(s.exitFile(id), e, durable)
}

// ReadExit returns nil when the container never ran.
func (s *Store) ReadExit(id string) (*Exit, error) {
	var e Exit
	ok, err := readJSON(s.exitFile(id), &e)
	if err != nil {
		return &Exit{Code: UnknownCode, Unknown: true, Error: "exit status unknown: " + err.Error()}, nil
	}
	if !ok {
		return nil, nil
	}
	return &e, nil
}

func writeJSON(path string, v any, durable bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return atomicfile.Write(path, b, 0o600, durable)
}

// readJSON reports false when there is no such file.
func readJSON(path string, v any) (bool, error) {
	b, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return true, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return true, nil
}

// readFile is os.ReadFile in three system calls for the small files of this package:
// a listing reads two of them for every container.
func readFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 2048)
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		b = b[:len(b)+n]
		if len(b) < cap(b) { // a regular file's read is only short at its end
			return b, nil
		}
		b = append(b, 0)[:len(b)]
	}
}
