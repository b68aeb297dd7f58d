package verbs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ctr/libpod"
	"ctr/libpod/logs"
	"ctr/libpod/state"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		said string
	}{
		{nil, 0, ""},
		{statusError(42), 42, ""},
		{&ownError{statusError(3), "hint"}, 3, ""},
		{errors.New("boom"), 1, "Error: boom\n"},
		{&ownError{errors.New("boom"), "hint"}, 125, "ctr: boom\n\nhint\n"},
		{&ownError{&libpod.Error{Kind: libpod.ErrNotFound, Message: "gone"}, "hint"}, 127, "ctr: gone\n\nhint\n"},
		{fmt.Errorf("x: %w", &libpod.Error{Kind: libpod.ErrNotExecutable, Message: "no"}), 126, "Error: x: no\n"},
		{errors.Join(errors.New("a"), errors.New("b")), 1, "Error: a\nError: b\n"},
		{&usageError{code: 125, text: "usage"}, 125, "usage\n"},
	} {
		f, err := os.CreateTemp(t.TempDir(), "err")
		if err != nil {
			t.Fatal(err)
		}
		p := &program{name: "ctr", Streams: Streams{Err: f}}
		code := p.report(c.err)
		f.Close()
		said, _ := os.ReadFile(f.Name())
		if code != c.code || string(said) != c.said {
			t.Errorf("%v: code %d, said %q; want %d, %q", c.err, code, said, c.code, c.said)
		}
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a) b (c)) S 7 42 42 34817 42 4194304 1 0 0 0 150 50 0 0 20 0 1 0 6000 1 1"
	pr, err := parseStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	want := &process{pid: 42, ppid: 7, tty: 34817, ticks: 200, start: 6000, command: "[a) b (c)]"}
	if !reflect.DeepEqual(pr, want) {
		t.Errorf("got %+v, want %+v", pr, want)
	}
	pr.uid = 4_000_000_001
	row := pr.row(noon, 100*time.Second)
	if got := strings.Join(row[1:], " "); got != "42 7 5 "+noon.Add(-40*time.Second).Format("15:04")+" pts/1 00:00:02 [a) b (c)]" {
		t.Errorf("row: %q", got)
	}
	for _, bad := range []string{"", "1", ")(", "1 (x) S 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if got := printable([]byte("a\x00b\x1b[2J")); got != "a b?[2J" {
		t.Errorf("printable: %q", got)
	}
}

func TestTopOfThisProcess(t *testing.T) {
	rows := listProcesses([]int{os.Getpid(), 1 << 30})
	if len(rows) != 1 || rows[0][1] != fmt.Sprint(os.Getpid()) || !strings.Contains(rows[0][7], "verbs") {
		t.Errorf("got %q", rows)
	}
}

func TestFilterPs(t *testing.T) {
	rows, err := filterPs("  PID COMMAND\n    1 init\n   12 sh -c  sleep\n  120 other\n", []int{12})
	if err != nil || !reflect.DeepEqual(rows, [][]string{{"PID", "COMMAND"}, {"12", "sh -c sleep"}}) {
		t.Errorf("got %q, %v", rows, err)
	}
	if _, err := filterPs("COMMAND\nx\n", nil); err == nil {
		t.Error("output without PIDs is accepted")
	}
}

func TestEvents(t *testing.T) {
	e := state.Event{Time: noon, Type: "container", Action: "exec_start: sh", ID: "abc", Attributes: map[string]string{"name": "web", "image": "busybox:1"}}
	for filter, fits := range map[string]bool{
		"type=container": true, "type=image": false, "event=exec_start": true, "event=exec_start: sh": true, "event=die": false,
		"container=web": true, "container=ab": true, "container=we": false, "image=busybox": true, "image=busybox:1": true, "image=x": false,
		"label=name=web": true, "volume=x": false,
	} {
		var f filters
		if err := filterFlag(&f).value.Set(filter); err != nil {
			t.Fatal(err)
		}
		if f.event(e) != fits {
			t.Errorf("%s: %v", filter, !fits)
		}
	}
	e.Time = noon.Local()
	want := e.Time.Format("2006-01-02T15:04:05.000000000Z07:00") + " container exec_start: sh abc (image=busybox:1, name=web)"
	if got := eventLine(e); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for source, want := range map[string]string{
		"{{.Type}} {{.Actor.Attributes.name}} {{.Time}}": fmt.Sprintf("container web %d", noon.Unix()),
		"{{.Status}} {{.ID}} {{.From}}":                  "exec_start: sh abc busybox:1",
		"json":                                           fmt.Sprintf(`{"status":"exec_start: sh","id":"abc","from":"busybox:1","Type":"container","Action":"exec_start: sh","Actor":{"ID":"abc","Attributes":{"image":"busybox:1","name":"web"}},"scope":"local","time":%d,"timeNano":%d}`, noon.Unix(), noon.UnixNano()),
	} {
		show, err := newEventPrinter(source)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := show(e); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", source, got, err, want)
		}
	}
}

