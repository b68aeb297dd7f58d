package verbs

import (
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"ctr/pkg/argv"
)

// flag is one flag of a command: how it is written, what help says, and where its value goes.
type flag struct {
	argv.Flag
	kind   string // what help calls the value; "" for a switch
	about  string
	def    string // the default as help shows it; "" shows none
	hidden bool
	value  *value
}

// value receives a flag's occurrences and keeps the first complaint, so that it
// can be reported in Docker's words.
type value struct {
	set func(string) error
	bad string
	err error
}

// Set implements the flag package's interface.
func (v *value) Set(s string) error {
	err := v.set(s)
	if err != nil && v.err == nil {
		v.bad, v.err = s, err
	}
	return err
}

// String implements the flag package's interface; our own help shows the defaults.
func (v *value) String() string { return "" }

// bind makes the flag one of urfave's.
func (f flag) bind() cli.Flag {
	return &bound{&cli.GenericFlag{Name: f.Name, Value: f.value}}
}

// bound is a flag with one name. urfave's own Names runs a regular expression, and is
// called for each flag as often as there are flags: 2 ms for run's hundred.
type bound struct{ *cli.GenericFlag }

// Names implements cli.Flag.
func (b *bound) Names() []string { return []string{b.Name} }

// also adds long names that mean the same and are not shown.
func (f flag) also(names ...string) flag {
	f.Also = names
	return f
}

// defaults sets what help shows as the default.
func (f flag) defaults(def string) flag {
	f.def = def
	return f
}

// hide keeps the flag out of help.
func (f flag) hide() flag {
	f.hidden = true
	return f
}

// each is a flag whose every occurrence is handed to set. names is "long" or "long,s".
func each(names, kind, about string, set func(string) error) flag {
	f := flag{kind: kind, about: about, value: &value{set: set}}
	f.Name = names
	if n := len(names); n > 2 && names[n-2] == ',' {
		f.Name, f.Short = names[:n-2], names[n-1:]
	}
	return f
}

// parsed is a flag whose last occurrence counts, as parse understands it.
func parsed[T any](to *T, names, kind, about string, parse func(string) (T, error)) flag {
	return each(names, kind, about, func(s string) (err error) {
		v, err := parse(s)
		if err == nil {
			*to = v
		}
		return err
	})
}

// collected is a flag that may be given again and again, each occurrence parsed.
func collected[T any](to *[]T, names, kind, about string, parse func(string) (T, error)) flag {
	return each(names, kind, about, func(s string) error {
		v, err := parse(s)
		if err == nil {
			*to = append(*to, v)
		}
		return err
	})
}

func verbatim(s string) (string, error) { return s, nil }

func text(to *string, names, about string) flag {
	return parsed(to, names, "string", about, verbatim)
}

func list(to *[]string, names, about string) flag {
	return collected(to, names, "list", about, verbatim)
}

func boolean(to *bool, names, about string) flag {
	f := parsed(to, names, "", about, strconv.ParseBool)
	f.Bool = true
	return f
}

func integer(to *int, names, about string) flag {
	return parsed(to, names, "int", about, parseInt)
}

// optionalInt distinguishes a zero from a flag that was not given.
func optionalInt(to **int, names, about string) flag {
	return parsed(to, names, "int", about, func(s string) (*int, error) {
		n, err := parseInt(s)
		return &n, err
	})
}

func duration(to *time.Duration, names, about string) flag {
	return parsed(to, names, "duration", about, time.ParseDuration)
}

func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(s, 0, 64)
	return int(n), err
}
