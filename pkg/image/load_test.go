package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

func compressed(t *testing.T, program string, data []byte) []byte {
	t.Helper()
	if program == "" {
		return data
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	cmd := exec.Command(program, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLoadReadsEveryFormatAndCompression(t *testing.T) {
	for _, format := range []string{"docker", "docker with gzip layers", "oci"} {
		for _, program := range []string{"", "gzip", "zstd", "xz", "bzip2"} {
			for _, stdin := range []bool{false, true} {
				t.Run(format+" "+program, func(t *testing.T) {
					s := newStore(t)
					p := simple(t, "example/simple:v1")
					p.gzip = format != "docker"
					data := p.docker(t)
					if format == "oci" {
						data = p.oci(t)
					}
					data = compressed(t, program, data)
					o := LoadOptions{File: written(t, data)}
					if stdin {
						o = LoadOptions{Input: bytes.NewReader(data)}
					}
					loaded, err := s.Load(context.Background(), o)
					if err != nil {
						t.Fatal(err)
					}
					if len(loaded) != 1 || len(loaded[0].Names) != 1 || loaded[0].Names[0].String() != "docker.io/example/simple:v1" {
						t.Fatalf("loaded %v", loaded)
					}
					if got := s.tree(t, "example/simple:v1")["etc/greeting"]; got != "hello" {
						t.Errorf("file holds %q", got)
					}
					if strings.Contains(s.state(t), "temporary") {
						t.Error(s.state(t))
					}
				})
			}
		}
	}
}

func TestLoadNames(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	p := simple(t, "busybox:latest", "localhost:5000/other:1")
	loaded, err := s.Load(ctx, LoadOptions{File: written(t, p.docker(t))})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"busybox", "localhost:5000/other:1", loaded[0].ID[:8]} {
		if img, err := s.lookup(ref); err != nil || img.ID != loaded[0].ID {
			t.Errorf("%s: %v, %v", ref, img, err)
		}
	}
	// The same name for another image moves it.
	p.change = func(c map[string]any) { c["author"] = "somebody else" }
	p.names = []string{"busybox:latest"}
	again, err := s.Load(ctx, LoadOptions{File: written(t, p.docker(t))})
	if err != nil {
		t.Fatal(err)
	}
	if img, err := s.lookup("busybox"); err != nil || img.ID != again[0].ID || img.ID == loaded[0].ID {
		t.Errorf("busybox is %v, %v", img, err)
	}
	// No name at all.
	for _, data := range [][]byte{simple(t).docker(t), simple(t).oci(t)} {
		s := newStore(t)
		loaded, err := s.Load(ctx, LoadOptions{File: written(t, data)})
		if err != nil || len(loaded) != 1 || len(loaded[0].Names) != 0 {
			t.Fatalf("%v, %v", loaded, err)
		}
		if _, err := s.lookup(loaded[0].ID); err != nil {
			t.Error(err)
		}
	}
	// An OCI name without a repository is of this machine.
	loaded, err = s.Load(ctx, LoadOptions{File: written(t, simple(t, "mine:2").oci(t))})
	if err != nil || loaded[0].Names[0].String() != "localhost/mine:2" {
		t.Errorf("%v, %v", loaded, err)
	}
}

func TestLoadOfALayoutDirectory(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	if err := unpackLayout(context.Background(), written(t, simple(t, "from-dir:1").oci(t)), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(context.Background(), LoadOptions{File: dir}); err != nil {
		t.Fatal(err)
	}
	if got := s.tree(t, "from-dir:1")["etc/greeting"]; got != "hello" {
		t.Errorf("file holds %q", got)
	}
}

// A blob that is a link to a file outside must not become part of an image.
func TestLoadOfALayoutDirectoryWithLinksOut(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	p := simple(t, "linked:1")
	if err := unpackLayout(context.Background(), written(t, p.oci(t)), dir); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "blobs/sha256", digest.FromBytes(p.config(t)).Encoded())
	outside := written(t, p.config(t))
	if err := errors.Join(os.Remove(config), os.Symlink(outside, config)); err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	_, err := s.Load(context.Background(), LoadOptions{File: dir})
	mustFailCleanly(t, s, before, err, "escapes")
}

// hostile archives, and the words that the one line of error must have. Those whose
// error is "" are loaded, and checked by inside.
func TestLoadOfHostileArchives(t *testing.T) {
	good := simple(t, "victim:1")
	layer := good.layers[0]
	otherLayer := pack(t, file{name: "etc/evil", body: "evil"})
	two := picture{names: []string{"victim:1"}, layers: [][]byte{pack(t, file{name: "first", body: "1"}), layer}}
	swapped := func(p picture, true, other []byte) picture {
		p.swap = map[digest.Digest][]byte{digest.FromBytes(true): other}
		return p
	}
	wrongDiffID := simple(t, "victim:1")
	wrongDiffID.diffIDs = []digest.Digest{digest.FromBytes(otherLayer)}
	crafted := simple(t, "victim:1")
	crafted.diffIDs = []digest.Digest{"sha256:../../../../../../etc/passwd"}
	badName := simple(t, "Invalid Name")
	config := good.config(t)
	truncatedTar := layer[:900] // within the header of the second entry

	for _, c := range []struct {
		name, words string
		data        []byte
	}{
		{"empty", "empty", nil},
		{"text", "not a tar archive", []byte(strings.Repeat("not a tar archive at all ", 100))},
		{"short text", "truncated", []byte("tiny")},
		{"truncated gzip", "truncated", gzipped(t, good.docker(t))[:200]},
		{"gzip with a flipped bit", "checksum", flip(gzipped(t, good.docker(t)))},
		{"truncated tar", "truncated", good.docker(t)[:1200]},
		{"no image", "no image in the archive", pack(t, file{name: "etc/passwd", body: "root"})},
		{"manifest is not JSON", "manifest.json", pack(t, file{name: "manifest.json", body: "{"})},
		{"manifest is a huge file", "exceeded maximum", pack(t, file{name: "manifest.json", body: strings.Repeat(" ", 2<<20)})},
		{"manifest is a link out", "", pack(t, file{name: "manifest.json", typ: tar.TypeSymlink, link: "/etc/passwd"})},
		{"no images in the manifest", "no image in the archive", pack(t, file{name: "manifest.json", body: "[]"})},
		{"config missing", "file does not exist", pack(t, file{name: "manifest.json", body: `[{"Config":"../../../etc/hostname","Layers":[]}]`})},
		{"invalid name", "invalid", badName.docker(t)},
		{"docker: layer is not what the config says", "Digest did not match", good.dockerWith(t, otherLayer)},
		{"docker: second layer is not what the config says", "Digest", swapped(two, two.layers[1], otherLayer).docker(t)},
		{"docker: diff id is a path", "invalid", crafted.docker(t)},
		{"docker: layer is a broken tar", "unexpected EOF", picture{names: good.names, layers: [][]byte{truncatedTar}}.docker(t)},
		{"oci: layer blob is another", "", swapped(good, gzipped(t, layer), gzipped(t, otherLayer)).oci(t)},
		{"oci: config blob is another", "", swapped(good, config, []byte(strings.Replace(string(config), "/bin/sh", "/bin/no", 1))).oci(t)},
		{"oci: layer is not what the config says", "does not match config's DiffID", wrongDiffID.oci(t)},
		{"oci: layer blob is truncated", "", swapped(good, gzipped(t, layer), gzipped(t, layer)[:60]).oci(t)},
		{"oci: index is not JSON", "index.json", pack(t, file{name: "oci-layout", body: "{}"}, file{name: "index.json", body: "<html>"})},
		{"oci: index is huge", "larger than", pack(t, file{name: "oci-layout", body: "{}"}, file{name: "index.json", body: strings.Repeat(" ", maxLayoutFile+1)})},
		{"oci: blob outside", "", pack(t, file{name: "oci-layout", body: "{}"}, file{name: "index.json", body: `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../../../../etc/passwd","size":10}]}`})},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			before := s.state(t)
			_, err := s.Load(context.Background(), LoadOptions{Input: bytes.NewReader(c.data)})
			mustFailCleanly(t, s, before, err, c.words)
		})
	}
}

