package config

import (
	"errors"
	"fmt"
	"strings"
)

// nameChars is how Docker words the rule, in the errors that people know.
const nameChars = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

// ValidName reports whether s may name a container or a volume:
// [a-zA-Z0-9][a-zA-Z0-9_.-]+, two characters at least.
func ValidName(s string) bool {
	if len(s) < 2 || !alphanumeric(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !alphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// CheckName is nil when s may name a container.
func CheckName(s string) error {
	if !ValidName(s) {
		return fmt.Errorf("Invalid container name (%s), only %s are allowed", s, nameChars)
	}
	return nil
}

// CheckVolumeName is nil when s may name a volume.
func CheckVolumeName(s string) error {
	if len(s) == 1 {
		return errors.New("volume name is too short, names should be at least two alphanumeric characters")
	}
	if !ValidName(s) {
		return fmt.Errorf("create %s: %q includes invalid characters for a local volume name, only %q are allowed. If you intended to pass a host directory, use absolute path", s, s, nameChars)
	}
	return nil
}

// CheckHostname is nil when s may be a host or domain name. Both end up in files
// that are read line by line, so nothing in them may end a line or a word.
func CheckHostname(s string) error {
	if len(s) > 64 {
		return fmt.Errorf("invalid hostname %q: it is longer than the 64 characters that the kernel keeps", s)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return fmt.Errorf("invalid hostname %q: it may not contain white space, '#' or control characters", s)
	}
	return nil
}

// CheckUser is nil when s has the form of --user: name|uid[:group|gid]. Whether
// the names exist is seen when the container starts.
func CheckUser(s string) error {
	name, group, hasGroup := strings.Cut(s, ":")
	if strings.Contains(group, ":") {
		return fmt.Errorf("invalid user %q: it has more than one colon, use name|uid[:group|gid]", s)
	}
	if hasGroup && group == "" && name == "" {
		return fmt.Errorf("invalid user %q: use name|uid[:group|gid]", s)
	}
	if strings.ContainsAny(s, "\n\x00") {
		return fmt.Errorf("invalid user %q: it may not contain a line break or NUL", s)
	}
	return nil
}
