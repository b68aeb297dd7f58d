package bars

import (
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"ctr/pkg/image"
)

var one, two = digest.FromString("one"), digest.FromString("two")

func short(d digest.Digest) string { return d.Encoded()[:12] }

func TestPlainLinesAreOnePerLayer(t *testing.T) {
	var out strings.Builder
	b := New(&out, nil, Words{"Downloading", "Pull complete"})
	for _, e := range []image.Event{
		{Layer: one, State: image.Started, Total: 10},
		{Layer: two, State: image.Exists},
		{Layer: one, State: image.Moving, Done: 5, Total: 10},
		{Layer: one, State: image.Complete, Done: 10, Total: 10},
		{Layer: one, State: image.Exists},
	} {
		b.Event(e)
	}
	b.Close()
	want := short(two) + ": Already exists\n" + short(one) + ": Pull complete\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTerminalLinesStayInTheirWidth(t *testing.T) {
	for _, width := range []int{20, 40, 80, 200} {
		b := New(nil, func() int { return width }, Words{"Downloading", "Pull complete"})
		clock := time.Unix(0, 0)
		b.now = func() time.Time { clock = clock.Add(2 * time.Second); return clock }
		l := &layer{id: short(one), done: 31_400_000, total: 62_800_000, began: time.Unix(0, 0)}
		line := b.line(l, width)
		if len(line) >= width {
			t.Errorf("width %d: %d columns: %q", width, len(line), line)
		}
		if width >= 80 && !strings.Contains(line, "31.4MB/62.8MB  15.7MB/s") {
			t.Errorf("width %d: no amounts in %q", width, line)
		}
		if width == 200 && !strings.Contains(line, "["+strings.Repeat("=", 25)+">"+strings.Repeat(" ", 25)+"]") {
			t.Errorf("no half bar in %q", line)
		}
	}
}

func TestTerminalRedrawsOnlyMovingLines(t *testing.T) {
	var out strings.Builder
	b := New(&out, func() int { return 80 }, Words{"Downloading", "Pull complete"})
	b.Event(image.Event{Layer: one, State: image.Started, Total: -1})
	b.Event(image.Event{Layer: two, State: image.Started, Total: -1})
	out.Reset()
	b.Event(image.Event{Layer: one, State: image.Complete})
	if got, want := out.String(), "\x1b[2A\x1b[J"+short(one)+": Pull complete\n"+short(two)+": Downloading 0B\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	b.Close()
	b.Close()
	if got, want := out.String(), "\x1b[1A\x1b[J"; got != want {
		t.Errorf("close: got %q, want %q", got, want)
	}
}
