package logs

import (
	"maps"
	"path/filepath"
	"testing"

	"ctr/libpod/config"
)

type opts = map[string]string

func TestValidate(t *testing.T) {
	defer func(before string) { journalSocket = before }(journalSocket)
	journalSocket = filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		driver string
		opts   opts
		err    string
	}{
		{"", nil, ""},
		{"json-file", opts{"max-size": "10m", "max-file": "3", "compress": "true", "labels": "a,b", "env": "A", "tag": "{{.Name}}"}, ""},
		{"json-file", opts{"mode": "non-blocking", "max-buffer-size": "4m"}, ""},
		{"k8s-file", opts{"max-size": "10m", "path": "/var/log/x"}, ""},
		{"none", opts{"x": "y"}, ""},
		{"passthrough", nil, ""},
		{"fluentd2", nil, "logger: no log driver named 'fluentd2' is registered"},
		{"", opts{"x": "1"}, "unknown log opt 'x' for json-file log driver"},
		{"json-file", opts{"path": "/x"}, "unknown log opt 'path' for json-file log driver"},
		{"journald", opts{"max-size": "1m"}, "unknown log opt 'max-size' for journald log driver"},
		{"journald", nil, "journald is not enabled on this host"},
		{"json-file", opts{"mode": "fast"}, "logger: logging mode not supported: fast"},
		{"json-file", opts{"max-buffer-size": "4m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"},
		{"json-file", opts{"mode": "non-blocking", "max-buffer-size": "x"}, "error parsing option max-buffer-size: invalid size: 'x'"},
		{"json-file", opts{"max-size": "big"}, "error parsing option max-size: invalid size: 'big'"},
		{"json-file", opts{"max-size": "0"}, "max-size must be a positive number"},
		{"json-file", opts{"max-file": "0"}, "max-file cannot be less than 1"},
		{"json-file", opts{"max-file": "x"}, `error parsing option max-file: invalid number "x"`},
		{"json-file", opts{"max-size": "1m", "compress": "maybe", "max-file": "2"}, `error parsing option compress: invalid boolean "maybe"`},
		{"json-file", opts{"max-size": "1m", "compress": "true"}, "compress cannot be true when max-file is less than 2 or max-size is not set"},
		{"json-file", opts{"tag": "{{.Nam}}"}, `log opt tag: template: :1:2: executing "" at <.Nam>: can't evaluate field Nam in type struct { ID string; FullID string; Name string; ImageID string; ImageFullID string; ImageName string; DaemonName string }`},
		{"k8s-file", opts{"path": "x"}, `log opt path: "x" is not absolute`},
	} {
		text := ""
		if err := Validate(config.Log{Driver: c.driver, Opts: c.opts}); err != nil {
			text = err.Error()
		}
		if text != c.err {
			t.Errorf("%s %v:\ngot  %s\nwant %s", c.driver, c.opts, text, c.err)
		}
	}
}

func TestAttributes(t *testing.T) {
	meta := Meta{
		ID: "0123456789abcdef", Name: "web", ImageName: "busybox", ImageID: "sha256:fedcba9876543210",
		Labels: opts{"a": "1", "b": "2", "com.x": "3"}, Env: []string{"A=x=y", "B=z", "EMPTY="},
	}
	for _, c := range []struct{ opts, want opts }{
		{nil, opts{}},
		{opts{"labels": "a,none"}, opts{"a": "1"}},
		{opts{"labels-regex": "^com", "env": "A,EMPTY"}, opts{"com.x": "3", "A": "x=y", "EMPTY": ""}},
		{opts{"env-regex": "^B"}, opts{"B": "z"}},
		{opts{"tag": "{{.ID}}/{{.FullID}}/{{.Name}}/{{.ImageID}}/{{.ImageFullID}}/{{.ImageName}}"},
			opts{"tag": "0123456789ab/0123456789abcdef/web/fedcba987654/sha256:fedcba9876543210/busybox"}},
		{opts{"tag": "fixed"}, opts{"tag": "fixed"}},
	} {
		o, err := parseOptions(config.Log{Opts: c.opts})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.attributes(meta); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%v: got %v %v, want %v", c.opts, got, err, c.want)
		}
	}
}

func TestPath(t *testing.T) {
	for _, c := range []struct{ driver, path, want string }{
		{"", "", "/c/0123/0123-json.log"}, {"k8s-file", "", "/c/0123/ctr.log"}, {"k8s-file", "/x/y", "/x/y"}, {"none", "", ""}, {"bad", "", ""},
	} {
		cfg := config.Log{Driver: c.driver}
		if c.path != "" {
			cfg.Opts = opts{"path": c.path}
		}
		if got := Path(cfg, "/c/0123"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.driver, got, c.want)
		}
	}
}
