// Package bars shows the progress of an image's layers on a terminal, one moving
// line for each layer on its way, or as plain lines elsewhere.
package bars

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"

	"ctr/pkg/image"
)

// Words are what the states of a layer are called, for example "Downloading" and
// "Pull complete".
type Words struct{ Moving, Complete string }

// Bars draws the events that its Event method is given. Lines of layers that are
// done stand still; those on their way move below them.
type Bars struct {
	out   io.Writer
	width func() int // columns; nil when out is no terminal
	words Words
	now   func() time.Time

	mu     sync.Mutex
	active []*layer
	seen   map[string]bool
	drawn  int // moving lines on the screen
}

type layer struct {
	id          string
	done, total int64
	began       time.Time
}

// New returns bars that write to out. width tells the columns of the terminal; nil
// means that out is not one, and then a line is written for each layer that is done.
func New(out io.Writer, width func() int, words Words) *Bars {
	return &Bars{out: out, width: width, words: words, now: time.Now, seen: map[string]bool{}}
}

// Event draws e; it is an [image.Progress].
func (b *Bars) Event(e image.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := e.Layer.Encoded()
	id = id[:min(12, len(id))]
	switch e.State {
	case image.Started, image.Moving:
		l := b.layer(id)
		l.done = max(l.done, e.Done)
		l.total = e.Total
		b.redraw("")
	case image.Complete:
		b.finish(id, b.words.Complete)
	case image.Exists:
		b.finish(id, "Already exists")
	}
}

// Close takes the moving lines away. It is idempotent.
func (b *Bars) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active = nil
	b.redraw("")
}

func (b *Bars) layer(id string) *layer {
	for _, l := range b.active {
		if l.id == id {
			return l
		}
	}
	l := &layer{id: id, began: b.now()}
	b.active = append(b.active, l)
	return l
}

func (b *Bars) finish(id, word string) {
	for i, l := range b.active {
		if l.id == id {
			b.active = append(b.active[:i], b.active[i+1:]...)
			break
		}
	}
	if b.seen[id] { // the same layer twice in one image
		b.redraw("")
		return
	}
	b.seen[id] = true
	b.redraw(id + ": " + word)
}

// redraw writes the line still, if any, above the moving ones.
func (b *Bars) redraw(still string) {
	var s strings.Builder
	if b.width == nil {
		if still != "" {
			fmt.Fprintln(b.out, still)
		}
		return
	}
	if b.drawn > 0 {
		fmt.Fprintf(&s, "\x1b[%dA\x1b[J", b.drawn)
	}
	if still != "" {
		s.WriteString(still + "\n")
	}
	width := b.width()
	for _, l := range b.active {
		s.WriteString(b.line(l, width) + "\n")
	}
	b.drawn = len(b.active)
	io.WriteString(b.out, s.String())
}

// line is one moving line, shorter than width so that it never wraps.
func (b *Bars) line(l *layer, width int) string {
	rate := ""
	if past := b.now().Sub(l.began); past >= time.Second {
		rate = "  " + size(int64(float64(l.done)/past.Seconds())) + "/s"
	}
	head := l.id + ": " + b.words.Moving
	tail := size(l.done) + rate
	bar := ""
	if l.total > 0 {
		tail = size(l.done) + "/" + size(l.total) + rate
		if room := min(50, width-len(head)-len(tail)-7); room >= 10 {
			full := int(min(int64(room), l.done*int64(room)/l.total))
			bar = "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", room-full) + "]  "
		}
	}
	text := head + " " + bar + tail
	if width > 1 && len(text) > width-1 {
		text = text[:width-1]
	}
	return text
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 4) }
