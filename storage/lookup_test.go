package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	lib "go.podman.io/storage"
	"go.podman.io/storage/types"
)

func writeImages(t testing.TB, images []lib.Image) *Store {
	t.Helper()
	root := t.TempDir()
	must(t, os.Mkdir(root+"/overlay-images", 0o700))
	data, err := json.Marshal(images)
	must(t, err)
	must(t, os.WriteFile(root+"/overlay-images/images.json", data, 0o600))
	s, err := OpenAt(root)
	must(t, err)
	return s
}

func TestLookup(t *testing.T) {
	id := func(start string) string { return start + strings.Repeat("0", 64-len(start)) }
	sum := digest.FromString("manifest")
	other := digest.FromString("other")
	images := []lib.Image{
		{ID: id("aa1"), Names: []string{"docker.io/library/busybox:latest", "localhost/tool:latest"}, Digest: sum},
		{ID: id("aa2"), Names: []string{"localhost/busybox:latest", "localhost/mine:1.0"}},
		{ID: id("bb3"), Names: []string{"quay.io/team/tool:latest", "quay.io/team/unique:v1", "r.example:5000/a/b:latest"}},
		{ID: id("cc4"), Names: []string{"quay.io/one/twice:v1"}},
		{ID: id("dd5"), Names: []string{"quay.io/two/twice:v1", "docker.io/library/cc4:latest", "docker.io/user/app:latest"}},
		{ID: id("ee6"), BigDataDigests: map[string]digest.Digest{"manifest-" + other.String(): other}, Names: []string{"docker.io/library/old@" + other.String()}},
		{ID: id("ef7")},
	}
	s := writeImages(t, images)
	for ref, want := range map[string]string{
		"busybox":                                id("aa1"),
		"busybox:latest":                         id("aa1"),
		"library/busybox":                        id("aa1"),
		"docker.io/busybox":                      id("aa1"),
		"index.docker.io/library/busybox":        id("aa1"),
		"localhost/busybox":                      id("aa2"),
		"tool":                                   id("aa1"), // localhost before a name that ends so
		"mine:1.0":                               id("aa2"),
		"unique:v1":                              id("bb3"),
		"team/unique:v1":                         id("bb3"),
		"quay.io/team/unique:v1":                 id("bb3"),
		"r.example:5000/a/b":                     id("bb3"),
		"user/app":                               id("dd5"),
		"cc4":                                    id("dd5"), // a name wins over an ID
		"cc40":                                   id("cc4"),
		"aa1":                                    id("aa1"),
		"sha256:aa1":                             id("aa1"),
		"b":                                      id("bb3"),
		id("bb3"):                                id("bb3"),
		"sha256:" + id("bb3"):                    id("bb3"),
		"busybox@" + sum.String():                id("aa1"),
		"busybox:9@" + sum.String():              id("aa1"), // the digest says which
		"old@" + other.String():                  id("ee6"),
		"quay.io/team/unique:v1@" + sum.String(): "No such image: quay.io/team/unique:v1@" + sum.String(),
		"busybox@" + other.String():              "No such image: busybox@" + other.String(),
		"busybox:1":                              "No such image: busybox:1",
		"twice:v1":                               "No such image: twice:v1", // two names end so
		"a":                                      "No such image: a:latest", // so do two IDs begin
		"usy":                                    "No such image: usy:latest",
		"unique":                                 "No such image: unique:latest",
		id("12"):                                 "No such image: sha256:" + id("12"),
		"sha256:" + id("12"):                     "No such image: sha256:" + id("12"),
		"Busybox":                                "invalid reference format: repository name (library/Busybox) must be lowercase",
		"":                                       "invalid reference format",
		"a b":                                    "invalid reference format",
		`x","y`:                                  "invalid reference format",
	} {
		img, err := s.Lookup(ref)
		switch {
		case err == nil && img.ID != want:
			t.Errorf("Lookup(%q) = %s, want %s", ref, img.ID, want)
		case err != nil && err.Error() != want:
			t.Errorf("Lookup(%q): %v, want %s", ref, err, want)
		case err != nil && errors.Is(err, ErrImageUnknown) == errors.Is(err, ErrReference):
			t.Errorf("Lookup(%q): %v is of no kind, or of two", ref, err)
		}
	}
}

