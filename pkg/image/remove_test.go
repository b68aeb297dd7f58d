package image

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	lean "ctr/storage"
)

func load(t *testing.T, s *Store, names ...string) string {
	t.Helper()
	loaded, err := s.Load(context.Background(), LoadOptions{Input: bytes.NewReader(simple(t, names...).docker(t))})
	if err != nil {
		t.Fatal(err)
	}
	return loaded[0].ID
}

func TestTagAndRemove(t *testing.T) {
	s := newStore(t)
	empty := s.state(t)
	id := load(t, s, "one:1")
	if err := s.Tag("one:1", "two"); err != nil {
		t.Fatal(err)
	}
	for target, words := range map[string]string{"Bad": "not a valid repository/tag", "x@sha256:" + strings.Repeat("0", 64): "digest"} {
		if err := s.Tag("one:1", target); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("tag %s: %v", target, err)
		}
	}
	if err := s.Tag("missing", "x"); !errors.Is(err, lean.ErrImageUnknown) || err.Error() != "No such image: missing:latest" {
		t.Error(err)
	}

	removed, err := s.Remove("one:1", RemoveOptions{})
	if err != nil || strings.Join(removed.Untagged, " ") != "one:1" || len(removed.Deleted) != 0 {
		t.Fatalf("%+v, %v", removed, err)
	}
	removed, err = s.Remove("two", RemoveOptions{})
	if err != nil || strings.Join(removed.Untagged, " ") != "two:latest" || len(removed.Deleted) != 2 || removed.Deleted[0] != "sha256:"+id {
		t.Fatalf("%+v, %v", removed, err)
	}
	if s.state(t) != empty {
		t.Errorf("left: %s", s.state(t))
	}
	if _, err := s.Remove("two", RemoveOptions{}); !errors.Is(err, lean.ErrImageUnknown) {
		t.Error(err)
	}
}

func TestRemoveByID(t *testing.T) {
	s := newStore(t)
	id := load(t, s, "one:1", "one:2")
	if err := s.Tag(id, "other:1"); err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	_, err := s.Remove(id[:10], RemoveOptions{})
	mustFailCleanly(t, s, before, err, "conflict: unable to delete "+id[:12]+" (must be forced) - image is referenced in multiple repositories")
	removed, err := s.Remove(id[:10], RemoveOptions{Force: true})
	if err != nil || len(removed.Untagged) != 3 || len(removed.Deleted) != 2 {
		t.Errorf("%+v, %v", removed, err)
	}
}

func TestRemoveOfAnImageInUse(t *testing.T) {
	stopped := func(string) ([]User, error) { return []User{{ID: strings.Repeat("c", 64)}}, nil }
	running := func(string) ([]User, error) { return []User{{ID: strings.Repeat("c", 64), Running: true}}, nil }
	for _, c := range []struct {
		name    string
		byID    bool
		users   func(string) ([]User, error)
		force   bool
		words   string // of the error; "" when only the name goes
		another bool   // has a second name
	}{
		{"last name", false, stopped, false, `conflict: unable to remove repository reference "app:1" (must force) - container cccccccccccc is using its referenced image`, false},
		{"last name of a running one", false, running, false, "(must force)", false},
		{"one of two names", false, running, false, "", true},
		{"last name, forced", false, stopped, true, "", false},
		{"last name of a running one, forced", false, running, true, "", false},
		{"id", true, stopped, false, "(must be forced) - image is being used by stopped container cccccccccccc", false},
		{"id of a running one", true, running, false, "(cannot be forced) - image is being used by running container cccccccccccc", false},
		{"id of a running one, forced", true, running, true, "(cannot be forced)", false},
		{"id, forced", true, stopped, true, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			names := []string{"app:1"}
			if c.another {
				names = append(names, "app:2")
			}
			id := load(t, s, names...)
			ref := "app:1"
			if c.byID {
				ref = id
			}
			before := s.state(t)
			removed, err := s.Remove(ref, RemoveOptions{Force: c.force, Users: c.users})
			if c.words != "" {
				mustFailCleanly(t, s, before, err, c.words)
				if !errors.Is(err, ErrConflict) {
					t.Errorf("%v is no conflict", err)
				}
				return
			}
			if err != nil || len(removed.Untagged) != 1 || len(removed.Deleted) != 0 {
				t.Fatalf("%+v, %v", removed, err)
			}
			if got := s.tree(t, id)["etc/greeting"]; got != "hello" {
				t.Errorf("the container's files are gone: %q", got)
			}
		})
	}
}

func TestRemoveOfTheLastTagTakesDigests(t *testing.T) {
	s, r := newStore(t), newRegistry(t)
	d, _ := r.put(t, "app", "1", simple(t))
	for _, ref := range []string{"/app:1", "/app@" + d.String()} {
		if _, err := s.Pull(context.Background(), r.host()+ref, PullOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := s.Remove(r.host()+"/app:1", RemoveOptions{})
	if err != nil || len(removed.Untagged) != 2 || len(removed.Deleted) != 2 {
		t.Errorf("%+v, %v", removed, err)
	}
}

func TestHello(t *testing.T) {
	s := newStore(t)
	id, err := s.EnsureHello()
	if err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	if again, err := s.EnsureHello(); err != nil || again != id || s.state(t) != before {
		t.Errorf("the second time: %s, %v\n%s", again, err, s.state(t))
	}
	img, err := s.lookup("hello")
	if err != nil || img.ID != id {
		t.Fatalf("hello is %v, %v", img, err)
	}
	if program := s.tree(t, "hello")["hello"]; !strings.HasPrefix(program, "\x7fELF") {
		t.Errorf("the program begins with %q", program[:min(4, len(program))])
	}
	for ref, is := range map[string]bool{"hello": true, "hello:latest": true, "localhost/hello": true, "hello:2": false, "docker.io/library/hello": false, "user/hello": false} {
		if IsHello(ref) != is {
			t.Errorf("IsHello(%q) is %v", ref, !is)
		}
	}
}
