package verbs

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ctr/libpod/config"
	"ctr/pkg/argv"
	"ctr/storage"
)

// options reads a command line of run; words are split at spaces, a ~ is one.
func options(t *testing.T, line string) *createOptions {
	t.Helper()
	o := newCreateOptions()
	flags := append(o.flags(), o.runFlags()...)
	table := argv.Table{StopAtArgument: true}
	for _, f := range flags {
		table.Flags = append(table.Flags, f.Flag)
	}
	r, err := argv.Parse(table, strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Settings {
		i := slices.IndexFunc(flags, func(f flag) bool { return f.Name == s.Name })
		if err := flags[i].value.Set(strings.ReplaceAll(s.Value, "~", " ")); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	o.image, o.args = "img", r.Args
	if len(o.args) == 0 {
		o.args = nil
	}
	return o
}

// made is the configuration that a command line makes of an image.
func made(t *testing.T, line string, image storage.ImageConfig) (*config.Container, error) {
	t.Helper()
	o := options(t, line)
	if err := o.settle(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return o.resolve(chosenImage{storage.Image{ID: strings.Repeat("a", 64)}, &image}, []string{"ctr", "run"})
}

func TestProcess(t *testing.T) {
	image := storage.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"a", "b"}}
	bare := storage.ImageConfig{Cmd: []string{"sh"}}
	for _, c := range []struct {
		line  string
		image storage.ImageConfig
		want  string // "" is an error
	}{
		{"", image, "/entry | a b"},
		{"x y", image, "/entry | x y"},
		{"--entrypoint /e", image, "/e |"},
		{"--entrypoint /e x", image, "/e | x"},
		{"--entrypoint= x", image, "| x"},
		{"--entrypoint=", image, ""},
		{"", bare, "| sh"},
		{"--entrypoint /e", bare, "/e |"},
		{"", storage.ImageConfig{}, ""},
	} {
		got, err := made(t, c.line, c.image)
		if err != nil {
			if c.want != "" || err.Error() != "no command specified" {
				t.Errorf("%q: %v", c.line, err)
			}
			continue
		}
		words := append(append(slices.Clone(got.Entrypoint), "|"), got.Cmd...)
		if strings.Join(words, " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.line, words, c.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("FROM_HOST", "host")
	image := storage.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/bin", "A=image", "B=image", "FROM_HOST", "*", "=x"}}
	for line, want := range map[string]string{
		"":                          "PATH=/bin A=image B=image",
		"-e A=1":                    "PATH=/bin A=1 B=image",
		"-e A=1 -e A=2 -e C=,x,":    "PATH=/bin A=2 B=image C=,x,",
		"-e FROM_HOST":              "PATH=/bin A=image B=image FROM_HOST=host",
		"-e A -e NOT_SET_ANYWHERE":  "PATH=/bin B=image",
		"-e A=":                     "PATH=/bin A= B=image",
		"-e PATH":                   "PATH=" + "host A=image B=image",
		"-e PATH=/x -e FROM_HOST=y": "PATH=/x A=image B=image FROM_HOST=y",
	} {
		t.Setenv("PATH", "host")
		got, err := made(t, line, image)
		if err != nil || strings.Join(got.Env, " ") != want {
			t.Errorf("%q: got %q, %v; want %q", line, got.Env, err, want)
		}
	}
	got, err := made(t, "-e X=1", storage.ImageConfig{Cmd: []string{"sh"}})
	if err != nil || !reflect.DeepEqual(got.Env, []string{defaultPath, "X=1"}) {
		t.Errorf("an image without PATH: %q, %v", got.Env, err)
	}
}

func TestImageDefaults(t *testing.T) {
	image := storage.ImageConfig{
		OS: "linux", Architecture: "amd64", Cmd: []string{"sh"}, User: "www", WorkingDir: "srv", StopSignal: "SIGQUIT",
		Labels: map[string]string{"a": "image", "b": "image"}, ExposedPorts: []string{"80/tcp"},
		Healthcheck: &storage.Healthcheck{Test: []string{"CMD", "true"}, Interval: time.Second, Retries: 5},
	}
	c, err := made(t, "", image)
	if err != nil {
		t.Fatal(err)
	}
	if c.User != "www" || c.WorkingDir != "/srv" || c.StopSignal != "SIGQUIT" || c.Labels["a"] != "image" || !reflect.DeepEqual(c.Exposed, []string{"80/tcp"}) {
		t.Errorf("the image's defaults are not there: %+v", c)
	}
	if !reflect.DeepEqual(c.Health, &config.Health{Test: []string{"CMD", "true"}, Interval: time.Second, Retries: 5}) {
		t.Errorf("health: %+v", c.Health)
	}
	c, err = made(t, "-u 1 -w /x/../y --stop-signal INT -l a=1 -l c --expose 80 --expose 90-91/udp --health-cmd test~-e~/ok --health-retries 2", image)
	if err != nil {
		t.Fatal(err)
	}
	if c.User != "1" || c.WorkingDir != "/y" || c.StopSignal != "INT" {
		t.Errorf("the flags do not win: %q %q %q", c.User, c.WorkingDir, c.StopSignal)
	}
	if !reflect.DeepEqual(c.Labels, map[string]string{"a": "1", "b": "image", "c": ""}) {
		t.Errorf("labels: %v", c.Labels)
	}
	if !reflect.DeepEqual(c.Exposed, []string{"80/tcp", "90/udp", "91/udp"}) {
		t.Errorf("exposed: %v", c.Exposed)
	}
	if !reflect.DeepEqual(c.Health, &config.Health{Test: []string{"CMD-SHELL", "test -e /ok"}, Interval: time.Second, Retries: 2}) {
		t.Errorf("health: %+v", c.Health)
	}
	if c, err = made(t, "--no-healthcheck", image); err != nil || !reflect.DeepEqual(c.Health.Test, []string{"NONE"}) {
		t.Errorf("--no-healthcheck: %+v, %v", c, err)
	}
	if image.Labels["a"] != "image" {
		t.Error("resolving changed the image's labels")
	}
}

func TestMounts(t *testing.T) {
	image := storage.ImageConfig{Cmd: []string{"sh"}, Volumes: []string{"/data", "/logs/", "cache", "/"}}
	show := func(c *config.Container) string {
		var words []string
		for _, m := range c.Mounts {
			words = append(words, string(m.Type)+":"+m.Source+":"+m.Destination)
		}
		return strings.Join(words, " ")
	}
	for line, want := range map[string]string{
		"":              "volume::/data volume::/logs volume::/cache",
		"-v vv:/data":   "volume:vv:/data volume::/logs volume::/cache",
		"-v /logs":      "volume::/logs volume::/data volume::/cache",
		"--tmpfs /data": "tmpfs::/data volume::/logs volume::/cache",
		"-v /etc:/data:ro --mount type=volume,source=ww,target=/logs": "volume:ww:/logs bind:/etc:/data volume::/cache",
	} {
		c, err := made(t, line, image)
		if err != nil || show(c) != want {
			t.Errorf("%q: got %v, %v; want %q", line, show(c), err, want)
			continue
		}
		for _, m := range c.Mounts {
			if m.Type == config.MountVolume && m.Anonymous != (m.Source == "") {
				t.Errorf("%q: %+v is wrong about its name", line, m)
			}
		}
	}
}

func TestRefusedCombinations(t *testing.T) {
	image := storage.ImageConfig{Cmd: []string{"sh"}}
	for line, want := range map[string]string{
		"-v aa:/x -v bb:/x":       "Duplicate mount point: /x",
		"-v aa:/x --tmpfs /x/":    "Duplicate mount point: /x",
		"-w rel":                  "the working directory 'rel' is invalid, it needs to be an absolute path",
		"--rm --restart always":   "conflicting options: cannot specify both --restart and --rm",
		"--health-timeout=-1s":    "--health-timeout cannot be negative",
		"--timeout=-1":            "--timeout cannot be negative",
		"--expose 70000":          "invalid range format for --expose: 70000",
		"--expose 9-8":            "invalid range format for --expose: 9-8",
		"--cap-add nonsense":      "invalid CapAdd: unknown capability: \"CAP_NONSENSE\"",
		"--log-driver nonsense":   "*nonsense",
		"--stop-signal nonsense":  "*nonsense",
		"--network container:":    "*",
		"--volume /a:/b:/c:/d":    "*",
		"--security-opt nonsense": "*nonsense",
	} {
		_, err := made(t, line, image)
		if err == nil {
			t.Errorf("%q is accepted", line)
			continue
		}
		if part, loose := strings.CutPrefix(want, "*"); err.Error() != want && !(loose && strings.Contains(err.Error(), part)) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func TestAttached(t *testing.T) {
	for line, want := range map[string]config.Attach{
		"":                   {Stdout: true, Stderr: true},
		"-i":                 {Stdin: true, Stdout: true, Stderr: true},
		"-d":                 {},
		"-id":                {},
		"-a stdout":          {Stdout: true},
		"-a STDIN -a stderr": {Stdin: true, Stderr: true},
	} {
		c, err := made(t, line, storage.ImageConfig{Cmd: []string{"sh"}})
		if err != nil || c.Attach != want {
			t.Errorf("%q: got %+v, %v; want %+v", line, c.Attach, err, want)
		}
		if once := strings.Contains(line, "i") && want.Stdin && c.OpenStdin; c.StdinOnce != once {
			t.Errorf("%q: StdinOnce is %v", line, c.StdinOnce)
		}
	}
}

func TestPlatforms(t *testing.T) {
	arm := &storage.ImageConfig{OS: "linux", Architecture: "arm", Variant: "v7"}
	for wanted, fits := range map[string]bool{
		"linux": true, "arm": true, "linux/arm": true, "linux/arm/v7": true, "linux/arm/v6": false, "amd64": false, "linux/amd64": false, "windows/arm": false,
	} {
		if platformFits(wanted, arm) != fits {
			t.Errorf("%s fits linux/arm/v7: %v", wanted, !fits)
		}
	}
	if !platformFits("linux/x86_64", &storage.ImageConfig{OS: "linux", Architecture: "amd64"}) {
		t.Error("x86_64 is not amd64")
	}
}
