package link

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/bridge"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/pkg/process"
)

// killed kills the helper twice in a row while monitors watch.
func (w *hubWorld) killed(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var watched sync.WaitGroup
	for range 5 {
		watched.Go(func() {
			Watch(ctx, w.run, func() error { return Ensure(w.hub.NS(), w.run, Options{Helper: w.link}) })
		})
	}
	for range 2 {
		old, err := Read(w.run)
		must(t, err)
		programs := children(old.Process.Pid)
		began := time.Now()
		must(t, unix.Kill(old.Process.Pid, unix.SIGKILL))
		for i := old; i.Process == old.Process || !i.Process.Alive(); {
			time.Sleep(time.Millisecond)
			if now, err := Read(w.run); err == nil {
				i = now
			}
		}
		t.Logf("another helper after %v", time.Since(began))
		for _, pid := range programs {
			for !gone(pid) {
				time.Sleep(time.Millisecond)
			}
		}
		w.online(t)
	}
	w.traffic(t)
	stop()
	watched.Wait()
	helpers := 0
	for _, pid := range children(os.Getpid()) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == Name+"\n" && !gone(pid) {
			helpers++
		}
	}
	if helpers != 1 {
		t.Errorf("%d helpers run", helpers)
	}
}

// programKilled kills pasta or slirp4netns; the helper starts it again.
func (w *hubWorld) programKilled(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	old := children(i.Process.Pid)
	if len(old) == 0 {
		t.Skip("the helper itself is the link")
	}
	must(t, unix.Kill(old[0], unix.SIGKILL))
	for now := old; len(now) == 0 || slices.Contains(now, old[0]); now = children(i.Process.Pid) {
		time.Sleep(time.Millisecond)
	}
	w.online(t)
}

func (w *hubWorld) ends(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	programs := children(i.Process.Pid)
	must(t, w.leases.Release(w.network.ID, strings.Repeat("c", 64)))
	began := time.Now()
	for i.Process.Alive() {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("after %v", time.Since(began))
	if _, err := Read(w.run); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
	for _, pid := range programs {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	reap(i.Process.Pid)
}

// again uses the device that the helper has left behind.
func (w *hubWorld) again(t *testing.T) {
	l, err := w.leases.Take(w.network, lease.Lease{Container: strings.Repeat("d", 64), Names: []string{"d"}, Holder: process.This(), HubFD: w.hub.FD()})
	must(t, err)
	second := world.Namespace(t)
	must(t, w.hub.Attach(second, w.network, l, bridge.Attachment{Interface: Interface, Default4: true, Default6: true}))
	w.container = second
	w.ensure(t)
	w.online(t)
	w.traffic(t)
}

// anotherHub takes the place of one whose containers have ended while its helper lingers.
func (w *hubWorld) anotherHub(t *testing.T) {
	old, err := Read(w.run)
	must(t, err)
	hub := world.Namespace(t)
	if err := Ensure(hub, w.run, Options{Helper: w.link}); err == nil || !strings.Contains(err.Error(), strconv.Itoa(old.Process.Pid)) {
		t.Errorf("a helper with containers was replaced: %v", err)
	}
	must(t, w.leases.Release(w.network.ID, strings.Repeat("d", 64)))
	must(t, Ensure(hub, w.run, Options{Helper: w.link}))
	now, err := Read(w.run)
	must(t, err)
	if old.Process.Alive() || !sameFile(hub, now.Process.Pid, now.Hub) {
		t.Errorf("the old helper is alive: %v; the new one is %+v", old.Process.Alive(), now)
	}
}

// TestFallBack has a pasta that dies at once.
func TestFallBack(t *testing.T) {
	world.Need(t, "hub")
	usual := order
	order = []string{Pasta, Slirp4netns, Builtin}
	t.Cleanup(func() { order = usual })
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, Pasta), []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	w := &hubWorld{link: Pasta, run: t.TempDir()}
	w.build(t)
	must(t, Ensure(w.hub.NS(), w.run, Options{}))
	t.Cleanup(func() { w.kill() })
	for {
		i, err := Read(w.run)
		if err == nil && i.Link != Pasta {
			if !strings.Contains(i.Note, "broken") {
				t.Errorf("note %q", i.Note)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.plugIn(t)
	w.online(t)
}
