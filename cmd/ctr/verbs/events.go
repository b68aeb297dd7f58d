package verbs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ctr/libpod"
	"ctr/libpod/logs"
	"ctr/libpod/state"
	"ctr/pkg/format"
)

type eventsOptions struct {
	since, until, format string
	filters              filters
}

func buildEvents(p *program) *command {
	var o eventsOptions
	return &command{
		flags: []flag{
			filterFlag(&o.filters),
			formatFlag(&o.format, templateHelp),
			text(&o.since, "since", "Show all events created since timestamp"),
			text(&o.until, "until", "Stream events until this timestamp"),
		},
		run: func(ctx context.Context, _ []string) error { return p.events(ctx, o) },
	}
}

var eventFilterNames = []string{"container", "event", "image", "label", "network", "type", "volume"}

func (p *program) events(ctx context.Context, o eventsOptions) error {
	if err := o.filters.known(eventFilterNames...); err != nil {
		return err
	}
	show, err := newEventPrinter(o.format)
	if err != nil {
		return err
	}
	selection := state.EventOptions{Follow: true}
	now := time.Now()
	if selection.Since, err = logs.ParseTime(o.since, now); err != nil {
		return err
	}
	if selection.Until, err = logs.ParseTime(o.until, now); err != nil {
		return err
	}
	if !selection.Until.IsZero() && !selection.Until.After(now) {
		selection.Follow = false
	}
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	return runtime.Events(ctx, selection, func(e state.Event) error {
		if !o.filters.event(e) {
			return nil
		}
		line, err := show(e)
		if err != nil {
			return err
		}
		_, err = p.Out.WriteString(line + "\n")
		return err
	})
}

// event tells whether an event is wanted.
func (f filters) event(e state.Event) bool {
	action, _, _ := strings.Cut(e.Action, ":")
	return f.exact("type", e.Type) &&
		f.exact("event", e.Action, action) &&
		f.labels(e.Attributes) &&
		f.actor("container", e) && f.actor("volume", e) && f.actor("network", e) &&
		f.eventImage(e)
}

// actor is a filter by the name, or the beginning of the ID, of what the event happened to.
func (f filters) actor(kind string, e state.Event) bool {
	wanted := f[kind]
	if len(wanted) == 0 {
		return true
	}
	return e.Type == kind && slices.ContainsFunc(wanted, func(w string) bool {
		return w == e.Attributes["name"] || w != "" && strings.HasPrefix(e.ID, w)
	})
}

func (f filters) eventImage(e state.Event) bool {
	got := e.Attributes["image"]
	if e.Type == "image" {
		got = e.Attributes["name"]
	}
	repository, _ := splitTag(got)
	return f.exact("image", got, repository, e.ID)
}

// eventRow is an event under Docker's field names.
type eventRow struct {
	Status   string `json:"status,omitempty"`
	ID       string `json:"id,omitempty"`
	From     string `json:"from,omitempty"`
	Type     string
	Action   string
	Actor    eventActor
	Scope    string `json:"scope"`
	Time     int64  `json:"time"`
	TimeNano int64  `json:"timeNano"`
}

type eventActor struct {
	ID         string
	Attributes map[string]string
}

func newEventRow(e state.Event) eventRow {
	row := eventRow{
		Type: e.Type, Action: e.Action, Scope: "local", Time: e.Time.Unix(), TimeNano: e.Time.UnixNano(),
		Actor: eventActor{ID: e.ID, Attributes: e.Attributes},
	}
	if e.Type == "container" || e.Type == "image" {
		row.Status, row.ID = e.Action, e.ID
		row.From = e.Attributes["image"]
	}
	return row
}

func newEventPrinter(source string) (func(state.Event) (string, error), error) {
	switch f := format.Parse(source); {
	case f.JSON:
		return func(e state.Event) (string, error) {
			line, err := json.Marshal(newEventRow(e))
			return string(line), err
		}, nil
	case source == "":
		return func(e state.Event) (string, error) { return eventLine(e), nil }, nil
	default:
		t, err := format.Template(f.Template)
		if err != nil {
			return nil, err
		}
		return func(e state.Event) (string, error) {
			var b strings.Builder
			if err := t.Execute(&b, newEventRow(e)); err != nil {
				return "", fmt.Errorf("failed to execute template: %w", err)
			}
			return b.String(), nil
		}, nil
	}
}

// eventLine is Docker's: time, type, action, ID and the attributes in brackets.
func eventLine(e state.Event) string {
	attributes := make([]string, 0, len(e.Attributes))
	for key, value := range e.Attributes {
		attributes = append(attributes, key+"="+value)
	}
	slices.Sort(attributes)
	line := fmt.Sprintf("%s %s %s %s", e.Time.Local().Format("2006-01-02T15:04:05.000000000Z07:00"), e.Type, e.Action, e.ID)
	if len(attributes) > 0 {
		line += " (" + strings.Join(attributes, ", ") + ")"
	}
	return line
}