func TestLogLines(t *testing.T) {
	r := logs.Record{Time: noon, Line: []byte("hello\n"), Attrs: map[string]string{"b": "2", "a": "1"}}
	for want, o := range map[string]logsOptions{
		"hello\n":                                {},
		"2026-03-04T12:00:00.000000000Z hello\n": {timestamps: true},
		"a=1,b=2 hello\n":                        {details: true},
	} {
		if got := string(o.appendLine(nil, r)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for tail, want := range map[string]int{"all": -1, "": -1, "-5": -1, "x": -1, "0": 0, "7": 7} {
		selection, err := logsOptions{tail: tail}.selection(noon)
		if err != nil || (selection.Tail == nil) != (want < 0) || selection.Tail != nil && *selection.Tail != want {
			t.Errorf("--tail %q: %+v, %v", tail, selection, err)
		}
	}
}

// The order of lines is kept when both streams end in one place.
func TestLogsKeepOrder(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "both"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	second, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	w := logWriter{p: &program{Streams: Streams{Out: f, Err: second}}}
	for i := range 10 {
		if err := w.write(logs.Record{Stream: logs.Stream(i % 2), Line: fmt.Appendf(nil, "%d\n", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || string(got) != "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPreservedFiles(t *testing.T) {
	if _, err := preservedFiles(-1); err == nil {
		t.Error("a negative number is accepted")
	}
	if files, err := preservedFiles(0); err != nil || files != nil {
		t.Errorf("none: %v, %v", files, err)
	}
	if _, err := preservedFiles(1000); err == nil || !strings.Contains(err.Error(), "is not open") {
		t.Errorf("a thousand: %v", err)
	}
}

func TestEachNameKeepsOrderAndGoesOn(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &program{Streams: Streams{Out: f}}
	names := strings.Fields("a b c d e f")
	err = p.eachName(names, func(name string) (string, error) {
		if name == "b" || name == "e" {
			return "", errors.New("bad " + name)
		}
		return name, nil
	})
	if err == nil || err.Error() != "bad b\nbad e" {
		t.Errorf("errors: %v", err)
	}
	if got, _ := os.ReadFile(f.Name()); string(got) != "a\nc\nd\nf\n" {
		t.Errorf("printed %q", got)
	}
}

func TestDetachKeys(t *testing.T) {
	if keys, err := parseDetachKeys(""); err != nil || string(keys) != "\x10\x11" {
		t.Errorf("default: %q, %v", keys, err)
	}
	if keys, err := parseDetachKeys("ctrl-a,b"); err != nil || string(keys) != "\x01b" {
		t.Errorf("ctrl-a,b: %q, %v", keys, err)
	}
	if _, err := parseDetachKeys("nonsense,b"); err == nil {
		t.Error("nonsense is accepted")
	}
}
