package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/libpod/oci"
	"ctr/libpod/state"
)

func connPair(t *testing.T) (a, b *Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]*Conn, 2)
	for i, fd := range fds {
		if conns[i], err = FileConn(os.NewFile(uintptr(fd), "test")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conns[i].Close() })
	}
	return conns[0], conns[1]
}

func TestFramesArriveWholeAndInOrder(t *testing.T) {
	a, b := connPair(t)
	sizes := []int{0, 1, 5, 4096, 70_000, 300_000, 3}
	go func() {
		for i, n := range sizes {
			_ = a.Send(KindStdout, bytes.Repeat([]byte{byte(i)}, n))
		}
		a.Close()
	}()
	for i, n := range sizes {
		kind, p, err := b.Receive()
		if err != nil || kind != KindStdout || !bytes.Equal(p, bytes.Repeat([]byte{byte(i)}, n)) {
			t.Fatalf("frame %d: kind %d, %d bytes, %v; want %d bytes", i, kind, len(p), err, n)
		}
	}
	if _, _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

func TestDescriptorsComeWithTheirFrame(t *testing.T) {
	a, b := connPair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		_ = a.SendJSON(KindRequest, Request{Op: OpExec}, w)
		w.Close()
	}()
	if _, _, err := b.Receive(); err != nil {
		t.Fatal(err)
	}
	files := b.Files()
	if len(files) != 1 {
		t.Fatalf("%d descriptors arrived", len(files))
	}
	flags, err := unix.FcntlInt(files[0].Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Error("a descriptor that arrived would leak into the next program")
	}
	files[0].WriteString("through")
	files[0].Close()
	if got, _ := io.ReadAll(r); string(got) != "through" {
		t.Errorf("read %q", got)
	}
}

func TestAFrameThatIsTooLargeIsRefused(t *testing.T) {
	a, b := connPair(t)
	head := append([]byte{byte(KindRequest)}, binary.BigEndian.AppendUint32(nil, 1<<31)...)
	if _, err := a.sock.Write(head); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Receive(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestFaultsKeepTheirKind(t *testing.T) {
	a, b := connPair(t)
	go refuse(a, oci.ErrNotFound)
	_, err := b.ReceiveReply()
	var f *Fault
	if !errors.As(err, &f) || f.Kind != FaultNotFound {
		t.Errorf("got %v", err)
	}
}

func TestRestartPolicies(t *testing.T) {
	now := time.Now()
	ended := func(code int, ran time.Duration) state.Exit {
		return state.Exit{Code: code, StartedAt: now.Add(-ran), FinishedAt: now}
	}
	for name, c := range map[string]struct {
		policy  config.Restart
		exit    state.Exit
		count   int
		stopped bool
		again   bool
		delay   time.Duration
	}{
		"none":                     {exit: ended(1, time.Second)},
		"no":                       {policy: config.Restart{Policy: "no"}, exit: ended(1, time.Second)},
		"always after success":     {policy: config.Restart{Policy: "always"}, exit: ended(0, time.Second), again: true, delay: 100 * time.Millisecond},
		"always, stopped":          {policy: config.Restart{Policy: "always"}, exit: ended(0, time.Second), stopped: true},
		"on-failure, success":      {policy: config.Restart{Policy: "on-failure"}, exit: ended(0, time.Second)},
		"on-failure, failure":      {policy: config.Restart{Policy: "on-failure"}, exit: ended(1, time.Second), again: true, delay: 100 * time.Millisecond},
		"on-failure:3, used up":    {policy: config.Restart{Policy: "on-failure", Retries: 3}, exit: ended(1, time.Second), count: 3},
		"on-failure:3, one left":   {policy: config.Restart{Policy: "on-failure", Retries: 3}, exit: ended(1, time.Second), count: 2, again: true, delay: 400 * time.Millisecond},
		"doubled each time":        {policy: config.Restart{Policy: "always"}, exit: ended(1, time.Second), count: 5, again: true, delay: 3200 * time.Millisecond},
		"at most a minute":         {policy: config.Restart{Policy: "always"}, exit: ended(1, time.Second), count: 60, again: true, delay: time.Minute},
		"from the start when good": {policy: config.Restart{Policy: "always"}, exit: ended(1, time.Minute), count: 60, again: true, delay: 100 * time.Millisecond},
		"unless-stopped":           {policy: config.Restart{Policy: "unless-stopped"}, exit: ended(0, time.Second), again: true, delay: 100 * time.Millisecond},
	} {
		m := &Monitor{cfg: &config.Container{Restart: c.policy}, stopped: c.stopped, record: state.Record{RestartCount: c.count}}
		delay, again := m.restartAfter(c.exit)
		if again != c.again || delay != c.delay {
			t.Errorf("%s: %v after %v, want %v after %v", name, again, delay, c.again, c.delay)
		}
	}
}

func TestHealthByDockersRules(t *testing.T) {
	m := &Monitor{store: state.Open(t.TempDir(), t.TempDir()), cfg: &config.Container{ID: state.NewID(), Name: "web"}}
	if err := os.MkdirAll(m.store.RunDir(m.cfg.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	h := newHealthChecker(&config.Health{Test: []string{"CMD", "true"}, Retries: 2})
	h.now.Status = "starting"
	for i, step := range []struct {
		code     int
		starting bool
		want     string
		streak   int
	}{
		{1, true, "starting", 0}, // within the start period a failure does not count
		{1, false, "starting", 1},
		{1, false, "unhealthy", 2},
		{0, false, "healthy", 0},
		{1, false, "healthy", 1},
		{0, false, "healthy", 0},
	} {
		h.judge(m, state.HealthResult{ExitCode: step.code}, step.starting)
		if h.now.Status != step.want || h.now.FailingStreak != step.streak {
			t.Fatalf("step %d: %s with %d failures, want %s with %d", i, h.now.Status, h.now.FailingStreak, step.want, step.streak)
		}
	}
	kept, err := m.store.ReadHealth(m.cfg.ID)
	if err != nil || kept == nil || len(kept.Log) != healthKeep || kept.Status != "healthy" {
		t.Errorf("on record: %+v, %v", kept, err)
	}
	if none := newHealthChecker(&config.Health{Test: []string{"NONE"}}); none.check != nil {
		t.Error("NONE is checked")
	}
}
