package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ctr/libpod/config"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	return Open(t.TempDir(), t.TempDir())
}

func create(t *testing.T, s *Store, name string) *config.Container {
	t.Helper()
	c := &config.Container{Version: config.Version, ID: NewID(), Name: name, Created: time.Now()}
	if err := s.Create(c, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestANameBelongsToOneContainer(t *testing.T) {
	s := newStore(t)
	first := create(t, s, "web")
	var taken *NameInUseError
	err := s.Create(&config.Container{ID: NewID(), Name: "web"}, func(string) error { return nil })
	if !errors.As(err, &taken) || taken.ID != first.ID {
		t.Fatalf("second create: %v, want a conflict that names %s", err, first.ID)
	}
	if ids, _ := s.IDs(); len(ids) != 1 {
		t.Errorf("%d directories are left, want the first container's alone", len(ids))
	}
	if _, err := s.Discard(first.ID); err != nil {
		t.Fatal(err)
	}
	create(t, s, "web")
}

func TestOfManyClaimsOneWins(t *testing.T) {
	s := newStore(t)
	// a claim of a container that was never committed, which all of them find dead
	if err := s.makeDirs(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(NewID(), s.nameFile("web")); err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if s.Create(&config.Container{ID: NewID(), Name: "web"}, func(string) error { return nil }) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d creates got the name, want 1", won.Load())
	}
	if _, err := s.Resolve("web"); err != nil {
		t.Error(err)
	}
}

func TestACreateThatFailsLeavesNothing(t *testing.T) {
	s := newStore(t)
	wrong := errors.New("no space")
	if err := s.Create(&config.Container{ID: NewID(), Name: "web"}, func(string) error { return wrong }); !errors.Is(err, wrong) {
		t.Fatalf("got %v", err)
	}
	for _, dir := range []string{"containers", "names"} {
		if entries, _ := os.ReadDir(filepath.Join(s.Data(), dir)); len(entries) > 0 {
			t.Errorf("%s holds %v", dir, entries)
		}
	}
}

func TestWhatAKilledCreateLeftIsSweptOnceItsLockIsFree(t *testing.T) {
	s := newStore(t)
	create(t, s, "other")
	id := NewID()
	if err := os.Mkdir(s.Dir(id), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := tryLock(filepath.Join(s.Dir(id), "lock"), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Configs([]string{id}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir(id)); err != nil {
		t.Fatal("a create under way was swept")
	}
	lock.Close()
	if _, err := s.Configs([]string{id}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir(id)); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the remains of a dead create stay")
	}
}

func TestResolve(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "web")
	named := create(t, s, c.ID[:4]) // a name that looks like the other's ID
	for name, want := range map[string]string{c.ID: c.ID, "web": c.ID, "/web": c.ID, c.ID[:12]: c.ID, c.ID[:4]: named.ID} {
		if id, err := s.Resolve(name); err != nil || id != want {
			t.Errorf("Resolve(%q) = %.12s, %v; want %.12s", name, id, err, want)
		}
	}
	for _, name := range []string{"", "nosuch", "..", "../containers", "web\x00"} {
		var gone *NoSuchContainerError
		if _, err := s.Resolve(name); !errors.As(err, &gone) {
			t.Errorf("Resolve(%q): %v, want none", name, err)
		}
	}
}

func TestLoadRefusesWhatItDoesNotUnderstand(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "web")
	for content, want := range map[string]string{
		`{"version":99}`:       "newer ctr",
		`{"version":1,"id`:     "damaged",
		"":                     "damaged",
		`[1,2]`:                "damaged",
		"\x00\x00\x00\x00\x00": "damaged",
	} {
		if err := os.WriteFile(s.configFile(c.ID), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(c.ID); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load of %q: %v, want %q", content, err, want)
		}
	}
	if _, err := s.Discard(c.ID); err != nil {
		t.Fatalf("a damaged container cannot be removed: %v", err)
	}
	create(t, s, "web")
}

func TestRename(t *testing.T) {
	s := newStore(t)
	c := create(t, s, "old")
	create(t, s, "taken")
	var taken *NameInUseError
	if err := s.Rename(c, "taken"); !errors.As(err, &taken) || c.Name != "old" {
		t.Fatalf("rename to a taken name: %v, now %q", err, c.Name)
	}
	if err := s.Rename(c, "new"); err != nil {
		t.Fatal(err)
	}
	if id, err := s.Resolve("new"); err != nil || id != c.ID {
		t.Errorf("new name: %v", err)
	}
	create(t, s, "old")
}

// The cases of docs/state.md, "How the truth about a container is found".
func TestState(t *testing.T) {
	me, dead := ThisProcess(), Process{Pid: os.Getpid(), Start: 1}
	started := time.Now().Add(-time.Minute)
	running := Record{Boot: BootID(), Monitor: me, Container: me, Status: Running, StartedAt: started}
	with := func(change func(*Record)) *Record { r := running; change(&r); return &r }
	for name, c := range map[string]struct {
		record *Record
		exit   *Exit
		want   Status
		check  func(State) bool
	}{
		"nothing on record":       {nil, nil, Created, nil},
		"could not be started":    {nil, &Exit{Code: 127, Error: "not found"}, Created, func(s State) bool { return s.Exit.Code == 127 }},
		"ended":                   {nil, &Exit{Code: 3, StartedAt: started}, Exited, func(s State) bool { return s.Exit.Code == 3 && !s.Exit.Unknown }},
		"runs":                    {&running, nil, Running, func(s State) bool { return s.Pid == me.Pid && !s.Orphan }},
		"runs, ended before":      {&running, &Exit{Code: 3, StartedAt: started.Add(-time.Hour)}, Running, nil},
		"paused":                  {with(func(r *Record) { r.Status = Paused }), nil, Paused, nil},
		"between two runs":        {with(func(r *Record) { r.Status, r.Container = Restarting, dead }), nil, Restarting, func(s State) bool { return s.Pid == 0 }},
		"monitor killed":          {with(func(r *Record) { r.Monitor, r.Container = dead, dead }), nil, Exited, func(s State) bool { return s.Exit.Unknown && s.Exit.Code == UnknownCode }},
		"monitor killed, orphan":  {with(func(r *Record) { r.Monitor = dead }), nil, Running, func(s State) bool { return s.Orphan }},
		"monitor died at the end": {with(func(r *Record) { r.Monitor, r.Container = dead, dead }), &Exit{Code: 5, StartedAt: started}, Exited, func(s State) bool { return s.Exit.Code == 5 }},
		"another boot":            {with(func(r *Record) { r.Boot = "before" }), nil, Exited, func(s State) bool { return s.Exit.Unknown }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			id := create(t, s, "web").ID
			if c.record != nil {
				if err := os.MkdirAll(s.RunDir(id), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := s.WriteRecord(id, *c.record); err != nil {
					t.Fatal(err)
				}
			}
			if c.exit != nil {
				if err := s.WriteExit(id, *c.exit, true); err != nil {
					t.Fatal(err)
				}
			}
			st, err := s.State(id)
			if err != nil || st.Status != c.want || c.check != nil && !c.check(st) {
				t.Errorf("State = %+v, %v; want %s", st, err, c.want)
			}
		})
	}
}

func TestSettleMakesALostEndPermanent(t *testing.T) {
	s := newStore(t)
	id := create(t, s, "web").ID
	if err := os.MkdirAll(s.RunDir(id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteRecord(id, Record{Boot: "before", Status: Running, StartedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.RunDir(id)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the run directory stays")
	}
	if st, err := s.State(id); err != nil || st.Status != Exited || !st.Exit.Unknown {
		t.Errorf("State = %+v, %v", st, err)
	}
}

func TestLockEndsWithTheContainer(t *testing.T) {
	s := newStore(t)
	id := create(t, s, "web").ID
	held, err := s.Lock(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := s.Lock(context.Background(), id)
		waited <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a held lock: %v", err)
	}
	if _, err := s.Discard(id); err != nil {
		t.Fatal(err)
	}
	held.Close()
	var gone *NoSuchContainerError
	if err := <-waited; !errors.As(err, &gone) {
		t.Errorf("waiting for a container that is removed: %v", err)
	}
}

func TestEvents(t *testing.T) {
	s := newStore(t)
	early := time.Now().Add(-time.Hour)
	s.Log(Event{Time: early, Type: "container", Action: "create", ID: "a"})
	f, err := os.OpenFile(s.eventsFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"time":"torn` + "\n")
	f.Close()
	s.Log(Event{Type: "container", Action: "start", ID: "a"})

	collect := func(o EventOptions) (actions []string) {
		if err := s.Events(context.Background(), o, func(e Event) error { actions = append(actions, e.Action); return nil }); err != nil {
			t.Fatal(err)
		}
		return actions
	}
	if got := collect(EventOptions{}); strings.Join(got, " ") != "create start" {
		t.Errorf("all events: %v", got)
	}
	if got := collect(EventOptions{Since: early.Add(time.Minute)}); strings.Join(got, " ") != "start" {
		t.Errorf("since: %v", got)
	}
	if got := collect(EventOptions{Until: early.Add(time.Minute)}); strings.Join(got, " ") != "create" {
		t.Errorf("until: %v", got)
	}
}

func TestEventsFollowAcrossAFileThatIsPutAside(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		done <- s.Events(ctx, EventOptions{Since: time.Now().Add(-time.Hour), Follow: true}, func(e Event) error { got <- e.Action; return nil })
	}()
	s.Log(Event{Action: "one"})
	if a := <-got; a != "one" {
		t.Fatal(a)
	}
	if err := os.Rename(s.eventsFile(), s.eventsFile()+".1"); err != nil {
		t.Fatal(err)
	}
	s.Log(Event{Action: "two"})
	if a := <-got; a != "two" {
		t.Fatal(a)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the end of ctx: %v", err)
	}
}
