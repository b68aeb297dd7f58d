package format

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

type row struct {
	ID, Name string
	labels   map[string]string
}

func (r row) Label(name string) string { return r.labels[name] }

var (
	columns = []Column[row]{
		{"CONTAINER ID", func(r row) string { return r.ID }},
		{"NAMES", func(r row) string { return r.Name }},
	}
	headers = Headers{"ID": "CONTAINER ID", "Name": "NAMES"}
	rows    = []row{
		{"1", "web", map[string]string{"com.example.role": "front"}},
		{"22222222222222", "a<b>", nil},
	}
)

func TestPrint(t *testing.T) {
	for source, want := range map[string]string{
		"":      "CONTAINER ID     NAMES\n1                web\n22222222222222   a<b>\n",
		"table": "CONTAINER ID     NAMES\n1                web\n22222222222222   a<b>\n",
		"json":  `{"ID":"1","Name":"web"}` + "\n" + `{"ID":"22222222222222","Name":"a<b>"}` + "\n",
		`table {{.Name}}\t{{.Label "com.example.role"}}`: "NAMES     ROLE\nweb       front\na<b>      \n",
		`{{.ID}}\t{{upper .Name}}`:                       "1\tWEB\n22222222222222\tA<B>\n",
		`{{json .Name}}`:                                 "\"web\"\n\"a<b>\"\n",
		`{{truncate .ID 3}}{{pad .Name 1 2}}|`:           "1 web  |\n222 a<b>  |\n",
		`{{join (split .Name "e") "-"}}`:                 "w-b\na<b>\n",
		`table {{upper .Name}}`:                          "NAMES\nWEB\nA<B>\n",
	} {
		var out bytes.Buffer
		if err := Print(&out, Parse(source), columns, headers, rows); err != nil {
			t.Errorf("%q: %v", source, err)
		} else if out.String() != want {
			t.Errorf("%q:\n%s\nwant\n%s", source, out.String(), want)
		}
	}
}

func TestBadTemplates(t *testing.T) {
	for source, want := range map[string]string{
		"{{.Foo":   "failed to parse template: template: :1: unclosed action",
		"{{.Foo}}": "failed to execute template",
	} {
		var out bytes.Buffer
		err := Print(&out, Parse(source), columns, headers, rows)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", source, err, want)
		}
		if out.Len() != 0 {
			t.Errorf("%q: printed %q before the error", source, out.String())
		}
	}
}

func TestMentions(t *testing.T) {
	for source, want := range map[string]bool{"json": true, "": false, "{{.Size}}": true, "table {{.ID}}": false} {
		if got := Parse(source).Mentions("Size"); got != want {
			t.Errorf("%q mentions Size: %v, want %v", source, got, want)
		}
	}
}

func TestHuman(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for back, want := range map[time.Duration]string{
		0:                    "Less than a second ago",
		time.Second:          "1 second ago",
		3 * time.Second:      "3 seconds ago",
		70 * time.Second:     "About a minute ago",
		5 * time.Minute:      "5 minutes ago",
		62 * time.Minute:     "About an hour ago",
		5 * time.Hour:        "5 hours ago",
		3 * 24 * time.Hour:   "3 days ago",
		20 * 24 * time.Hour:  "2 weeks ago",
		100 * 24 * time.Hour: "3 months ago",
	} {
		if got := Ago(now.Add(-back), now); got != want {
			t.Errorf("%v: got %q, want %q", back, got, want)
		}
	}
	if got := Ago(time.Time{}, now); got != "N/A" {
		t.Errorf("no time: %q", got)
	}
	for size, want := range map[int64]string{0: "0B", 999: "999B", 7_380_000: "7.38MB", 1_234_567_890: "1.23GB"} {
		if got := Size(size); got != want {
			t.Errorf("%d: got %q, want %q", size, got, want)
		}
	}
	for s, want := range map[string]string{"short": "short", "0123456789": "0123456789", "0123456789a": "012345678…", "ääääääääääb": "äääääääää…"} {
		if got := Ellipsis(s, 10); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	if got := ShortID("sha256:0123456789abcdef"); got != "0123456789ab" {
		t.Errorf("short ID: %q", got)
	}
}
