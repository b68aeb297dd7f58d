package image

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
)

// ErrConflict is the kind of error for an image that is in use.
var ErrConflict = errors.New("conflict")

// textError is an error shown by other words; its cause can still be asked for.
type textError struct {
	text  string
	cause error
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.cause }

// oneLine takes from the libraries' errors what does not help the reader: line
// ends, the steps that every error has in front of it, and hints at other programs.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return &textError{text: "interrupted", cause: err}
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, r := range rewrites() {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(text, "no space left on device") {
		text += "; free space on the disk of the image store, or put the store elsewhere in storage.conf (graphroot)"
	}
	return &textError{text: text, cause: err}
}

type rewrite struct {
	pattern *regexp.Regexp
	with    string
}

// rewrites is a function, and not a variable, because only errors pay for it.
func rewrites() []rewrite {
	r := func(pattern, with string) rewrite { return rewrite{regexp.MustCompile(pattern), with} }
	return []rewrite{
		r(`^(\(dest: .*?\): )?initializing source \S+: `, ""),
		r(`^fetching manifest \S+ in \S+: `, ""),
		r(`(copying system image from manifest list: |parsing image configuration: |trying to reuse blob \S+ at destination: |writing blob: )`, ""),
		r(`(setting up to decompress blob: |storing blob to file "[^"]*": )?happened during read: `, ""),
		r(`choosing (an )?image( instance)?( from manifest list \S+)?: `, ""),
		r(`no image found in (?:manifest list|image index) for architecture "?([^", ]+)"?, variant "([^"]*)", OS "?([^", ]+)"?`, "no matching manifest for $3/$1/$2 in the manifest list entries"),
		r(`/ in the manifest list`, " in the manifest list"),
		r(`adding layer with blob "sha256:([0-9a-f]{12})[^ ]*: unpacking failed \(error: exit status 1; output: ([^()]*(?:\([^()]*\)[^()]*)*)\)( exhausting input failed \(error: [^)]*\))?`, "unpacking layer $1: $2"),
		r(`adding layer with blob "sha256:([0-9a-f]{12})\S*: `, "unpacking layer $1: "),
		r(`unpacking failed \(error: exit status 1; output: ([^()]*(?:\([^()]*\)[^()]*)*)\)( exhausting input failed \(error: [^)]*\))?`, "unpacking: $1"),
		r(`initializing image from source \S+: `, "reading the manifest: "),
		r(`\(blob "sha256:([0-9a-f]{12})\S*\)`, "($1)"),
		r(`:? Check /etc/subuid and /etc/subgid if configured locally and run "podman system migrate"`, "; this user needs more subordinate ids in /etc/subuid and /etc/subgid"),
	}
}

// step puts what was being done in front of an error of the libraries.
func step(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, oneLine(err))...)
}
