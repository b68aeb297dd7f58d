package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.podman.io/storage"

	lean "ctr/storage"
)

// User is a container that was made from an image.
type User struct {
	ID      string
	Running bool
}

// RemoveOptions says how far a removal goes.
type RemoveOptions struct {
	Force bool
	// Users lists the containers made from an image; they are asked for at the last
	// moment. Nil means that there are none.
	Users func(imageID string) ([]User, error)
}

// Removed is what a removal did.
type Removed struct {
	Untagged []string // names that are gone, as Docker shows them
	Deleted  []string // "sha256:…" of the image and of its layers, if the image is gone
}

// Remove takes the image that ref means out of the store. A name takes away only
// itself while the image has others; the last name, and an id, take the image and
// the layers that no other image has. An image that containers use is refused: with
// an error that matches [ErrConflict], and with Force the names go and the files stay
// as long as a stopped container needs them. What was done is returned even with an error.
func (s *Store) Remove(ref string, o RemoveOptions) (*Removed, error) {
	img, err := s.lookup(ref)
	if err != nil {
		return nil, err
	}
	if img.ReadOnlyStore {
		return nil, conflict("unable to delete %s - it is in a read-only image store", short(img.ID))
	}
	var users []User
	if o.Users != nil {
		if users, err = o.Users(img.ID); err != nil {
			return nil, fmt.Errorf("finding the containers of image %s: %w", short(img.ID), err)
		}
	}
	if name := calledName(img, ref); name != "" {
		return s.removeName(img, name, users, o.Force)
	}
	return s.removeID(img, users, o.Force)
}

func (s *Store) removeName(img *lean.Image, name string, users []User, force bool) (*Removed, error) {
	last := !slices.ContainsFunc(img.Names, func(n string) bool { return n != name && !isDigestOf(n, name) })
	if !last {
		return s.untag(img, []string{name})
	}
	if len(users) > 0 {
		if !force {
			return nil, conflict("unable to remove repository reference %q (must force) - container %s is using its referenced image %s",
				familiar(name), short(users[0].ID), short(img.ID))
		}
		return s.untag(img, img.Names)
	}
	return s.delete(img)
}

// isDigestOf reports whether n is a name with a digest in the repository of name;
// such names go with the last tag.
func isDigestOf(n, name string) bool {
	a, errA := lean.ParseReference(n)
	b, errB := lean.ParseReference(name)
	return errA == nil && errB == nil && a.Digest != "" && a.Name() == b.Name()
}

func (s *Store) removeID(img *lean.Image, users []User, force bool) (*Removed, error) {
	repositories := map[string]bool{}
	for _, n := range img.Names {
		if r, err := lean.ParseReference(n); err == nil {
			repositories[r.Name()] = true
		}
	}
	if len(repositories) > 1 && !force {
		return nil, conflict("unable to delete %s (must be forced) - image is referenced in multiple repositories", short(img.ID))
	}
	running := slices.IndexFunc(users, func(u User) bool { return u.Running })
	switch {
	case running >= 0:
		return nil, conflict("unable to delete %s (cannot be forced) - image is being used by running container %s", short(img.ID), short(users[running].ID))
	case len(users) > 0 && !force:
		return nil, conflict("unable to delete %s (must be forced) - image is being used by stopped container %s", short(img.ID), short(users[0].ID))
	case len(users) > 0 && len(img.Names) == 0:
		return nil, conflict("unable to delete %s - stopped container %s needs its files; remove the container first", short(img.ID), short(users[0].ID))
	case len(users) > 0:
		return s.untag(img, img.Names)
	}
	return s.delete(img)
}

func (s *Store) untag(img *lean.Image, names []string) (*Removed, error) {
	if err := s.store.RemoveNames(img.ID, names); err != nil {
		return nil, fmt.Errorf("untagging %s: %w", strings.Join(names, " "), oneLine(err))
	}
	removed := &Removed{}
	for _, n := range names {
		removed.Untagged = append(removed.Untagged, familiar(n))
	}
	return removed, nil
}

func (s *Store) delete(img *lean.Image) (*Removed, error) {
	layers, err := s.store.DeleteImage(img.ID, true)
	switch {
	case errors.Is(err, storage.ErrImageUsedByContainer):
		return nil, conflict("unable to delete %s (cannot be forced) - a container of podman or buildah uses it", short(img.ID))
	case errors.Is(err, storage.ErrNotAnImage), errors.Is(err, storage.ErrImageUnknown):
		return nil, fmt.Errorf("%w: %s", lean.ErrImageUnknown, short(img.ID)) // somebody else was faster
	case err != nil:
		return nil, fmt.Errorf("deleting image %s: %w", short(img.ID), oneLine(err))
	}
	removed := &Removed{Deleted: []string{"sha256:" + img.ID}}
	for _, n := range img.Names {
		removed.Untagged = append(removed.Untagged, familiar(n))
	}
	for _, l := range layers {
		removed.Deleted = append(removed.Deleted, "sha256:"+l)
	}
	return removed, nil
}

func conflict(format string, args ...any) error {
	return &textError{text: "conflict: " + fmt.Sprintf(format, args...), cause: ErrConflict}
}