// dockerWith packs p's names and configuration around another layer.
func (p picture) dockerWith(t *testing.T, layer []byte) []byte {
	q := p
	q.swap = map[digest.Digest][]byte{digest.FromBytes(p.layers[0]): layer}
	return q.docker(t)
}

func flip(data []byte) []byte {
	data[len(data)-6] ^= 0xff // in the checksum of gzip's trailer
	return data
}

// Layers whose entries try to reach out of their tree: either refused, or harmless.
func TestLoadOfLayersThatReachOut(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	for _, c := range []struct {
		name  string
		files []file
	}{
		{"file above", []file{{name: up + outside[1:] + "/made", body: "x"}}},
		{"file above through dots inside", []file{{name: "a/../" + up + outside[1:] + "/made", body: "x"}}},
		{"absolute file", []file{{name: outside + "/made", body: "x"}}},
		{"through an absolute link", []file{{name: "out", typ: tar.TypeSymlink, link: outside}, {name: "out/made", body: "x"}}},
		{"through a relative link", []file{{name: "out", typ: tar.TypeSymlink, link: up + outside[1:]}, {name: "out/made", body: "x"}}},
		{"hard link to a file outside", []file{{name: "stolen", typ: tar.TypeLink, link: secret}}},
		{"hard link above", []file{{name: "stolen", typ: tar.TypeLink, link: up + secret[1:]}}},
		{"hard link through a link", []file{{name: "out", typ: tar.TypeSymlink, link: outside}, {name: "stolen", typ: tar.TypeLink, link: "out/secret"}}},
		{"whiteout above", []file{{name: up + outside[1:] + "/.wh.secret"}}},
		{"whiteout through a link", []file{{name: "out", typ: tar.TypeSymlink, link: outside}, {name: "out/.wh.secret"}}},
		{"opaque through a link", []file{{name: "out", typ: tar.TypeSymlink, link: outside}, {name: "out/.wh..wh..opq"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			p := picture{names: []string{"hostile:1"}, layers: [][]byte{pack(t, c.files...)}}
			before := s.state(t)
			_, err := s.Load(context.Background(), LoadOptions{Input: bytes.NewReader(p.docker(t))})
			if err != nil {
				mustFailCleanly(t, s, before, err, "")
			} else {
				for name, content := range s.tree(t, "hostile:1") {
					if content == "secret" {
						t.Errorf("the image has the secret in %s", name)
					}
				}
			}
			if entries, _ := os.ReadDir(outside); len(entries) != 1 {
				t.Errorf("outside holds %v", entries)
			}
			if data, _ := os.ReadFile(secret); string(data) != "secret" {
				t.Errorf("the secret is %q", data)
			}
		})
	}
}

// What was loaded before a broken image of the same archive stays; what an image
// shared with the broken one stays too.
func TestFailureKeepsWhatOthersUse(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	shared := pack(t, file{name: "shared", body: "1"})
	if _, err := s.Load(ctx, LoadOptions{Input: bytes.NewReader(picture{names: []string{"base:1"}, layers: [][]byte{shared}}.docker(t))}); err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	top := pack(t, file{name: "top", body: "2"})
	bad := picture{names: []string{"child:1"}, layers: [][]byte{shared, top}, swap: map[digest.Digest][]byte{digest.FromBytes(top): shared}}
	_, err := s.Load(ctx, LoadOptions{Input: bytes.NewReader(bad.docker(t))})
	mustFailCleanly(t, s, before, err, "")
	if got := s.tree(t, "base:1")["shared"]; got != "1" {
		t.Errorf("the shared layer holds %q", got)
	}
}

// endless is an archive that never ends, until its reader is told to stop.
type endless struct{ stop func() }

func (e endless) Read(p []byte) (int, error) {
	e.stop()
	return len(p), nil
}

func TestInterruptedLoadLeavesNothing(t *testing.T) {
	s := newStore(t)
	before := s.state(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := s.Load(ctx, LoadOptions{Input: io.MultiReader(bytes.NewReader(make([]byte, 512)), endless{cancel})})
	mustFailCleanly(t, s, before, err, "interrupted")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not a cancellation", err)
	}
}

// A copy that is on its way ends at once: by the first progress, long before the layer's end.
func TestInterruptedCopyLeavesNothing(t *testing.T) {
	s := newStore(t)
	p := picture{names: []string{"large:1"}, layers: [][]byte{
		pack(t, file{name: "small", body: "x"}), pack(t, file{name: "large", body: strings.Repeat("0123456789abcdef", 1<<20)}),
	}}
	archive := written(t, p.docker(t))
	before := s.state(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := s.Load(ctx, LoadOptions{File: archive, Progress: func(e Event) {
		if e.State == Complete {
			t.Logf("complete: %s", e.Layer)
		}
		cancel()
	}})
	mustFailCleanly(t, s, before, err, "interrupted")
}

func TestSweepRemovesWhatAKilledCopyLeft(t *testing.T) {
	s := newStore(t)
	dead, err := s.newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	live, err := s.newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	defer live.remove()
	for _, w := range []*workdir{dead, live} {
		if err := os.WriteFile(filepath.Join(w.path, "half"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dead.lock.Close() // what the kernel does for a killed process
	s.sweep()
	if _, err := os.Stat(dead.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead copy's directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(live.path, "half")); err != nil {
		t.Errorf("the live copy's file: %v", err)
	}
}
