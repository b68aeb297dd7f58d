package logs

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 120_000_000, time.UTC)

func TestJSONFormatIsDockers(t *testing.T) {
	attrs := encodeAttrs(map[string]string{"b": "x\"y", "a": "1"})
	for _, c := range []struct {
		line    string
		partial bool
		attrs   []byte
		want    string
	}{
		{line: "hello", want: `{"log":"hello\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: "", want: `{"log":"\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: "piece", partial: true, want: `{"log":"piece","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: "x", attrs: attrs, want: `{"log":"x\n","stream":"stdout","attrs":{"a":"1","b":"x\"y"},"time":"2026-03-04T12:00:00.12Z"}`},
		{line: "a\tb\r", want: `{"log":"a\u0009b\r\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: `<a href="x">&\`, want: `{"log":"\u003ca href=\"x\"\u003e\u0026\\\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: "\x00\x1b[0m\x7f", want: `{"log":"\u0000\u001b[0m` + "\x7f" + `\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: "ü\xff\xc3(\xe2\x80", want: `{"log":"ü\ufffd\ufffd(\ufffd\ufffd\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
		{line: "a\u2028b\u2029\U0001f600", want: `{"log":"a\u2028b\u2029` + "\U0001f600" + `\n","stream":"stdout","time":"2026-03-04T12:00:00.12Z"}`},
	} {
		f := jsonFormat{attrs: c.attrs}
		got := f.appendRecord(nil, Stdout, f.appendStamp(nil, noon), []byte(c.line), c.partial)
		if string(got) != c.want+"\n" {
			t.Errorf("%q:\ngot  %swant %s", c.line, got, c.want)
		}
	}
}

func TestCRIFormat(t *testing.T) {
	f := criFormat{}
	stamp := f.appendStamp(nil, noon)
	got := f.appendRecord(nil, Stderr, stamp, []byte("half "), true)
	got = f.appendRecord(got, Stdout, stamp, []byte("whole"), false)
	want := "2026-03-04T12:00:00.120000000Z stderr P half \n2026-03-04T12:00:00.120000000Z stdout F whole\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzFormats writes a record in each format and reads it back; what is JSON must be
// so for encoding/json as well.
func FuzzFormats(f *testing.F) {
	f.Add([]byte("plain"), false, "tag", int64(0))
	f.Add([]byte("\\n\"\x00\xff\u2028<"), true, "\"\\", int64(1e18))
	f.Fuzz(func(t *testing.T, line []byte, partial bool, tag string, nanos int64) {
		line = bytes.ReplaceAll(line, []byte{'\n'}, nil)
		when := time.Unix(0, nanos)
		attrs := map[string]string{"tag": tag, tag: ""}
		for _, format := range []fileFormat{jsonFormat{}, jsonFormat{attrs: encodeAttrs(attrs)}, criFormat{}} {
			text := format.appendRecord(nil, Stderr, format.appendStamp(nil, when), line, partial)
			want := string(line)
			if _, isJSON := format.(jsonFormat); isJSON {
				want = string([]rune(want)) // what is no UTF-8 was replaced
				if !json.Valid(text) {
					t.Fatalf("not JSON: %q", text)
				}
			}
			if !partial {
				want += "\n"
			}
			var r Record
			for range 2 { // the second time the attributes are known
				if !format.decode(&r, text) {
					t.Fatalf("not read back: %q", text)
				}
			}
			if string(r.Line) != want || r.Partial != partial || r.Stream != Stderr || !r.Time.Equal(when) {
				t.Fatalf("%q was read as %+v (%q)", text, r, r.Line)
			}
			if i := bytes.IndexByte(text, '\n'); i != len(text)-1 {
				t.Fatalf("a line break within %q", text)
			}
		}
	})
}

func TestDecodeAttrs(t *testing.T) {
	f := jsonFormat{}
	var r Record
	for _, c := range []struct {
		text string
		want map[string]string
	}{
		{`{"a":"1"}`, map[string]string{"a": "1"}},
		{`{"a":"1","b":"\u00e4\ud83d\ude00\""}`, map[string]string{"a": "1", "b": "ä\U0001f600\""}},
		{`{}`, map[string]string{}},
	} {
		if !f.decode(&r, []byte(`{"log":"x\n","stream":"stdout","attrs":`+c.text+`,"time":"2026-03-04T12:00:00Z"}`+"\n")) || !maps.Equal(r.Attrs, c.want) {
			t.Errorf("%s: %v", c.text, r.Attrs)
		}
	}
	if !f.decode(&r, []byte(`{"log":"x\n","stream":"stdout","time":"2026-03-04T12:00:00Z"}`)) || r.Attrs != nil {
		t.Errorf("attributes of the line before: %v", r.Attrs)
	}
}

func TestDecodeRefusesWhatIsTorn(t *testing.T) {
	text := `{"log":"a\\\"\u0041\n","stream":"stdout","attrs":{"a":"b"},"time":"2026-03-04T12:00:00Z"}`
	if r := (Record{}); !(jsonFormat{}).decode(&r, []byte(text+"\n")) || string(r.Line) != "a\\\"A\n" {
		t.Errorf("%s: %q", text, r.Line)
	}
	for i := range text {
		var r Record
		if (jsonFormat{}).decode(&r, []byte(text[:i]+"\n")) {
			t.Errorf("taken: %s", text[:i])
		}
		if (jsonFormat{}).decode(&r, []byte(text[:i]+text+"\n")) && i > 0 {
			t.Errorf("taken: %s", text[:i]+text)
		}
	}
	for _, text := range []string{
		"", "x", "2026-03-04T12:00:00Z", "2026-03-04T12:00:00Z stdout", "2026-03-04T12:00:00Z stdout F",
		"2026-03-04T12:00:00Z stdin F x", "2026-03-04 stdout F x", "2026-03-04T12:00:00Z stdout X x",
	} {
		var r Record
		if (criFormat{}).decode(&r, []byte(text+"\n")) {
			t.Errorf("taken: %s", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"\ud83d\ude00","stream":"stdout","time":"2026-03-04T12:00:00Z"}`))
	f.Add([]byte("2026-03-04T12:00:00Z stdout F x\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var r Record
		jsonFormat{}.decode(&r, line) // must not panic
		criFormat{}.decode(&r, line)
	})
}

func TestParseTime(t *testing.T) {
	here := time.FixedZone("here", 2*3600)
	defer func(before *time.Location) { time.Local = before }(time.Local)
	time.Local = here
	now := time.Date(2026, 3, 4, 5, 6, 7, 8, here)
	for in, want := range map[string]time.Time{
		"":                               {},
		"10m":                            now.Add(-10 * time.Minute),
		"1h30m":                          now.Add(-90 * time.Minute),
		"-1h":                            now.Add(time.Hour),
		"0":                              time.Unix(0, 0),
		"1700000000":                     time.Unix(1700000000, 0),
		"1700000000.5":                   time.Unix(1700000000, 500_000_000),
		"1700000000.000000001":           time.Unix(1700000000, 1),
		"2026-01-02":                     time.Date(2026, 1, 2, 0, 0, 0, 0, here),
		"2026-01-02Z":                    time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T03":                  time.Date(2026, 1, 2, 3, 0, 0, 0, here),
		"2026-01-02T03:04":               time.Date(2026, 1, 2, 3, 4, 0, 0, here),
		"2026-01-02T03:04:05":            time.Date(2026, 1, 2, 3, 4, 5, 0, here),
		"2026-01-02T03:04:05.123456789":  time.Date(2026, 1, 2, 3, 4, 5, 123456789, here),
		"2026-01-02T03:04:05.123456789Z": time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC),
		"2026-01-02T03:04:05-07:00":      time.Date(2026, 1, 2, 10, 4, 5, 0, time.UTC),
	} {
		if got, err := ParseTime(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "10", "1.2.3", "1.+5", "1.1234567890", "2026-13-01", "10x", "1e3"} {
		got, err := ParseTime(in, now)
		if in == "10" && err == nil {
			continue // seconds since 1970
		}
		if err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("%q: got %v %v", in, got, err)
		}
	}
}
