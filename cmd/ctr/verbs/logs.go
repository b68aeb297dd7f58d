package verbs

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"ctr/libpod"
	"ctr/libpod/logs"
)

type logsOptions struct {
	details, follow, timestamps bool
	since, until, tail          string
}

func buildLogs(p *program) *command {
	o := logsOptions{tail: "all"}
	return &command{
		min: 1, max: 1,
		flags: []flag{
			boolean(&o.details, "details", "Show extra details provided to logs"),
			boolean(&o.follow, "follow,f", "Follow log output"),
			text(&o.since, "since", `Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`),
			text(&o.tail, "tail,n", "Number of lines to show from the end of the logs").defaults(`"all"`),
			boolean(&o.timestamps, "timestamps,t", "Show timestamps"),
			text(&o.until, "until", `Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`),
		},
		run: func(ctx context.Context, args []string) error { return p.logs(ctx, args[0], o) },
	}
}

func (p *program) logs(ctx context.Context, name string, o logsOptions) error {
	selection, err := o.selection(time.Now())
	if err != nil {
		return err
	}
	c, err := lookup(name)
	if err != nil {
		return err
	}
	if o.follow {
		selection.Done = ended(ctx, c)
	}
	out := logWriter{p: p, o: o}
	err = c.Logs(ctx, selection, out.write)
	return errors.Join(err, out.flush())
}

// ended is closed when the container runs no more, or at once if it does not.
func ended(ctx context.Context, c *libpod.Container) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Wait(ctx, "not-running") // whatever it says, there is nothing more to come
	}()
	return done
}

// logWriter prints records to the stream they were written to. It gathers output,
// but lets go of it before the other stream has its turn, and at once when following.
type logWriter struct {
	p       *program
	o       logsOptions
	pending []byte
	to      *os.File
}

func (w *logWriter) write(r logs.Record) error {
	to := w.p.Out
	if r.Stream == logs.Stderr {
		to = w.p.Err
	}
	const enough = 64 << 10
	if to != w.to || len(w.pending) > enough {
		if err := w.flush(); err != nil {
			return err
		}
		w.to = to
	}
	w.pending = w.o.appendLine(w.pending, r)
	if w.o.follow {
		return w.flush()
	}
	return nil
}

func (w *logWriter) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	_, err := w.to.Write(w.pending)
	w.pending = w.pending[:0]
	return err
}

// logTime is RFC 3339 with all nine digits, so that columns stay in place.
const logTime = "2006-01-02T15:04:05.000000000Z07:00"

func (o logsOptions) appendLine(b []byte, r logs.Record) []byte {
	if o.timestamps {
		b = append(r.Time.UTC().AppendFormat(b, logTime), ' ')
	}
	if o.details {
		b = append(append(b, joinLabels(r.Attrs)...), ' ')
	}
	return append(b, r.Line...)
}

// selection is what to read. A --tail that is no number of lines is all of them, as in Docker.
func (o logsOptions) selection(now time.Time) (selection logs.ReadOptions, err error) {
	selection.Follow = o.follow
	if n, err := strconv.Atoi(o.tail); err == nil && n >= 0 {
		selection.Tail = &n
	}
	if selection.Since, err = logs.ParseTime(o.since, now); err != nil {
		return selection, err
	}
	selection.Until, err = logs.ParseTime(o.until, now)
	return selection, err
}