func TestReferencesAsTheDistributionLibrary(t *testing.T) {
	sum := digest.FromString("x").String()
	refs := []string{"sha256:abc", "a@sha256:12", "a@md5:" + sum[7:39], strings.Repeat("a", 256), "a:" + strings.Repeat("b", 129), sum[7:], sum}
	parts := []string{"", "a", "A", "localhost", "a.b", "a.b:5000", "[::1]:80", "docker.io", "index.docker.io", "a..b", "a__b", "a___b", "a---b", "-a", "a_", "library", "x:1", "x:", "a:b:c", "é", "a.b:", "A.b"}
	for _, first := range parts {
		for _, second := range parts {
			for _, end := range []string{"", ":tag", ":T.a_g-1", ":-tag", "@" + sum, ":t@" + sum, "@" + sum[:20]} {
				refs = append(refs, first+end, first+"/"+second+end, first+"/x/"+second+end)
			}
		}
	}
	for _, ref := range refs {
		want, wantErr := reference.ParseNormalizedNamed(ref)
		got, err := ParseReference(ref)
		if (err == nil) != (wantErr == nil) {
			t.Errorf("ParseReference(%q): %v; the library says %v", ref, err, wantErr)
			continue
		}
		if err != nil {
			continue
		}
		want = reference.TagNameOnly(want)
		if got.String() != want.String() || got.Familiar() != reference.FamiliarString(want) || got.Name() != want.Name() {
			t.Errorf("ParseReference(%q) = %s, %s; the library says %s, %s", ref, got, got.Familiar(), want, reference.FamiliarString(want))
		}
	}
}

func TestSettingsAsTheLibrary(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"STORAGE_DRIVER", "STORAGE_OPTS", "XDG_DATA_HOME", confEnv, confEnv + "_OVERRIDE"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("WHERE", dir)
	must(t, os.MkdirAll(dir+"/containers/storage.conf.d", 0o700))
	conf := dir + "/containers/storage.conf"
	must(t, os.WriteFile(conf, []byte("# all of it\n[storage] # here\ndriver = \"overlay2\"\ngraphroot = '$WHERE/graph/$UID'\nrunroot=\"/run/x\"\n"+
		"transient_store = false\n\n[storage.options]\nadditionalimagestores = [ # two\n  \"/one\", '/tw\\o',\n]\n"+
		"pull_options = {enable_partial_images = \"true\"}\n[storage.options.overlay]\nmountopt = \"nodev,metacopy=on\"\nmount_program = \"/bin/true\"\n"), 0o600))
	must(t, os.WriteFile(dir+"/containers/storage.conf.d/10.conf", []byte("[storage.options]\nadditionalimagestores = [\"/three\", {append = true}]\n"), 0o600))
	compare := func() {
		t.Helper()
		want, err := types.LoadStoreOptions(types.LoadOptions{})
		must(t, err)
		got, err := loadSettings()
		must(t, err)
		if got.graphRoot != want.GraphRoot || got.driver != want.GraphDriverName || got.imageStore != want.ImageStore {
			t.Errorf("%+v; the library says %+v", got, want)
		}
		for _, store := range got.additional {
			if !slices.Contains(want.GraphDriverOptions, "imagestore="+store) {
				t.Errorf("additional store %s; the library says %v", store, want.GraphDriverOptions)
			}
		}
	}
	compare()
	if s, _ := loadSettings(); !slices.Equal(s.additional, []string{"/one", `/tw\o`, "/three"}) || s.mountProgram != "/bin/true" {
		t.Errorf("%+v", s)
	}
	must(t, os.WriteFile(dir+"/other.conf", []byte("[storage]\nimagestore = \"/images\"\ngraphroot = \"/els\\\"ewhere\"\ndriver = \"vfs\""), 0o600))
	t.Setenv(confEnv+"_OVERRIDE", dir+"/other.conf")
	compare()
	os.Unsetenv(confEnv + "_OVERRIDE")
	t.Setenv(confEnv, dir+"/other.conf")
	compare()
	t.Setenv("STORAGE_DRIVER", "overlay")
	t.Setenv("STORAGE_OPTS", "imagestore=/only")
	compare()
	t.Setenv(confEnv, dir+"/missing.conf")
	if _, err := loadSettings(); err == nil {
		t.Error("a missing file that was asked for is no error")
	}
	must(t, os.WriteFile(dir+"/broken.conf", []byte("[storage]\n\ngraphroot = \"/x\n"), 0o600))
	t.Setenv(confEnv, dir+"/broken.conf")
	if _, err := loadSettings(); err == nil || !strings.Contains(err.Error(), "broken.conf: line 3") {
		t.Errorf("broken file: %v", err)
	}
}

