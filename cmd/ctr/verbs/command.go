package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"ctr/pkg/argv"
)

// command is a verb made ready for one invocation: its flags write into the
// options that its run function closes over.
type command struct {
	flags    []flag
	min, max int  // positional arguments; max < 0 is any number
	stop     bool // flags end at the first argument: the rest is a command line of its own
	own      bool // errors are ctr's own in Docker's sense: code 125 and a hint at the help
	run      func(ctx context.Context, args []string) error
}

const anyNumber = -1

// execute runs verb v, called as path ("rm", "container rm"), with the words after it.
func (p *program) execute(ctx context.Context, v *verb, path string, words []string) error {
	cmd := v.build(p)
	u := usage{program: p.name, path: path, verb: v, cmd: cmd}
	var help bool
	helpFlag := boolean(&help, "help", "Print usage")
	if !cmd.hasShort("h") {
		helpFlag.Short = "h"
	}
	flags := append(slices.Clone(cmd.flags), helpFlag)

	table := argv.Table{StopAtArgument: cmd.stop}
	for _, f := range flags {
		table.Flags = append(table.Flags, f.Flag)
	}
	line, err := argv.Parse(table, words)
	if err != nil {
		return u.problem(err.Error())
	}
	action := func(c *cli.Context) error {
		if help {
			u.print(p.Out)
			return nil
		}
		args := c.Args().Slice()
		if err := u.checkCount(len(args)); err != nil {
			return err
		}
		return u.wrap(cmd.run(c.Context, args))
	}
	return newApp(p.name, flags, action, u).RunContext(ctx, append([]string{p.name}, line.Canonical()...))
}

// newApp is the urfave application of one verb. Help, versions and errors are
// ours, so everything that urfave would say itself is turned off.
func newApp(name string, flags []flag, action cli.ActionFunc, u usage) *cli.App {
	app := &cli.App{
		Name:                      name,
		Action:                    action,
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		Writer:                    io.Discard,
		ErrWriter:                 io.Discard,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return u.badValue(flags, err) },
	}
	for _, f := range flags {
		app.Flags = append(app.Flags, f.bind())
	}
	return app
}

func (c *command) hasShort(letter string) bool {
	for _, f := range c.flags {
		if f.Short == letter {
			return true
		}
	}
	return false
}

// usage says how one command is called, and what is wrong with how it was called.
type usage struct {
	program, path string
	verb          *verb
	cmd           *command
}

func (u usage) line() string {
	return fmt.Sprintf("Usage:  %s %s %s", u.program, u.path, u.verb.args)
}

func (u usage) hint() string {
	return fmt.Sprintf("Run '%s %s --help' for more information", u.program, u.path)
}

// problem is a mistake in the flags.
func (u usage) problem(text string) error {
	return &usageError{code: codeUsage, text: text + "\n\n" + u.line() + "\n\n" + u.hint()}
}

// badValue finds the flag whose value was refused; err is the fallback.
func (u usage) badValue(flags []flag, err error) error {
	for _, f := range flags {
		if f.value.err == nil {
			continue
		}
		name := "--" + f.Name
		if f.Short != "" {
			name = "-" + f.Short + ", " + name
		}
		return u.problem(fmt.Sprintf("invalid argument %q for %q flag: %v", f.value.bad, name, f.value.err))
	}
	return u.problem(err.Error())
}

func (u usage) checkCount(n int) error {
	least, most := u.cmd.min, u.cmd.max
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	need := ""
	switch {
	case most == 0:
		need = "accepts no arguments"
	case most < 0:
		need = "requires at least " + plural(least, "argument")
	case least == most:
		need = "requires " + plural(least, "argument")
	case least == 0:
		need = "requires at most " + plural(most, "argument")
	default:
		need = fmt.Sprintf("requires at least %d and at most %s", least, plural(most, "argument"))
	}
	return &usageError{code: codeFailure, text: fmt.Sprintf("%[1]s: '%[1]s %[2]s' %[3]s\n\n%[4]s\n\n%[5]s", u.program, u.path, need, u.line(), u.hint())}
}

// wrap marks what run itself failed at: Docker gives that a code and a hint of its own.
func (u usage) wrap(err error) error {
	var status statusError
	var use *usageError
	var flags *flagsError
	if err == nil || errors.As(err, &status) || errors.As(err, &use) || !u.cmd.own && !errors.As(err, &flags) {
		return err
	}
	return &ownError{err: err, hint: u.hint()}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
