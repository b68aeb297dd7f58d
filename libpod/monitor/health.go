package monitor

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"ctr/libpod/config"
	"ctr/libpod/oci"
	"ctr/libpod/state"
)

// Docker's defaults and bounds for health checks.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
	healthKeep          = 5
	healthOutput        = 4096
)

// healthChecker runs the health check of a container while it runs.
type healthChecker struct {
	check  *config.Health // nil when there is none
	cancel context.CancelFunc
	ended  sync.WaitGroup
	now    state.Health
}

func newHealthChecker(h *config.Health) *healthChecker {
	if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return &healthChecker{}
	}
	c := *h
	c.Interval = orElse(c.Interval, healthInterval)
	c.Timeout = orElse(c.Timeout, healthTimeout)
	c.StartInterval = orElse(c.StartInterval, healthStartInterval)
	c.Retries = orElse(c.Retries, healthRetries)
	return &healthChecker{check: &c}
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// begin starts checking a run of the container.
func (h *healthChecker) begin(m *Monitor) {
	if h.check == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.now = state.Health{Status: "starting"}
	h.write(m)
	h.ended.Add(1)
	go func() {
		defer h.ended.Done()
		h.loop(ctx, m)
	}()
}

// end stops checking and waits for a check under way.
func (h *healthChecker) end() {
	if h.cancel != nil {
		h.cancel()
		h.ended.Wait()
		h.cancel = nil
	}
}

func (h *healthChecker) loop(ctx context.Context, m *Monitor) {
	started := time.Now()
	for {
		starting := h.now.Status == "starting" && time.Since(started) < h.check.StartPeriod
		interval := h.check.Interval
		if starting {
			interval = min(interval, h.check.StartInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		result := h.once(ctx, m)
		if ctx.Err() != nil {
			return
		}
		h.judge(m, result, starting)
	}
}

// judge turns one result into the container's health, by Docker's rules: a failure
// within the start period does not count, a success ends the period.
func (h *healthChecker) judge(m *Monitor, r state.HealthResult, starting bool) {
	before := h.now.Status
	h.now.Log = append(h.now.Log, r)
	if n := len(h.now.Log) - healthKeep; n > 0 {
		h.now.Log = h.now.Log[n:]
	}
	switch {
	case r.ExitCode == 0:
		h.now.Status, h.now.FailingStreak = "healthy", 0
	case starting:
	default:
		h.now.FailingStreak++
		if h.now.FailingStreak >= h.check.Retries {
			h.now.Status = "unhealthy"
		}
	}
	h.write(m)
	if h.now.Status != before {
		m.store.Log(m.event("health_status: "+h.now.Status, nil))
	}
}

func (h *healthChecker) write(m *Monitor) {
	if err := m.store.WriteHealth(m.cfg.ID, h.now); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// once runs the check. A check that does not end in time is killed and counts as failed.
func (h *healthChecker) once(ctx context.Context, m *Monitor) (r state.HealthResult) {
	r.Start = time.Now()
	defer func() { r.End = time.Now() }()
	args := h.check.Test[1:]
	if h.check.Test[0] == "CMD-SHELL" {
		args = []string{"/bin/sh", "-c", strings.Join(args, " ")}
	}
	read, write, err := os.Pipe()
	if err != nil {
		return failed(r, err)
	}
	defer read.Close()
	proc, _, err := m.startExec(&Exec{Args: args}, []*os.File{nil, write, write})
	write.Close()
	if err != nil {
		return failed(r, err)
	}
	output := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(read, healthOutput))
		_, _ = io.Copy(io.Discard, read)
		output <- string(b)
	}()
	exit := make(chan oci.Exit, 1)
	go func() { e, _ := proc.Wait(); exit <- e }()
	select {
	case e := <-exit:
		r.ExitCode = e.Code
	case <-time.After(h.check.Timeout):
		_ = proc.Signal(syscall.SIGKILL)
		<-exit
		return failed(r, fmt.Errorf("Health check exceeded timeout (%v)", h.check.Timeout))
	case <-ctx.Done():
		_ = proc.Signal(syscall.SIGKILL)
		<-exit
		return r
	}
	select {
	case r.Output = <-output:
	case <-time.After(time.Second): // a grandchild keeps the pipe open
	}
	return r
}

func failed(r state.HealthResult, err error) state.HealthResult {
	r.ExitCode, r.Output = -1, err.Error()
	return r
}