func TestSettingsOfAnOrdinaryUserInTheNamespace(t *testing.T) {
	needRoot(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_DATA_HOME", "/data")
	t.Setenv("_CONTAINERS_ROOTLESS_UID", "1234")
	s, err := loadSettings()
	if err != nil || s.graphRoot != "/data/containers/storage" {
		t.Errorf("%+v, %v", s, err)
	}
	conf := filepath.Join(t.TempDir(), "storage.conf")
	must(t, os.WriteFile(conf, []byte("[storage]\nrootless_storage_path = \"/r/$UID\"\n"), 0o600))
	t.Setenv(confEnv, conf)
	if s, err = loadSettings(); err != nil || s.graphRoot != "/r/1234" {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzCursor checks that walking JSON never fails where decoding succeeds, finds the
// same texts, and ends whatever it is given.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{`[{"id":"ab","names":["x","y\""],"n":[1,{"a":null}]},{}]`, `[`, `null`, ` [ { "id" : "\\" } ] `, `[{"id":1e5,"x":true}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []map[string]json.RawMessage
		valid := json.Unmarshal(data, &want) == nil
		c := cursor{data: data}
		n := 0
		err := c.array(func() error {
			last := map[string]json.RawMessage{}
			if c.peek() == 'n' {
				_, err := c.value()
				n++
				return err
			}
			err := c.object(func(key []byte) error {
				value, err := c.value()
				last[text(key)] = value
				return err
			})
			if valid && n < len(want) {
				for key, value := range want[n] {
					if text(value) != text(last[key]) {
						t.Errorf("%s: %q, want %q", key, last[key], value)
					}
				}
			}
			n++
			return err
		})
		if valid && (err != nil || n != len(want)) {
			t.Errorf("%d elements, %v; want %d", n, err, len(want))
		}
	})
}

// manyImages makes a store of the given size as pulls leave it.
func manyImages(t testing.TB, count int) *Store {
	var images []lib.Image
	var layers []lib.Layer
	random := func() digest.Digest {
		var b [32]byte
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return digest.FromBytes(b[:])
	}
	for i := range count {
		parent := ""
		for range 5 {
			d := random()
			layers = append(layers, lib.Layer{ID: d.Encoded(), Parent: parent, Created: time.Now(), CompressedDigest: d, CompressedSize: 1 << 20,
				UncompressedDigest: random(), UncompressedSize: 3 << 20, UIDs: []uint32{0, 33, 1000}, GIDs: []uint32{0, 42, 1000}})
			parent = d.Encoded()
		}
		id, manifest, list := random(), random(), random()
		names := []string{fmt.Sprintf("docker.io/library/image%d:latest", i), fmt.Sprintf("registry.example.org/team/image%d:1.%d", i, i)}
		keys := []string{id.String(), "manifest-" + list.String(), "manifest-" + manifest.String(), "manifest"}
		images = append(images, lib.Image{ID: id.Encoded(), Digest: list, Names: names, NamesHistory: names, TopLayer: parent, Created: time.Now(),
			Metadata: `{"signature-sizes":{},"signatures-sizes":{"` + manifest.String() + `":null}}`, BigDataNames: keys,
			BigDataSizes:   map[string]int64{keys[0]: 6789, keys[1]: 1234, keys[2]: 2345, keys[3]: 2345},
			BigDataDigests: map[string]digest.Digest{keys[0]: id, keys[1]: list, keys[2]: manifest, keys[3]: manifest}})
	}
	s := writeImages(t, images)
	must(t, os.Mkdir(s.GraphRoot()+"/overlay-layers", 0o700))
	data, err := json.Marshal(layers)
	must(t, err)
	must(t, os.WriteFile(s.GraphRoot()+"/overlay-layers/layers.json", data, 0o600))
	return s
}

func BenchmarkLookup500(b *testing.B) {
	s := manyImages(b, 500)
	for b.Loop() {
		if _, err := s.Lookup("image499"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupUnknown500(b *testing.B) {
	s := manyImages(b, 500)
	for b.Loop() {
		if _, err := s.Lookup("nothing"); err == nil {
			b.Fatal("found")
		}
	}
}

func BenchmarkImages500(b *testing.B) {
	s := manyImages(b, 500)
	for b.Loop() {
		if list, err := s.Images(); err != nil || len(list) != 500 {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		if _, err := Open(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadStoreOptions is what Open does instead of.
func BenchmarkLoadStoreOptions(b *testing.B) {
	for b.Loop() {
		if _, err := types.LoadStoreOptions(types.LoadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeWhole500 is what Lookup does instead of.
func BenchmarkDecodeWhole500(b *testing.B) {
	s := manyImages(b, 500)
	for b.Loop() {
		data, err := os.ReadFile(s.GraphRoot() + "/overlay-images/images.json")
		must(b, err)
		var images []lib.Image
		must(b, json.NewDecoder(bytes.NewReader(data)).Decode(&images))
	}
}

func BenchmarkLayerDirs(b *testing.B) {
	f := newFixture(b, "overlay")
	top := ""
	for i := range 10 {
		top = f.layer(top, fmt.Sprint(i), "x")
	}
	for b.Loop() {
		if _, _, err := f.ours.LayerDirs(top); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConfig(b *testing.B) {
	f := newFixture(b, "overlay")
	f.image("", "localhost/x:latest")
	img, err := f.ours.Lookup("localhost/x")
	must(b, err)
	for b.Loop() {
		if _, err := f.ours.Config(img); err != nil {
			b.Fatal(err)
		}
	}
}
