package logs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// journalReader reads a container's entries through the program journalctl, which
// knows the journal's files and who may read them.
type journalReader struct {
	id     string
	o      ReadOptions
	emit   func(Record) error
	cursor string // of the last entry
	rec    Record
}

func readJournal(ctx context.Context, dir string, o ReadOptions, emit func(Record) error) error {
	if _, err := exec.LookPath("journalctl"); err != nil {
		return errors.New("reading logs of the journald driver needs the program journalctl, which is not installed")
	}
	j := &journalReader{id: filepath.Base(dir), o: o, emit: emit}
	if !o.Follow {
		return j.run(ctx, j.wanted()...)
	}
	begin := time.Now()
	if ended, err := j.follow(ctx); err != nil || !ended {
		return err
	}
	switch {
	case j.cursor != "":
		return j.run(ctx, "--after-cursor="+j.cursor)
	case o.Tail != nil && *o.Tail == 0:
		return j.run(ctx, "--since="+journalTime(begin))
	}
	return j.run(ctx, j.wanted()...)
}

// follow reads what comes until the container has ended (then there may be more), or
// the wanted time.
func (j *journalReader) follow(ctx context.Context) (ended bool, err error) {
	following, stop := context.WithCancel(ctx)
	defer stop()
	if !j.o.Until.IsZero() {
		following, stop = context.WithDeadline(following, j.o.Until)
		defer stop()
	}
	go func() {
		select {
		case <-j.o.Done:
			stop()
		case <-following.Done():
		}
	}()
	err = j.run(following, append(j.wanted(), "--follow")...)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case following.Err() == nil:
		return false, err // journalctl ended by itself
	case err != nil && !errors.Is(err, following.Err()):
		return false, err
	}
	return !errors.Is(following.Err(), context.DeadlineExceeded), nil
}

// wanted are the arguments that choose what the options say.
func (j *journalReader) wanted() []string {
	var args []string
	if j.o.Tail != nil {
		args = append(args, "--lines="+strconv.Itoa(*j.o.Tail))
	} else if j.o.Follow {
		args = append(args, "--lines=all")
	}
	if !j.o.Since.IsZero() {
		args = append(args, "--since="+journalTime(j.o.Since))
	}
	if !j.o.Until.IsZero() {
		args = append(args, "--until="+journalTime(j.o.Until))
	}
	return args
}

func journalTime(t time.Time) string {
	return fmt.Sprintf("@%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// run starts journalctl and emits its entries.
func (j *journalReader) run(ctx context.Context, args ...string) error {
	args = append(args, "--quiet", "--no-pager", "--all", "--output=json", "CONTAINER_ID_FULL="+j.id)
	var complaint strings.Builder
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, "journalctl", args...)
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting journalctl: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting journalctl: %w", err)
	}
	emitErr := j.entries(out)
	if emitErr != nil {
		stop()
	}
	err = cmd.Wait()
	switch {
	case emitErr != nil:
		return emitErr
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("reading the journal: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return nil
}

// entries emits the entries that come from journalctl, one JSON object per line. A line
// that is cut off, because journalctl was stopped, is left out.
func (j *journalReader) entries(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // what went wrong, if anything, journalctl says
		}
		var entry map[string]json.RawMessage
		if json.Unmarshal(line, &entry) != nil || !j.decode(entry) {
			continue
		}
		if err := j.emit(j.rec); err != nil {
			return err
		}
	}
}

func (j *journalReader) decode(entry map[string]json.RawMessage) bool {
	fields := map[string]string{}
	for name, raw := range entry {
		var value string
		if json.Unmarshal(raw, &value) == nil {
			fields[name] = value
		}
	}
	j.cursor = fields["__CURSOR"]
	message, ok := journalMessage(entry["MESSAGE"])
	if !ok {
		return false
	}
	t, err := time.Parse(time.RFC3339Nano, fields["SYSLOG_TIMESTAMP"])
	if err != nil {
		micros, err := strconv.ParseInt(fields["__REALTIME_TIMESTAMP"], 10, 64)
		if err != nil {
			return false
		}
		t = time.UnixMicro(micros)
	}
	j.rec = Record{Time: t, Line: message, Partial: fields["CONTAINER_PARTIAL_MESSAGE"] == "true", Attrs: map[string]string{}}
	if fields["PRIORITY"] == "3" {
		j.rec.Stream = Stderr
	}
	if !j.rec.Partial {
		j.rec.Line = append(j.rec.Line, '\n')
	}
	for name, value := range fields {
		if name[0] != '_' && !slices.Contains(journalFields, name) {
			j.rec.Attrs[name] = value
		}
	}
	return true
}

// journalFields are in every entry and no attributes of the container.
var journalFields = []string{
	"MESSAGE", "PRIORITY", "CONTAINER_ID", "CONTAINER_ID_FULL", "CONTAINER_NAME", "CONTAINER_TAG", "IMAGE_NAME",
	"CONTAINER_PARTIAL_MESSAGE", "SYSLOG_IDENTIFIER", "SYSLOG_TIMESTAMP",
}

// journalMessage reads a value that is a string, or when that is no UTF-8 an array of bytes.
func journalMessage(raw json.RawMessage) ([]byte, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text), raw[0] == '"'
	}
	var numbers []uint16
	if json.Unmarshal(raw, &numbers) != nil {
		return nil, false
	}
	message := make([]byte, len(numbers))
	for i, n := range numbers {
		message[i] = byte(n)
	}
	return message, true
}
