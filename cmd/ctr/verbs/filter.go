package verbs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// filters holds the --filter name=value pairs of a command line.
type filters map[string][]string

func filterFlag(to *filters) flag {
	return each("filter,f", "filter", "Filter output based on conditions provided", func(s string) error {
		name, value, found := strings.Cut(s, "=")
		if !found {
			return errors.New("bad format of filter (expected name=value)")
		}
		if *to == nil {
			*to = filters{}
		}
		name = strings.ToLower(strings.TrimSpace(name))
		(*to)[name] = append((*to)[name], strings.TrimSpace(value))
		return nil
	})
}

// known refuses filters that the verb does not have.
func (f filters) known(names ...string) error {
	for name := range f {
		if !slices.Contains(names, name) {
			return fmt.Errorf("invalid filter '%s'", name)
		}
	}
	return nil
}

// exact tells whether got is one of the values, or there are none.
func (f filters) exact(name string, got ...string) bool {
	want := f[name]
	if len(want) == 0 {
		return true
	}
	for _, g := range got {
		if slices.Contains(want, g) {
			return true
		}
	}
	return false
}

// match is exact, but values are patterns that may fit anywhere in got.
func (f filters) match(name string, got ...string) bool {
	if f.exact(name, got...) {
		return true
	}
	for _, want := range f[name] {
		pattern, err := regexp.Compile(want)
		for _, g := range got {
			if err == nil && pattern.MatchString(g) {
				return true
			}
		}
	}
	return false
}

// labels tells whether every label=KEY and label=KEY=VALUE fits.
func (f filters) labels(labels map[string]string) bool {
	for _, want := range f["label"] {
		if !hasLabel(labels, want) {
			return false
		}
	}
	for _, unwanted := range f["label!"] {
		if hasLabel(labels, unwanted) {
			return false
		}
	}
	return true
}

func hasLabel(labels map[string]string, want string) bool {
	key, value, hasValue := strings.Cut(want, "=")
	got, found := labels[key]
	return found && (!hasValue || got == value)
}

// flag reads a filter that is true or false; it returns nil when it was not given.
func (f filters) flag(name string) (*bool, error) {
	values := f[name]
	if len(values) == 0 {
		return nil, nil
	}
	var yes bool
	switch values[len(values)-1] {
	case "1", "true":
		yes = true
	case "0", "false":
	default:
		return nil, fmt.Errorf("invalid filter '%s=%s'", name, values[len(values)-1])
	}
	return &yes, nil
}
