package storage

import (
	"errors"
	"fmt"
	"strings"
)

// ErrReference is what every error of [ParseReference] wraps; its text is Docker's.
var ErrReference = errors.New("invalid reference format")

// Reference is an image reference in its full form.
type Reference struct {
	Domain string // docker.io when none was given
	Path   string // library/busybox for busybox
	Tag    string // "" when none was given
	Digest string // sha256:… or "" when none was given

	typed string // the name as typed, without domain, tag and digest, when no domain was given
}

// ParseReference reads a reference by Docker's rules: [domain/]path[:tag][@digest].
// It reads names only; an image ID is also a well-formed name.
func ParseReference(s string) (Reference, error) {
	var r Reference
	name, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if !validDigest(digest) {
			return r, ErrReference
		}
		r.Digest = digest
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		if r.Tag = name[i+1:]; !validTag(r.Tag) {
			return r, ErrReference
		}
		name = name[:i]
	}
	r.Domain, r.Path = splitDomain(name)
	if r.Domain == "" {
		r.Domain, r.typed = "docker.io", r.Path
	}
	if r.Domain == "docker.io" && !strings.Contains(r.Path, "/") {
		r.Path = "library/" + r.Path
	}
	switch lower := strings.ToLower(r.Path); {
	case !validDomain(r.Domain) || !validPath(lower):
		return r, ErrReference
	case lower != r.Path:
		return r, fmt.Errorf("%w: repository name (%s) must be lowercase", ErrReference, r.Path)
	case len(r.Name()) > 255:
		return r, fmt.Errorf("%w: repository name must not be longer than 255 characters", ErrReference)
	case isHex(r.typed) && len(r.typed) == 64:
		return r, fmt.Errorf("%w: invalid repository name (%s), cannot specify 64-byte hexadecimal strings", ErrReference, r.typed)
	}
	return r, nil
}

// Name is the repository: domain and path.
func (r Reference) Name() string { return r.Domain + "/" + r.Path }

// String is the full form. The tag is latest when neither tag nor digest was given.
func (r Reference) String() string {
	if r.Digest != "" {
		return r.Name() + suffix(":", r.Tag) + "@" + r.Digest
	}
	return r.Name() + ":" + r.tag()
}

// Familiar is the form that Docker shows: docker.io and library/ left out.
func (r Reference) Familiar() string {
	full := r.String()
	short, found := strings.CutPrefix(full, "docker.io/")
	if !found {
		return full
	}
	if name := strings.TrimPrefix(short, "library/"); !strings.Contains(name, "/") {
		return name
	}
	return short
}

func (r Reference) tag() string {
	if r.Tag == "" {
		return "latest"
	}
	return r.Tag
}

func suffix(separator, s string) string {
	if s == "" {
		return ""
	}
	return separator + s
}

// splitDomain returns "" for the domain when name has none.
func splitDomain(name string) (domain, path string) {
	first, rest, found := strings.Cut(name, "/")
	if !found || !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first {
		return "", name
	}
	if first == "index.docker.io" {
		first = "docker.io"
	}
	return first, rest
}

func validDomain(s string) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return len(host) > 2 && strings.Trim(host[1:len(host)-1], "0123456789abcdefABCDEF:") == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, b := range []byte(label) {
			if !alphanumeric(b) && b != '-' {
				return false
			}
		}
	}
	return true
}

// validPath checks lower case components that are joined by slashes; within one,
// words are joined by one dot, one or two underscores, or any number of dashes.
func validPath(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || !alphanumeric(part[0]) || !alphanumeric(part[len(part)-1]) {
			return false
		}
		for i := 0; i < len(part); {
			if alphanumeric(part[i]) {
				i++
				continue
			}
			start := i
			for !alphanumeric(part[i]) {
				i++
			}
			switch joint := part[start:i]; {
			case joint == "." || joint == "_" || joint == "__" || strings.Trim(joint, "-") == "":
			default:
				return false
			}
		}
	}
	return true
}

func validTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, b := range []byte(s) {
		if !alphanumeric(b) && b != '_' && b != '.' && b != '-' {
			return false
		}
	}
	return true
}

func validDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	want := map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}[algorithm]
	return want != 0 && len(hex) == want && isHex(hex)
}

func alphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z'
}

// isHex reports whether s consists of lower case hexadecimal digits, at least one.
func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }
