// Package argv reads command lines the way Docker's users write them: flags
// before or after the positional arguments, several one-letter flags in one word
// (-it), values glued on (-p8080:80, -n=5, -eA=B), and "--" to end the flags.
//
// It is a pure function from a table of flags and a list of words to settings and
// arguments. It neither knows nor checks the types of values.
package argv

import (
	"fmt"
	"strings"
)

// Flag is one row of a command's flag table.
type Flag struct {
	Name  string   // long name without dashes
	Short string   // one letter, or ""
	Also  []string // further long names with the same meaning, not shown in help
	Bool  bool     // needs no value: --name is --name=true
}

// Table is what [Parse] has to know about a command.
type Table struct {
	Flags []Flag
	// StopAtArgument ends the flags at the first positional argument, so that what
	// follows belongs to somebody else: `run IMAGE ls -l`.
	StopAtArgument bool
}

// Setting is one occurrence of a flag on the command line.
type Setting struct {
	Name  string // the flag's long name, whichever way it was written
	Value string
}

// Result is a command line taken apart. Settings keep their order.
type Result struct {
	Settings []Setting
	Args     []string
}

// Canonical is the command line again, in the one form that every flag library
// understands: --name=value for each setting, then "--", then the arguments.
func (r Result) Canonical() []string {
	words := make([]string, 0, len(r.Settings)+1+len(r.Args))
	for _, s := range r.Settings {
		words = append(words, "--"+s.Name+"="+s.Value)
	}
	words = append(words, "--")
	return append(words, r.Args...)
}

// Error is a command line that does not fit the table. Its text is Docker's.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func problem(format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// Parse takes words (without the program's and the command's name) apart. The
// error, if any, is an *[Error].
func Parse(table Table, words []string) (Result, error) {
	p := parser{table: table, rest: words}
	for len(p.rest) > 0 {
		word := p.next()
		switch {
		case word == "--":
			p.Args = append(p.Args, p.rest...)
			return p.Result, nil
		case strings.HasPrefix(word, "--"):
			if err := p.long(word); err != nil {
				return Result{}, err
			}
		case len(word) > 1 && word[0] == '-':
			if err := p.short(word[1:]); err != nil {
				return Result{}, err
			}
		default:
			p.Args = append(p.Args, word)
			if table.StopAtArgument {
				p.Args = append(p.Args, p.rest...)
				return p.Result, nil
			}
		}
	}
	return p.Result, nil
}

type parser struct {
	Result
	table Table
	rest  []string
}

func (p *parser) next() string {
	word := p.rest[0]
	p.rest = p.rest[1:]
	return word
}

func (p *parser) set(f *Flag, value string) {
	p.Settings = append(p.Settings, Setting{Name: f.Name, Value: value})
}

// long reads --name, --name=value, or --name and the word after it.
func (p *parser) long(word string) error {
	name, value, hasValue := strings.Cut(word[2:], "=")
	if name == "" || name[0] == '-' {
		return problem("bad flag syntax: %s", word)
	}
	f := p.table.byName(name)
	switch {
	case f == nil:
		return problem("unknown flag: --%s", name)
	case hasValue:
		p.set(f, value)
	case f.Bool:
		p.set(f, "true")
	case len(p.rest) == 0:
		return problem("flag needs an argument: --%s", name)
	default:
		p.set(f, p.next())
	}
	return nil
}

// short reads a word of one-letter flags; the last of them may have its value
// glued on, with or without "=", or in the next word.
func (p *parser) short(letters string) error {
	for letters != "" {
		f := p.table.byLetter(letters[:1])
		if f == nil {
			return problem("unknown shorthand flag: %q in -%s", []rune(letters)[0], letters)
		}
		after := letters[1:]
		switch {
		case len(after) > 1 && after[0] == '=':
			p.set(f, after[1:])
			return nil
		case f.Bool:
			p.set(f, "true")
		case after != "":
			p.set(f, after)
			return nil
		case len(p.rest) == 0:
			return problem("flag needs an argument: %q in -%s", letters[0], letters)
		default:
			p.set(f, p.next())
		}
		letters = after
	}
	return nil
}

func (t Table) byName(name string) *Flag {
	for i := range t.Flags {
		f := &t.Flags[i]
		if f.Name == name {
			return f
		}
		for _, other := range f.Also {
			if other == name {
				return f
			}
		}
	}
	return nil
}

func (t Table) byLetter(letter string) *Flag {
	for i := range t.Flags {
		if t.Flags[i].Short == letter {
			return &t.Flags[i]
		}
	}
	return nil
}
