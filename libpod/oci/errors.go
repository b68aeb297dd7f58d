package oci

import (
	"strconv"
	"strings"
)

// execError is a refusal to execute a program, in the words that Docker uses, which
// are those of Go's os/exec because Docker's runtime is written in Go.
type execError struct {
	text string
	kind Error
}

func (e *execError) Error() string { return e.text }
func (e *execError) Unwrap() error { return e.kind }

// asExecError finds in an error's text that program could not be executed, and
// returns nil when it says something else. libcontainer sends its errors from the
// container's process as text, and runtime programs write them to a log, so the
// text is all there is.
func asExecError(text, program string) error {
	if detail := goExecDetail(text, program); detail != "" {
		return classify("exec: "+strconv.Quote(program)+": "+detail, detail)
	}
	if _, detail, found := strings.Cut(text, "chdir to cwd "); found {
		return classify("chdir to cwd "+detail, detail)
	}
	return crunExecError(text, program)
}

// goExecDetail is what follows `exec: "program": ` in text.
func goExecDetail(text, program string) string {
	_, detail, found := strings.Cut(text, "exec: "+strconv.Quote(program)+": ")
	if !found {
		return ""
	}
	return strings.TrimSpace(detail)
}

func classify(message, detail string) error {
	for _, missing := range []string{"executable file not found", "no such file or directory", "not a directory"} {
		if strings.Contains(detail, missing) {
			return &execError{message, ErrNotFound}
		}
	}
	for _, refused := range []string{"permission denied", "is a directory", "exec format error"} {
		if strings.Contains(detail, refused) {
			return &execError{message, ErrNotExecutable}
		}
	}
	return nil
}

// crunExecError reads crun's words: "executable file `x` not found in $PATH: ...",
// "open executable: Permission denied", "exec container process ...".
func crunExecError(text, program string) error {
	text = strings.ToLower(text)
	if !strings.Contains(text, "executable") && !strings.Contains(text, "exec container process") {
		return nil
	}
	prefix := "exec: " + strconv.Quote(program) + ": "
	switch {
	case strings.Contains(text, "not found") && !strings.Contains(program, "/"):
		return &execError{prefix + "executable file not found in $PATH", ErrNotFound}
	case strings.Contains(text, "not found"), strings.Contains(text, "no such file or directory"):
		return &execError{prefix + "stat " + program + ": no such file or directory", ErrNotFound}
	case strings.Contains(text, "permission denied"), strings.Contains(text, "operation not permitted"):
		return &execError{prefix + "permission denied", ErrNotExecutable}
	case strings.Contains(text, "exec format error"):
		return &execError{prefix + "exec format error", ErrNotExecutable}
	}
	return nil
}
