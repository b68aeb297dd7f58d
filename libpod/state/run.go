package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ctr/libpod/config"
	"ctr/pkg/process"
)

// Status is a container's state in Docker's words.
type Status string

// The states of a container.
const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Exited     Status = "exited"
)

// Process is a process that cannot be mistaken for a later one with the same pid.
type Process = process.Process

// ThisProcess is the caller.
func ThisProcess() Process { return process.This() }

// ProcessOf reads the start time of pid; Start is 0 when there is no such process.
func ProcessOf(pid int) Process { return process.Of(pid) }

// Record is what the monitor writes of a running container.
type Record struct {
	Boot         string    `json:"boot"` // see BootID
	Monitor      Process   `json:"monitor"`
	Container    Process   `json:"container"`
	Status       Status    `json:"status"`
	StartedAt    time.Time `json:"startedAt"`
	RestartCount int       `json:"restartCount,omitempty"`
	Driver       string    `json:"driver,omitempty"` // how the root file system is mounted
	Network      *Network  `json:"network,omitempty"`
	Exit         *Exit     `json:"exit,omitempty"` // of the run before, while restarting
}

// Network is how a running container is connected.
type Network struct {
	Helper    string               `json:"helper,omitempty"` // pasta or slirp4netns when the container has a link of its own
	Endpoints []Endpoint           `json:"endpoints,omitempty"`
	Ports     []config.PortMapping `json:"ports,omitempty"` // as they are bound, with host ports filled in, one entry per host address
	SandboxID string               `json:"sandboxID,omitempty"`
}

// Endpoint is a running container's place in one network.
type Endpoint struct {
	Network    string   `json:"network"` // name
	NetworkID  string   `json:"networkID,omitempty"`
	EndpointID string   `json:"endpointID,omitempty"`
	Interface  string   `json:"interface,omitempty"` // in the container: eth0, …
	MAC        string   `json:"mac,omitempty"`
	IPv4       string   `json:"ipv4,omitempty"` // address/length
	Gateway    string   `json:"gateway,omitempty"`
	IPv6       string   `json:"ipv6,omitempty"` // address/length
	Gateway6   string   `json:"gateway6,omitempty"`
	Names      []string `json:"names,omitempty"` // under which DNS answers: name, aliases, short ID
	Priority   int      `json:"priority,omitempty"`
}

// BootID identifies this boot of the machine.
var BootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
})

func (s *Store) recordFile(id string) string { return filepath.Join(s.RunDir(id), "state.json") }

// WriteRecord replaces the run record of container id. Only its monitor does this.
func (s *Store) WriteRecord(id string, r Record) error {
	return writeJSON(s.recordFile(id), r, false)
}

// ReadRecord returns nil when there is none.
func (s *Store) ReadRecord(id string) (*Record, error) {
	var r Record
	ok, err := readJSON(s.recordFile(id), &r)
	if err != nil {
		return nil, fmt.Errorf("reading run record of container %.12s: %w", id, err)
	}
	if !ok {
		return nil, nil
	}
	return &r, nil
}

// State is the present truth about a container.
type State struct {
	Status       Status
	Pid          int // 0 unless running or paused
	Exit         Exit
	StartedAt    time.Time
	RestartCount int
	Health       *Health
	Driver       string
	Monitor      Process
	Container    Process
	Network      *Network
	Orphan       bool // it runs, but its monitor was killed
	Unsettled    bool // it ended, and nobody has recorded that
}

// Active reports whether the container has a process or is about to have one again.
func (s State) Active() bool {
	return s.Status == Running || s.Status == Paused || s.Status == Restarting
}

// State derives the state of container id from the records and from which
// processes are alive. It changes nothing.
func (s *Store) State(id string) (State, error) {
	for {
		r, err := s.ReadRecord(id)
		if err != nil {
			return State{}, err
		}
		if r == nil {
			return s.ended(id)
		}
		if r.Boot != BootID() {
			return s.lost(id, r, "the machine was restarted")
		}
		if r.Monitor.Alive() {
			return s.live(id, r)
		}
		if r.Container.Alive() {
			st, err := s.live(id, r)
			st.Orphan = true
			return st, err
		}
		again, err := s.ReadRecord(id)
		if err != nil {
			return State{}, err
		}
		if again != nil && again.StartedAt.Equal(r.StartedAt) {
			return s.lost(id, r, "its monitor was killed")
		}
	}
}

func (s *Store) live(id string, r *Record) (State, error) {
	st := State{
		Status: r.Status, Pid: r.Container.Pid, StartedAt: r.StartedAt, RestartCount: r.RestartCount,
		Driver: r.Driver, Monitor: r.Monitor, Container: r.Container, Network: r.Network,
	}
	if r.Exit != nil {
		st.Exit = *r.Exit
	}
	if r.Status == Restarting {
		st.Pid = 0
	}
	health, err := s.ReadHealth(id)
	st.Health = health
	return st, err
}

// ended is the state of a container that has no run record.
func (s *Store) ended(id string) (State, error) {
	e, err := s.ReadExit(id)
	if err != nil {
		return State{}, err
	}
	if e == nil {
		return State{Status: Created}, nil
	}
	st := State{Status: Exited, Exit: *e, StartedAt: e.StartedAt, RestartCount: e.RestartCount}
	if e.StartedAt.IsZero() && !e.Unknown {
		st.Status = Created
	}
	return st, nil
}

// lost is the state of a container whose end nobody recorded, unless somebody did.
func (s *Store) lost(id string, r *Record, why string) (State, error) {
	e, err := s.ReadExit(id)
	if err != nil {
		return State{}, err
	}
	if e != nil && e.StartedAt.Equal(r.StartedAt) {
		return s.ended(id)
	}
	exit := Exit{Code: UnknownCode, Unknown: true, Error: "exit status unknown: " + why, StartedAt: r.StartedAt, RestartCount: r.RestartCount}
	return State{Status: Exited, Exit: exit, StartedAt: r.StartedAt, RestartCount: r.RestartCount, Unsettled: true}, nil
}

// UnknownCode is what the formats that need a number show for an exit status that
// nobody saw; it is what Docker shows after its daemon was killed.
const UnknownCode = 255

// Settle makes what State derives of a lost run permanent and clears the run
// directory, so that the container can be started again. The caller holds the
// container's lock and nothing of the container runs.
func (s *Store) Settle(id string) error {
	r, err := s.ReadRecord(id)
	if err == nil && r != nil {
		if st, err := s.State(id); err == nil && st.Status == Exited && st.Exit.Unknown {
			if err := s.WriteExit(id, st.Exit, false); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(s.RunDir(id)); err != nil {
		return fmt.Errorf("clearing the run directory of container %.12s: %w", id, err)
	}
	return nil
}

// Health is what the health checks of a running container found.
type Health struct {
	Status        string         `json:"status"` // starting, healthy or unhealthy
	FailingStreak int            `json:"failingStreak"`
	Log           []HealthResult `json:"log"` // the last five
}

// HealthResult is one health check.
type HealthResult struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

func (s *Store) healthFile(id string) string { return filepath.Join(s.RunDir(id), "health.json") }

// WriteHealth replaces the health record of container id. Only its monitor does this.
func (s *Store) WriteHealth(id string, h Health) error { return writeJSON(s.healthFile(id), h, false) }

// ReadHealth returns nil when the container has no health check.
func (s *Store) ReadHealth(id string) (*Health, error) {
	var h Health
	ok, err := readJSON(s.healthFile(id), &h)
	if err != nil || !ok {
		return nil, err
	}
	return &h, nil
}
