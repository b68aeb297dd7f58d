package verbs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/template"

	"ctr/libpod"
	"ctr/pkg/format"
	"ctr/storage"
)

type inspectOptions struct {
	format, kind string
	size         bool
}

// finder describes the thing called name. An error that matches errNone means
// that there is none; others that it could not be looked at.
type finder func(name string) (any, error)

// errNone marks the error for a thing that does not exist.
var errNone = errors.New("no such object")

func buildInspect(p *program) *command {
	var o inspectOptions
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{
			formatShort(&o.format),
			boolean(&o.size, "size,s", "Display total file sizes if the type is container"),
			text(&o.kind, "type", "Only inspect objects of the given type (container, image, network)"),
		},
		run: func(_ context.Context, args []string) error {
			find, err := o.finder()
			if err != nil {
				return err
			}
			return p.inspect(args, o, find)
		},
	}
}

func buildInspectContainer(p *program) *command {
	var o inspectOptions
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{formatShort(&o.format), boolean(&o.size, "size,s", "Display total file sizes")},
		run: func(_ context.Context, args []string) error {
			o.kind = "container"
			find, err := o.finder()
			if err != nil {
				return err
			}
			return p.inspect(args, o, find)
		},
	}
}

func buildInspectImage(p *program) *command {
	var o inspectOptions
	var platform string
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{formatShort(&o.format), text(&platform, "platform", "Refuse an image of another platform (os/arch[/variant])")},
		run: func(_ context.Context, args []string) error {
			store, err := storage.Open()
			if err != nil {
				return err
			}
			return p.inspect(args, o, imageFinder(store, platform))
		},
	}
}

// finder looks among the objects that --type names, or all.
func (o inspectOptions) finder() (finder, error) {
	switch o.kind {
	case "container", "image", "network", "":
	default:
		return nil, fmt.Errorf("unknown type: %q: must be one of %q, %q, %q", o.kind, "container", "image", "network")
	}
	runtime, err := libpod.Open()
	if err != nil {
		return nil, err
	}
	store, err := storage.Open()
	if err != nil {
		return nil, err
	}
	containers, images, networks := containerFinder(runtime, store, o.size), imageFinder(store, ""), networkFinder(runtime)
	switch o.kind {
	case "container":
		return containers, nil
	case "image":
		return images, nil
	case "network":
		return networks, nil
	}
	return func(name string) (any, error) {
		for _, find := range []finder{containers, images, networks} {
			v, err := find(name)
			if !errors.Is(err, errNone) {
				return v, err
			}
		}
		return nil, fmt.Errorf("Error: No such object: %s", name)
	}, nil
}

func containerFinder(runtime *libpod.Runtime, store *storage.Store, size bool) finder {
	return func(name string) (any, error) {
		c, err := runtime.Lookup(name)
		if errors.Is(err, libpod.ErrNoSuchContainer) {
			return nil, &noneError{err}
		}
		if err != nil {
			return nil, err
		}
		return describeContainer(c, store, size)
	}
}

func imageFinder(store *storage.Store, platform string) finder {
	return func(name string) (any, error) {
		img, err := store.Lookup(name)
		if errors.Is(err, storage.ErrImageUnknown) || errors.Is(err, storage.ErrReference) {
			return nil, &noneError{err}
		}
		if err != nil {
			return nil, err
		}
		return describeImage(store, img, platform)
	}
}

// noneError is err, marked as errNone.
type noneError struct{ error }

func (e *noneError) Is(target error) bool { return target == errNone }
func (e *noneError) Unwrap() error        { return e.error }

// inspect prints what is found, also when something else is not.
func (p *program) inspect(names []string, o inspectOptions, find finder) error {
	render, err := newRenderer(o.format)
	if err != nil {
		return err
	}
	var (
		things []any
		errs   []error
	)
	for _, name := range names {
		thing, err := find(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		things = append(things, thing)
	}
	return errors.Join(append([]error{render(p.Out, things)}, errs...)...)
}

// newRenderer makes the output of inspect: an indented JSON list, a compact one for
// "json", or a template's output line by line.
func newRenderer(source string) (func(io.Writer, []any) error, error) {
	switch source {
	case "":
		return func(w io.Writer, things []any) error { return writeJSON(w, things, "    ") }, nil
	case "json":
		return func(w io.Writer, things []any) error { return writeJSON(w, things, "") }, nil
	}
	t, err := format.Template(source)
	if err != nil {
		return nil, fmt.Errorf("template parsing error: %w", errors.Unwrap(err))
	}
	return func(w io.Writer, things []any) error {
		var out bytes.Buffer
		for _, thing := range things {
			if err := renderOne(&out, t, thing); err != nil {
				return err
			}
			out.WriteByte('\n')
		}
		_, err := w.Write(out.Bytes())
		return err
	}, nil
}

func writeJSON(w io.Writer, things []any, indent string) error {
	if things == nil {
		things = []any{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(things)
}

// renderOne gives the template the Go value, whose fields have Docker's Go names,
// and where that fails the JSON, whose keys differ from them now and then (Id).
func renderOne(w *bytes.Buffer, t *template.Template, thing any) error {
	before := w.Len()
	typed := t.Execute(w, thing)
	if typed == nil {
		return nil
	}
	w.Truncate(before)
	data, err := json.Marshal(thing)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		return err
	}
	if err := t.Option("missingkey=error").Execute(w, raw); err != nil {
		w.Truncate(before)
		return fmt.Errorf("template parsing error: %w", err)
	}
	return nil
}
