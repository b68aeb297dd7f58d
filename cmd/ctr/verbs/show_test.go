package verbs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctr/libpod/config"
	"ctr/libpod/state"
	"ctr/pkg/format"
	"ctr/storage"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func someContainer() *config.Container {
	return &config.Container{
		Version: 1, ID: strings.Repeat("0123456789abcdef", 4), Name: "web", Created: noon.Add(-70 * time.Second),
		Image:      config.ImageRef{Name: "busybox", ID: strings.Repeat("b", 64), OS: "linux", Volumes: []string{"/data"}},
		Entrypoint: []string{"sh"}, Cmd: []string{"-c", "echo hello"}, Env: []string{"PATH=/bin"},
		Labels: map[string]string{"b": "2", "a": "1"}, Exposed: []string{"80/tcp"},
		Networks: []config.Endpoint{{Network: "bridge"}},
		Mounts: []config.Mount{
			{Type: config.MountBind, Source: "/home/someone/long/path", Destination: "/w", Create: true},
			{Type: config.MountVolume, Source: "data", Destination: "/data"},
			{Type: config.MountTmpfs, Destination: "/tmp", Options: []string{"size=1m"}},
		},
	}
}

func TestStatusText(t *testing.T) {
	up := func(s state.Status, health string) state.State {
		st := state.State{Status: s, StartedAt: noon.Add(-3 * time.Second)}
		if health != "" {
			st.Health = &state.Health{Status: health}
		}
		return st
	}
	ended := state.Exit{Code: 3, FinishedAt: noon.Add(-2 * time.Minute)}
	for want, st := range map[string]state.State{
		"Up 3 seconds":                    up(state.Running, ""),
		"Up 3 seconds (healthy)":          up(state.Running, "healthy"),
		"Up 3 seconds (unhealthy)":        up(state.Running, "unhealthy"),
		"Up 3 seconds (health: starting)": up(state.Running, "starting"),
		"Up 3 seconds (Paused)":           up(state.Paused, "healthy"),
		"Exited (3) 2 minutes ago":        {Status: state.Exited, Exit: ended},
		"Restarting (3) 2 minutes ago":    {Status: state.Restarting, Exit: ended},
		"Created":                         {Status: state.Created},
		"Exited (255)":                    {Status: state.Exited, Exit: state.Exit{Code: 255, Unknown: true}},
	} {
		if got := statusText(st, noon); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func render(t *testing.T, source string, rows ...psRow) string {
	t.Helper()
	var b bytes.Buffer
	if err := format.Print(&b, format.Parse(source), psColumns(false), psHeaders, rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPsRows(t *testing.T) {
	running := state.State{Status: state.Running, StartedAt: noon.Add(-time.Minute)}
	row := newPsRow(someContainer(), running, noon, false)
	want := "CONTAINER ID   IMAGE     COMMAND                  CREATED              STATUS              PORTS     NAMES\n" +
		"0123456789ab   busybox   \"sh -c 'echo hello'\"   About a minute ago   Up About a minute   80/tcp    web\n"
	// Docker's quotes are outside the shortened command
	want = strings.Replace(want, "COMMAND                  CREATED", "COMMAND                CREATED", 1)
	if got := render(t, "", row); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for source, want := range map[string]string{
		`{{.ID}} {{.Names}} {{.State}} {{.Label "a"}}`: "0123456789ab web running 1\n",
		`table {{.Names}}\t{{.Labels}}`:                "NAMES     LABELS\nweb       a=1,b=2\n",
		`{{.Mounts}} {{.LocalVolumes}} {{.Networks}}`:  "/home/someone/…,data 1 bridge\n",
	} {
		if got := render(t, source, row); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
	full := newPsRow(someContainer(), running, noon, true)
	if len(full.ID) != 64 || full.Mounts != "/home/someone/long/path,data" {
		t.Errorf("with --no-trunc: %+v", full)
	}
	if stopped := newPsRow(someContainer(), state.State{Status: state.Exited}, noon, false); stopped.Ports != "" {
		t.Errorf("a stopped container has ports: %q", stopped.Ports)
	}
}

func TestPsJSONHasDockersKeys(t *testing.T) {
	line := render(t, "json", newPsRow(someContainer(), state.State{Status: state.Created}, noon, false))
	var got map[string]string
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Ports RunningFor Size State Status") {
		if _, found := got[key]; !found {
			t.Errorf("no %s in %s", key, line)
		}
	}
}

func TestPsFilters(t *testing.T) {
	c := someContainer()
	healthy := state.State{Status: state.Running, Health: &state.Health{Status: "healthy"}}
	exited := state.State{Status: state.Exited, Exit: state.Exit{Code: 3}}
	for _, test := range []struct {
		filter string
		st     state.State
		want   bool
	}{
		{"id=0123", healthy, true}, {"id=1234", healthy, true}, {"id=zzz", healthy, false},
		{"name=we", healthy, true}, {"name=^/web$", healthy, true}, {"name=^eb", healthy, false}, {"name=[", healthy, false},
		{"label=a", healthy, true}, {"label=a=1", healthy, true}, {"label=a=2", healthy, false}, {"label!=a", healthy, false}, {"label!=x", healthy, true},
		{"status=running", healthy, true}, {"status=exited", healthy, false},
		{"exited=3", exited, true}, {"exited=0", exited, false}, {"exited=3", healthy, false},
		{"health=healthy", healthy, true}, {"health=none", healthy, false}, {"health=none", exited, true},
		{"volume=data", healthy, true}, {"volume=/w", healthy, true}, {"volume=/x", healthy, false},
		{"network=bridge", healthy, true}, {"network=host", healthy, false},
		{"ancestor=busybox", healthy, true}, {"ancestor=debian", healthy, false},
		{"is-task=true", healthy, false}, {"is-task=false", healthy, true},
		{"expose=80", healthy, true}, {"expose=80/udp", healthy, false},
	} {
		privateStores(t)
		var o psOptions
		if err := filterFlag(&o.filters).value.Set(test.filter); err != nil {
			t.Fatal(err)
		}
		f, err := o.compile(nil)
		if err != nil {
			t.Fatalf("%s: %v", test.filter, err)
		}
		if got := f.config(c) && f.state(c, test.st); got != test.want {
			t.Errorf("%s with %s: %v", test.filter, test.st.Status, got)
		}
	}
}

func TestImageRows(t *testing.T) {
	list := []storage.Image{
		{ID: strings.Repeat("a", 64), Names: []string{"docker.io/library/busybox:latest", "localhost/b:1"}, Digest: "sha256:d", Created: noon.Add(-48 * time.Hour), Size: 4_260_000},
		{ID: strings.Repeat("c", 64), Size: 10},
	}
	show := func(o imagesOptions, source string) string {
		var b bytes.Buffer
		if err := format.Print(&b, format.Parse(source), imageColumns(o.digests), imageHeaders, imageRows(list, o, noon)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	want := "REPOSITORY    TAG       IMAGE ID       CREATED      SIZE\n" +
		"busybox       latest    aaaaaaaaaaaa   2 days ago   4.26MB\n" +
		"localhost/b   1         aaaaaaaaaaaa   2 days ago   4.26MB\n" +
		"<none>        <none>    cccccccccccc   N/A          10B\n"
	if got := show(imagesOptions{}, ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := show(imagesOptions{digests: true}, ""); !strings.Contains(got, "TAG       DIGEST     IMAGE ID") || !strings.Contains(got, "sha256:d") {
		t.Errorf("with --digests:\n%s", got)
	}
	if got := show(imagesOptions{noTrunc: true}, "{{.ID}}"); !strings.HasPrefix(got, "sha256:"+strings.Repeat("a", 64)+"\n") {
		t.Errorf("with --no-trunc: %s", got)
	}
}

func TestImageReferences(t *testing.T) {
	for pattern, fits := range map[string]bool{
		"busybox": true, "busybox:latest": true, "busy*": true, "*:latest": true, "docker.io/library/busybox": true, "*/*:latest": false, "busybox:1": false, "box": false,
	} {
		if matchesAny([]string{pattern}, "docker.io/library/busybox:latest") != fits {
			t.Errorf("%s: %v", pattern, !fits)
		}
	}
	for name, want := range map[string]string{"a/b:1": "a/b 1", "h:5000/a": "h:5000/a <none>", "h:5000/a:x@sha256:1": "h:5000/a x"} {
		if repository, tag := splitTag(name); repository+" "+tag != want {
			t.Errorf("%s: %s %s", name, repository, tag)
		}
	}
}

func TestDescribe(t *testing.T) {
	c := someContainer()
	st := state.State{
		Status: state.Running, Pid: 7, StartedAt: noon, Network: &state.Network{Endpoints: []state.Endpoint{{Network: "bridge", IPv4: "10.0.2.100/24", Gateway: "10.0.2.2"}}},
		Health: &state.Health{Status: "healthy"},
	}
	d := describe(c, st, places{dir: "/d/containers/x", run: "/r/x", volumes: "/d/volumes"})
	for source, want := range map[string]string{
		"{{.State.Health.Status}}":           "healthy",
		"{{.Id}}":                            c.ID,
		"{{.ID}}":                            c.ID,
		"{{.Name}} {{.Path}} {{json .Args}}": `/web sh ["-c","echo hello"]`,
		"{{.NetworkSettings.IPAddress}}":     "10.0.2.100",
		"{{.NetworkSettings.Networks.bridge.IPAddress}}":             "10.0.2.100",
		"{{range .Mounts}}{{.Type}}:{{.Source}} {{end}}":             "bind:/home/someone/long/path volume:/d/volumes/data/_data tmpfs: ",
		"{{.HostConfig.Binds}}":                                      "[/home/someone/long/path:/w data:/data]",
		"{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.ShmSize}}": "no 67108864",
		"{{.Config.Image}} {{.Config.Hostname}} {{.Image}}":          "busybox 0123456789ab sha256:" + strings.Repeat("b", 64),
		"{{json .Config.ExposedPorts}}":                              `{"80/tcp":{}}`,
		"{{.State.StartedAt}} {{.State.FinishedAt}}":                 "2026-03-04T12:00:00Z 0001-01-01T00:00:00Z",
	} {
		show, err := newRenderer(source)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := show(&b, []any{d}); err != nil || b.String() != want+"\n" {
			t.Errorf("%s: got %q, %v; want %q", source, b.String(), err, want)
		}
	}
	show, _ := newRenderer("{{.Nonsense}}")
	if err := show(&bytes.Buffer{}, []any{d}); err == nil || !strings.Contains(err.Error(), `map has no entry for key "Nonsense"`) {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestInspectJSONHasDockersKeys(t *testing.T) {
	data, err := json.Marshal(describe(someContainer(), state.State{Status: state.Created}, places{}))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields("Id Created Path Args State.Status State.ExitCode Image ResolvConfPath HostnamePath HostsPath LogPath Name " +
		"RestartCount Driver Platform AppArmorProfile HostConfig.Binds HostConfig.NetworkMode HostConfig.RestartPolicy.Name HostConfig.Dns " +
		"HostConfig.LogConfig.Type HostConfig.Privileged GraphDriver.Name Mounts Config.Env Config.Cmd Config.Labels NetworkSettings.IPAddress " +
		"NetworkSettings.Ports NetworkSettings.Networks.bridge.Gateway") {
		var at any = got
		for _, key := range strings.Split(path, ".") {
			m, _ := at.(map[string]any)
			value, found := m[key]
			if !found {
				t.Errorf("no %s", path)
				break
			}
			at = value
		}
	}
}

// manyContainers puts n containers on record, half of them ended.
func manyContainers(t testing.TB, dir string, n int) {
	t.Helper()
	store := state.Open(filepath.Join(dir, "data"), filepath.Join(dir, "run"))
	for i := range n {
		c := someContainer()
		c.ID, c.Name, c.Created = fmt.Sprintf("%064x", i+1), fmt.Sprintf("c%d", i), noon.Add(time.Duration(i)*time.Second)
		if err := store.Create(c, func(string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := store.WriteExit(c.ID, state.Exit{Code: i, StartedAt: noon, FinishedAt: noon}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPsReadsTheRecords(t *testing.T) {
	dir := privateStores(t)
	manyContainers(t, dir, 4)
	for line, want := range map[string]string{
		"ps -q":                      "",
		"ps -aq":                     "000000000000\n000000000000\n000000000000\n000000000000\n",
		"ps -a --format {{.Names}}":  "c3\nc2\nc1\nc0\n",
		"ps -n2 --format {{.Names}}": "c3\nc2\n",
		"ps -l --format {{.Names}}":  "c3\n",
		"ps -f status=exited --format {{.Names}}{{.Status}}": "",
		"ps -af before=c2 --format {{.Names}}":               "c1\nc0\n",
		"ps -a -f since=c2 --format {{.Names}}":              "c3\n",
		"ps -f exited=2 --format {{.Names}}":                 "c2\n",
		"ps -af name=c1 --no-trunc -q":                       fmt.Sprintf("%064x\n", 2),
		"inspect c1 nosuch --format {{.Name}}":               "/c1\n",
		"port c1":                                            "",
		"container ls -aq -f name=c0":                        "000000000000\n",
	} {
		got := ctrIn(t, dir, strings.Fields(line)...)
		if strings.Contains(line, "{{.Status}}") {
			if !strings.HasPrefix(got.out, "c2Exited (2) ") || !strings.Contains(got.out, "\nc0Exited (0) ") {
				t.Errorf("ctr %s: %+v", line, got)
			}
			continue
		}
		if got.out != want || (got.code != 0) != strings.Contains(line, "nosuch") {
			t.Errorf("ctr %s: %+v, want %q", line, got, want)
		}
	}
}

func TestPsShowsTheOthersWhenOneRecordIsDamaged(t *testing.T) {
	dir := privateStores(t)
	manyContainers(t, dir, 2)
	if err := os.WriteFile(filepath.Join(dir, "data/containers", fmt.Sprintf("%064x", 1), "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := ctrIn(t, dir, "ps", "-a", "--format", "{{.Names}}")
	if got.out != "c1\n" || got.code != 1 || !strings.Contains(got.err, "damaged") {
		t.Errorf("%+v", got)
	}
}

func TestHealthOfWhatDoesNotRun(t *testing.T) {
	c := someContainer()
	c.Health = &config.Health{Test: []string{"CMD", "true"}}
	for status, want := range map[state.Status]string{state.Created: "starting", state.Exited: "unhealthy"} {
		if got := describeState(c, state.State{Status: status}).Health; got == nil || got.Status != want {
			t.Errorf("%s: %+v, want %s", status, got, want)
		}
	}
	c.Health.Test = []string{"NONE"}
	if got := describeState(c, state.State{Status: state.Exited}).Health; got != nil {
		t.Errorf("a disabled check has a state: %+v", got)
	}
}
