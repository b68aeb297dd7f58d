package image

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.podman.io/image/v5/manifest"
)

func TestImport(t *testing.T) {
	ctx := context.Background()
	root := pack(t, file{name: "bin/", typ: '5'}, file{name: "bin/sh", body: "#!"})
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(written(t, root)))))
	defer server.Close()
	for _, program := range []string{"", "gzip", "zstd", "xz"} {
		t.Run(program, func(t *testing.T) {
			s := newStore(t)
			data := compressed(t, program, root)
			id, err := s.Import(ctx, ImportOptions{
				Source: "-", Input: bytes.NewReader(data), Name: "rootfs", Message: "first",
				Changes: []string{"CMD /bin/sh", "ENV A=1"}, Platform: "linux/arm64",
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.tree(t, "rootfs:latest")["bin/sh"]; got != "#!" {
				t.Errorf("file holds %q", got)
			}
			img, err := s.lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			config, err := s.reader.Config(img)
			if err != nil {
				t.Fatal(err)
			}
			if config.Architecture != "arm64" || strings.Join(config.Cmd, " ") != "/bin/sh -c /bin/sh" || strings.Join(config.Env, " ") != "A=1" {
				t.Errorf("config %+v", config)
			}
		})
	}
	t.Run("file and url, same name", func(t *testing.T) {
		s := newStore(t)
		first, err := s.Import(ctx, ImportOptions{Source: written(t, root), Name: "rootfs:1"})
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Import(ctx, ImportOptions{Source: server.URL + "/archive", Name: "rootfs:1"})
		if err != nil {
			t.Fatal(err)
		}
		if img, err := s.lookup("rootfs:1"); err != nil || img.ID != second || first == second {
			t.Errorf("rootfs:1 is %v, %v; imported %s, %s", img, err, first, second)
		}
	})
}

func TestImportOfBadInput(t *testing.T) {
	root := pack(t, file{name: "bin/sh", body: strings.Repeat("sh", 4000)})
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, c := range []struct {
		name, words string
		o           ImportOptions
		data        []byte
	}{
		{"empty", "importing -: the archive is empty", ImportOptions{Source: "-"}, nil},
		{"text", "", ImportOptions{Source: "-"}, []byte(strings.Repeat("text ", 500))},
		{"truncated tar", "", ImportOptions{Source: "-"}, root[:1000]},
		{"truncated gzip", "truncated", ImportOptions{Source: "-"}, gzipped(t, root)[:80]},
		{"no such file", "importing /none: no such file", ImportOptions{Source: "/none"}, nil},
		{"directory", "it is a directory", ImportOptions{Source: os.TempDir()}, nil},
		{"404", "404", ImportOptions{Source: server.URL + "/x"}, nil},
		{"bad change", `invalid change "RUN ls": RUN is not one of`, ImportOptions{Source: "-", Changes: []string{"RUN ls"}}, root},
		{"bad name", "invalid reference format", ImportOptions{Source: "-", Name: "Bad"}, root},
		{"digest name", "digest reference", ImportOptions{Source: "-", Name: "x@sha256:" + strings.Repeat("0", 64)}, root},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			before := s.state(t)
			c.o.Input = bytes.NewReader(c.data)
			_, err := s.Import(context.Background(), c.o)
			mustFailCleanly(t, s, before, err, c.words)
		})
	}
}

func TestParseChanges(t *testing.T) {
	c, err := ParseChanges([]string{
		`CMD ["a", "b c"]`, `entrypoint run me`, `ENV A=1 B="two words" C=three\ four`, `ENV A 9 9`, `EXPOSE 80 53/udp`,
		`LABEL "org.x"='y z'`, `USER 1:2`, `VOLUME ["/a b"]`, `VOLUME /c /d`, `WORKDIR /srv`, `WORKDIR sub`, `STOPSIGNAL SIGINT`,
		`ONBUILD RUN x`, `HEALTHCHECK --interval=5s --retries=3 --start-period=1m CMD curl -f "http://x"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &manifest.Schema2Config{
		Cmd: []string{"a", "b c"}, Entrypoint: []string{"/bin/sh", "-c", "run me"},
		Env:          []string{"B=two words", "C=three four", "A=9 9"},
		ExposedPorts: manifest.Schema2PortSet{"80/tcp": {}, "53/udp": {}},
		Labels:       map[string]string{"org.x": "y z"}, User: "1:2",
		Volumes:    map[string]struct{}{"/a b": {}, "/c": {}, "/d": {}},
		WorkingDir: "/srv/sub", StopSignal: "SIGINT", OnBuild: []string{"RUN x"},
		Healthcheck: &manifest.Schema2HealthConfig{
			Test: []string{"CMD-SHELL", `curl -f "http://x"`}, Interval: 5 * time.Second, StartPeriod: time.Minute, Retries: 3,
		},
	}
	if !reflect.DeepEqual(c, want) {
		got, _ := json.Marshal(c)
		wanted, _ := json.Marshal(want)
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	for _, bad := range []string{
		"", "CMD", "RUN ls", "ENV A", "ENV A=1 B", `LABEL a="b`, "EXPOSE 0", "EXPOSE 70000", "EXPOSE 80/icmp", "HEALTHCHECK",
		"HEALTHCHECK x", "HEALTHCHECK CMD", "HEALTHCHECK --interval=x CMD y", "HEALTHCHECK --retries=0 CMD y", "HEALTHCHECK --what=1 CMD y",
	} {
		if _, err := ParseChanges([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
