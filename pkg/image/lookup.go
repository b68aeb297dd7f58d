package image

import (
	"errors"
	"fmt"
	"strings"

	"go.podman.io/image/v5/docker/reference"

	lean "ctr/storage"
)

// lookup finds the image that a user means by ref, as every other verb does.
func (s *Store) lookup(ref string) (*lean.Image, error) {
	img, err := s.reader.Lookup(ref)
	if errors.Is(err, lean.ErrReference) {
		return nil, fmt.Errorf("%w: %q", err, ref)
	}
	return img, err
}

// calledName is that one of img's names by which ref means it; "" when ref is an id.
func calledName(img *lean.Image, ref string) string {
	r, err := lean.ParseReference(ref)
	if err != nil {
		return ""
	}
	for _, wanted := range []string{r.String(), "localhost/" + r.Familiar()} {
		for _, name := range img.Names {
			if name == wanted {
				return name
			}
		}
	}
	for _, name := range img.Names {
		switch n, err := lean.ParseReference(name); {
		case err != nil:
		case r.Digest != "" && n.Name() == r.Name(), strings.HasSuffix(name, "/"+r.Familiar()):
			return name
		}
	}
	return ""
}

// withoutTagOfDigest drops the tag of a name that has a digest too: the digest decides.
func withoutTagOfDigest(named reference.Named) reference.Named {
	digested, ok := named.(reference.Digested)
	if !ok {
		return named
	}
	if only, err := reference.WithDigest(reference.TrimNamed(named), digested.Digest()); err == nil {
		return only
	}
	return named
}

// familiar is a full name as Docker shows it: without docker.io/library.
func familiar(name string) string {
	r, err := lean.ParseReference(name)
	if err != nil {
		return name
	}
	return r.Familiar()
}

// Tag gives the image source the further name target. A name that another image
// had until now moves to this one.
func (s *Store) Tag(source, target string) error {
	named, err := reference.ParseNormalizedNamed(target)
	if err != nil {
		return fmt.Errorf("parsing reference: %q is not a valid repository/tag: %w", target, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return errors.New("refusing to create a tag with a digest reference")
	}
	img, err := s.lookup(source)
	if err != nil {
		return err
	}
	_, err = s.name(img.ID, []reference.Named{reference.TagNameOnly(named)})
	return err
}
