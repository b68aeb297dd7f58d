package monitor

import (
	"time"

	"ctr/libpod/state"
)

// Docker's back-off: 100 ms, doubled each time up to a minute, and from the start
// again after a run of ten seconds.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = time.Minute
	goodRun      = 10 * time.Second
)

// restartAfter says whether the container is started again after exit, and how
// long to wait before.
func (m *Monitor) restartAfter(exit state.Exit) (time.Duration, bool) {
	m.mu.Lock()
	stopped, count := m.stopped, m.record.RestartCount
	m.mu.Unlock()
	if stopped {
		return 0, false
	}
	switch r := m.cfg.Restart; r.Policy {
	case "always", "unless-stopped":
	case "on-failure":
		if exit.Code == 0 || r.Retries > 0 && count >= r.Retries {
			return 0, false
		}
	default:
		return 0, false
	}
	if exit.FinishedAt.Sub(exit.StartedAt) >= goodRun {
		return firstBackoff, true
	}
	return min(firstBackoff<<min(count, 20), maxBackoff), true
}

// restart waits and starts the container again. A stop meanwhile ends the wait.
func (m *Monitor) restart(exit state.Exit, delay time.Duration) error {
	m.mu.Lock()
	m.record.Status, m.record.Exit = state.Restarting, &exit
	record := m.record
	m.mu.Unlock()
	if err := m.store.WriteRecord(m.cfg.ID, record); err != nil {
		return err
	}
	select {
	case <-time.After(delay):
	case <-m.wake:
		return nil
	}
	return m.start(nil)
}
