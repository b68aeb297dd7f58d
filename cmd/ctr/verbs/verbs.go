// Package verbs is ctr's command line: one file per verb, the flags bound to
// typed options at this edge, and the table from errors to exit codes (exit.go).
//
// Both programs are made of it. The lean one hands the verbs that need registries
// and archives over to ctr-full by execve; ctr-full passes their implementations
// in as [Heavy]. Streams are injected, so every verb runs in a test.
package verbs

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Streams is where a verb reads and writes. The files are not closed.
type Streams struct {
	In, Out, Err *os.File
}

// program is one invocation of ctr.
type program struct {
	Streams
	name  string   // as help and errors show it
	argv  []string // the whole command line, kept with a container and handed on by execve
	heavy *Heavy   // nil in the lean program
}

// Main runs the command line args (args[0] is the program) and returns the code
// to exit with, after saying what went wrong on streams.Err. heavy is nil in the
// lean program.
func Main(args []string, streams Streams, heavy *Heavy) int {
	p := &program{Streams: streams, name: "ctr", argv: args, heavy: heavy}
	if err := enoughFiles(); err != nil {
		return p.report(err)
	}
	return p.report(p.run(context.Background(), args[1:]))
}

// fewestFiles is how many files must be allowed to be open. With less, Go's runtime
// gives up here and there with a stack trace, before anything could be said.
const fewestFiles = 64

func enoughFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= fewestFiles {
		return nil
	}
	return &usageError{code: codeUsage, text: fmt.Sprintf("Error: too many open files: %d are allowed and %d are needed; raise the limit: ulimit -n 1024", limit.Cur, fewestFiles)}
}

// run finds the command that words name and executes it.
func (p *program) run(ctx context.Context, words []string) error {
	words, err := p.global(words)
	if err != nil || words == nil {
		return err
	}
	if words[0] == "help" {
		return p.run(ctx, append(words[1:], "--help"))
	}
	if isGroup(words[0]) {
		return p.runGroup(ctx, words[0], words[1:])
	}
	if v := findVerb(words[0]); v != nil {
		return p.execute(ctx, v, words[0], words[1:])
	}
	return &usageError{code: codeFailure, text: fmt.Sprintf("%[1]s: unknown command: %[1]s %[2]s\n\nRun '%[1]s --help' for more information", p.name, words[0])}
}

// runGroup runs `ctr container X` and `ctr image X`.
func (p *program) runGroup(ctx context.Context, group string, words []string) error {
	if len(words) == 0 || words[0] == "--help" || words[0] == "-h" {
		p.groupHelp(group)
		return nil
	}
	path := group + " " + words[0]
	if v := findVerb(path); v != nil {
		return p.execute(ctx, v, path, words[1:])
	}
	if strings.HasPrefix(words[0], "-") {
		return &usageError{code: codeUsage, text: fmt.Sprintf("unknown flag: %[3]s\n\nUsage:  %[1]s %[2]s COMMAND\n\nRun '%[1]s %[2]s --help' for more information", p.name, group, words[0])}
	}
	return &usageError{code: codeFailure, text: fmt.Sprintf("%[1]s: unknown command: %[1]s %[2]s\n\nUsage:  %[1]s %[3]s\n\nRun '%[1]s %[3]s --help' for more information", p.name, path, group)}
}

// global reads what stands before the verb. It returns nil words when that was
// all there was to do.
func (p *program) global(words []string) ([]string, error) {
	if len(words) == 0 {
		p.rootHelp()
		return nil, nil
	}
	switch word := words[0]; {
	case word == "--help" || word == "-h" || word == "help" && len(words) == 1:
		p.rootHelp()
		return nil, nil
	case word == "--version" || word == "-v":
		fmt.Fprintln(p.Out, versionLine())
		return nil, nil
	case strings.HasPrefix(word, "--"):
		return nil, p.unknownGlobal("unknown flag: " + strings.SplitN(word, "=", 2)[0])
	case strings.HasPrefix(word, "-"):
		return nil, p.unknownGlobal(fmt.Sprintf("unknown shorthand flag: %q in %s", (word + "?")[1], word))
	}
	return words, nil
}

func (p *program) unknownGlobal(what string) error {
	return &usageError{code: codeUsage, text: fmt.Sprintf("%[2]s\n\nUsage:  %[1]s [OPTIONS] COMMAND [ARG...]\n\nRun '%[1]s --help' for more information", p.name, what)}
}
