package storage

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// ErrImageUnknown is what the error of [Store.Lookup] for a missing image matches.
var ErrImageUnknown = errors.New("No such image")

// unknownImage is the error for one missing image, in Docker's words.
type unknownImage struct{ ref string }

func (e unknownImage) Error() string        { return "No such image: " + e.ref }
func (e unknownImage) Is(target error) bool { return target == ErrImageUnknown }

// Lookup finds the image that ref means: a full name; a short one, which stands
// for docker.io's, then localhost's, then the only image whose name ends so; any of
// these with a digest, which the image must have; an ID with or without sha256:, or
// the beginning of one if no other image's ID begins so. Names win over IDs.
//
// A missing image, and an ambiguous one, is an error that matches [ErrImageUnknown];
// one that matches [ErrReference] says that ref can be no image's name. The image's
// Size is not set.
func (s *Store) Lookup(ref string) (*Image, error) {
	name, nameErr := ParseReference(ref)
	id := strings.TrimPrefix(ref, "sha256:")
	if nameErr != nil && !isHex(id) {
		return nil, nameErr
	}
	if isHex(id) && len(id) == 64 {
		nameErr = ErrReference
	}
	var img *Image
	err := s.view(func(records []record) {
		var found *record
		if nameErr == nil {
			found = findName(records, name)
		}
		if found == nil && isHex(id) {
			found = findID(records, id)
		}
		if found != nil {
			img = found.image()
		}
	})
	if img != nil || err != nil {
		return img, err
	}
	switch {
	case nameErr == nil:
		return nil, unknownImage{name.Familiar()}
	case len(id) == 64:
		return nil, unknownImage{"sha256:" + id}
	}
	return nil, unknownImage{ref}
}

func findName(records []record, ref Reference) *record {
	repositories := []string{ref.Name()}
	if ref.typed != "" {
		repositories = append(repositories, "localhost/"+ref.typed)
	}
	for _, repository := range repositories {
		named := nameTest(`"`+repository, ref)
		for i := range records {
			if named(&records[i]) {
				return &records[i]
			}
		}
	}
	if ref.typed == "" {
		return nil
	}
	var found *record
	named := nameTest("/"+ref.typed, ref)
	for i := range records {
		if !named(&records[i]) {
			continue
		}
		if found != nil && !bytes.Equal(found.id, records[i].id) {
			return nil
		}
		found = &records[i]
	}
	return found
}

// nameTest returns a test whether one of an image's quoted names contains repository
// and goes on with what ref says: its tag, or any when the image has ref's digest.
func nameTest(repository string, ref Reference) func(*record) bool {
	if ref.Digest == "" {
		tagged := []byte(repository + ":" + ref.tag() + `"`)
		return func(r *record) bool { return bytes.Contains(r.names, tagged) }
	}
	tagged, digested := []byte(repository+":"), []byte(repository+"@")
	return func(r *record) bool {
		return (bytes.Contains(r.names, tagged) || bytes.Contains(r.names, digested)) &&
			slices.Contains(r.manifestDigests(), ref.Digest)
	}
}

// findID finds the only image whose ID begins with prefix.
func findID(records []record, prefix string) *record {
	var found *record
	for i := range records {
		if !bytes.HasPrefix(records[i].id[1:], []byte(prefix)) {
			continue
		}
		if found != nil && !bytes.Equal(found.id, records[i].id) {
			return nil
		}
		if found == nil {
			found = &records[i]
		}
	}
	return found
}
