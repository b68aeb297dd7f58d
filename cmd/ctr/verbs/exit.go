package verbs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"ctr/libpod"
)

// The codes that ctr itself exits with; every other code is a container's.
const (
	codeFailure       = 1   // a verb could not do what was asked
	codeUsage         = 125 // wrong flags, or run failed before the container's process
	codeNotExecutable = 126
	codeNotFound      = 127
)

// codes maps the engine's errors to exit codes, whichever verb meets them.
var codes = []struct {
	err  error
	code int
}{
	{libpod.ErrNotFound, codeNotFound},
	{libpod.ErrNotExecutable, codeNotExecutable},
}

// Exit ends the program. It is the only way out but a return from main.
func Exit(code int) { os.Exit(code) }

// statusError is a container's exit code on its way to ours. There is nothing to say.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that could not be understood; text is all there is to print.
type usageError struct {
	code int
	text string
}

func (e *usageError) Error() string { return e.text }

// flagsError is what flags say that makes no sense: where Docker's command line finds
// that, it is an error of the command line's own, whatever the verb.
type flagsError struct{ err error }

func (e *flagsError) Error() string { return e.err.Error() }
func (e *flagsError) Unwrap() error { return e.err }

// ownError is a failure of run itself.
type ownError struct {
	err  error
	hint string
}

func (e *ownError) Error() string { return e.err.Error() }
func (e *ownError) Unwrap() error { return e.err }

// report prints err, if there is anything to print, and returns the exit code.
func (p *program) report(err error) int {
	var (
		status statusError
		use    *usageError
		own    *ownError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &use):
		fmt.Fprintln(p.Err, use.text)
		return use.code
	case errors.As(err, &own) && errors.Is(err, errPull):
		fmt.Fprintf(p.Err, "\n%s\n", own.hint)
		return codeUsage
	case errors.Is(err, errPull):
		return codeFailure
	case errors.As(err, &own):
		fmt.Fprintf(p.Err, "%s: %v\n\n%s\n", p.name, own.err, own.hint)
		return codeOf(err, codeUsage)
	}
	p.complain(err)
	return codeOf(err, codeFailure)
}

// verbFailed keeps what went wrong to codeFailure: 126 and 127 are the codes of those
// verbs alone that were given a command to run.
func verbFailed(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

// complain prints one error, or each of several joined ones, on a line of its own.
func (p *program) complain(err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range many.Unwrap() {
			p.complain(err)
		}
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "Error") {
		text = "Error: " + text
	}
	fmt.Fprintln(p.Err, text)
}

func codeOf(err error, otherwise int) int {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return otherwise
}
