package image

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
)

func TestPull(t *testing.T) {
	s, r, ctx := newStore(t), newRegistry(t), context.Background()
	d, _ := r.put(t, "team/app", "v1", simple(t))
	ref := r.host() + "/team/app:v1"
	var events []Event
	pulled, err := s.Pull(ctx, ref, PullOptions{Progress: func(e Event) { events = append(events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	if pulled.Name.String() != ref || pulled.Digest != d || !pulled.New || pulled.Warning != "" {
		t.Errorf("pulled %+v", pulled)
	}
	if got := s.tree(t, ref)["etc/greeting"]; got != "hello" {
		t.Errorf("file holds %q", got)
	}
	if len(events) < 2 || events[0].State != Started || events[len(events)-1].State != Complete {
		t.Errorf("events %+v", events)
	}

	again, err := s.Pull(ctx, ref, PullOptions{})
	if err != nil || again.New || again.ID != pulled.ID {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	byDigest, err := s.Pull(ctx, r.host()+"/team/app:ignored@"+d.String(), PullOptions{})
	if err != nil || byDigest.ID != pulled.ID {
		t.Errorf("by digest: %+v, %v", byDigest, err)
	}
	if img, err := s.lookup(r.host() + "/team/app@" + d.String()); err != nil || img.ID != pulled.ID {
		t.Errorf("lookup by digest: %v, %v", img, err)
	}
}

func TestPullChoosesThePlatform(t *testing.T) {
	s, r, ctx := newStore(t), newRegistry(t), context.Background()
	arm := picture{layers: [][]byte{pack(t, file{name: "arch", body: "arm"})}}
	list := r.putIndex(t, "app", "1", map[string]picture{"amd64": simple(t), "arm64": arm})
	ref := r.host() + "/app:1"

	pulled, err := s.Pull(ctx, ref, PullOptions{Platform: "linux/arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.tree(t, ref)["arch"]; got != "arm" {
		t.Errorf("file holds %q", got)
	}
	if pulled.Digest != list {
		t.Errorf("digest %s is not the index's %s", pulled.Digest, list)
	}
	before := s.state(t)
	_, err = s.Pull(ctx, ref, PullOptions{Platform: "linux/s390x"})
	mustFailCleanly(t, s, before, err, "no matching manifest for linux/s390x in the manifest list entries")

	only := simple(t)
	only.arch = "arm64"
	r.put(t, "single", "1", only)
	_, err = s.Pull(ctx, r.host()+"/single:1", PullOptions{Platform: "linux/amd64"})
	mustFailCleanly(t, s, before, err, "image is for linux/arm64, not for the specified platform (linux/amd64)")
	foreign, err := s.Pull(ctx, r.host()+"/single:1", PullOptions{})
	if err != nil || !strings.Contains(foreign.Warning, "linux/arm64") {
		t.Errorf("%+v, %v", foreign, err)
	}
}

func TestPullWithCredentials(t *testing.T) {
	s, r, ctx := newStore(t), newRegistry(t), context.Background()
	r.put(t, "private", "1", simple(t))
	r.user = "alice"
	ref := r.host() + "/private:1"
	before := s.state(t)
	_, err := s.Pull(ctx, ref, PullOptions{AuthFile: written(t, []byte("{}"))})
	mustFailCleanly(t, s, before, err, "unauthorized")

	auth := filepath.Join(t.TempDir(), "auth.json")
	for password, works := range map[string]bool{"wrong": false, "secret": true} {
		token := base64.StdEncoding.EncodeToString([]byte("alice:" + password))
		if err := os.WriteFile(auth, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, r.host(), token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pull(ctx, ref, PullOptions{AuthFile: auth}); (err == nil) != works {
			t.Errorf("with the password %q: %v", password, err)
		}
	}
}

func TestPullOfBadAnswers(t *testing.T) {
	good := simple(t)
	layer := gzipped(t, good.layers[0])
	layerDigest := digest.FromBytes(layer)
	other := string(gzipped(t, pack(t, file{name: "evil"})))
	html := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>Please log in to this hotel's network</html>")
	}
	for _, c := range []struct {
		name, words string
		damage      func(r *registry)
	}{
		{"no such image", "manifest unknown", func(r *registry) { r.manifests = nil }},
		{"no such layer", "", func(r *registry) { delete(r.blobs, layerDigest) }},
		{"layer of other content", "Digest did not match", func(r *registry) { r.blobs[layerDigest] = other }},
		{"layer cut short", "", func(r *registry) { r.blobs[layerDigest] = string(layer[:50]) }},
		{"layer broken off", "EOF", func(r *registry) { r.cut(layerDigest, len(layer)) }},
		{"HTML everywhere", "", func(r *registry) { r.answer = html }},
		{"HTML as manifest", "", func(r *registry) { r.manifests["app:1"] = "<html>no</html>" }},
		{"manifest is huge", "exceeded maximum", func(r *registry) {
			r.manifests["app:1"] = `{"schemaVersion":2,"x":"` + strings.Repeat("x", 5<<20) + `"}`
		}},
		{"server error", "500", func(r *registry) {
			r.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
		}},
		{"forbidden", "", func(r *registry) {
			r.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
		}},
		{"config of other content", "does not match", func(r *registry) {
			r.blobs[digest.FromBytes(good.config(t))] = strings.Replace(string(good.config(t)), "/bin/sh", "/bin/no", 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := newStore(t), newRegistry(t)
			r.put(t, "app", "1", good)
			c.damage(r)
			before := s.state(t)
			_, err := s.Pull(context.Background(), r.host()+"/app:1", PullOptions{})
			mustFailCleanly(t, s, before, err, c.words)
			if err != nil && !strings.HasPrefix(err.Error(), "pulling "+r.host()+"/app:1: ") {
				t.Errorf("error does not say what was pulled: %v", err)
			}
		})
	}
}

// cut makes the registry close the connection in the middle of a blob, again and again.
func (r *registry) cut(d digest.Digest, size int) {
	r.answer = func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, d.String()) {
			r.answer = nil
			r.serve(w, req)
			r.cut(d, size)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		fmt.Fprint(w, r.blobs[d][:40])
		panic(http.ErrAbortHandler)
	}
}

func TestPullWithoutARegistry(t *testing.T) {
	s := newStore(t)
	before := s.state(t)
	_, err := s.Pull(context.Background(), "127.0.0.1:1/x", PullOptions{})
	mustFailCleanly(t, s, before, err, "pulling 127.0.0.1:1/x:latest: pinging container registry 127.0.0.1:1")
	_, err = s.Pull(context.Background(), "UPPER", PullOptions{})
	mustFailCleanly(t, s, before, err, "invalid reference format")
	_, err = s.Pull(context.Background(), "x", PullOptions{Platform: "linux//"})
	mustFailCleanly(t, s, before, err, "invalid platform")
}

// A registry elsewhere is not spoken to without TLS unless that was allowed.
func TestPullInsecure(t *testing.T) {
	s, r, ctx := newStore(t), newRegistry(t), context.Background()
	r.put(t, "app", "1", simple(t))
	no, yes := false, true
	before := s.state(t)
	_, err := s.Pull(ctx, r.host()+"/app:1", PullOptions{Insecure: &no})
	mustFailCleanly(t, s, before, err, "HTTP")
	if _, err := s.Pull(ctx, r.host()+"/app:1", PullOptions{Insecure: &yes}); err != nil {
		t.Error(err)
	}
}

func TestShortNames(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "registries.conf")
	sys := s.systemFor(Platform{}, "")
	sys.SystemRegistriesConfPath, sys.SystemRegistriesConfDirPath = conf, filepath.Join(dir, "none")
	sys.UserShortNameAliasConfPath = filepath.Join(dir, "aliases")
	write := func(text string) {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func(ref string) string {
		all, err := remoteNames(sys, ref)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, n := range all {
			text = append(text, n.String())
		}
		return strings.Join(text, " ")
	}
	for _, c := range []struct{ conf, ref, want string }{
		{"", "debian", "docker.io/library/debian:latest"},
		{"", "user/x:1", "docker.io/user/x:1"},
		{"", "docker.io/debian", "docker.io/library/debian:latest"},
		{`unqualified-search-registries = ["a.example", "b.example"]`, "debian:12", "a.example/debian:12 b.example/debian:12"},
		{`unqualified-search-registries = ["a.example"]`, "docker.io/debian:12", "docker.io/library/debian:12"},
		{`unqualified-search-registries = ["a.example"]`, "c.example/debian", "c.example/debian:latest"},
		{"[aliases]\n\"centos\" = \"a.example/centos/centos\"", "centos:7", "a.example/centos/centos:7"},
	} {
		write(c.conf)
		sys.SystemRegistriesConfPath = conf
		sysregistriesv2.InvalidateCache()
		if got := names(c.ref); got != c.want {
			t.Errorf("%q, %s: got %s, want %s", c.conf, c.ref, got, c.want)
		}
	}
}

func TestTags(t *testing.T) {
	s, r := newStore(t), newRegistry(t)
	for _, tag := range []string{"1", "2"} {
		r.put(t, "app", tag, simple(t))
	}
	tags, err := s.Tags(context.Background(), r.host()+"/app", PullOptions{})
	if err != nil || len(tags) != 2 {
		t.Errorf("%v, %v", tags, err)
	}
	_, err = s.Tags(context.Background(), "127.0.0.1:1/app", PullOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "listing the tags of 127.0.0.1:1/app: ") {
		t.Error(err)
	}
}

func TestPolicy(t *testing.T) {
	s, r, ctx := newStore(t), newRegistry(t), context.Background()
	r.put(t, "app", "1", simple(t))
	before := s.state(t)
	s.system.SignaturePolicyPath = written(t, []byte(`{"default":[{"type":"reject"}]}`))
	_, err := s.Pull(ctx, r.host()+"/app:1", PullOptions{})
	mustFailCleanly(t, s, before, err, "rejected by policy")
	s.system.SignaturePolicyPath = written(t, []byte(`{`))
	_, err = s.Pull(ctx, r.host()+"/app:1", PullOptions{})
	mustFailCleanly(t, s, before, err, "reading policy.json")
	s.system.SignaturePolicyPath = filepath.Join(t.TempDir(), "missing")
	if _, err := s.Pull(ctx, r.host()+"/app:1", PullOptions{}); err != nil {
		t.Errorf("without a policy.json: %v", err)
	}
}
