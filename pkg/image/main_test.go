package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

func TestMain(m *testing.M) {
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

// newStore opens an empty store of the test's own, as root.
func newStore(t *testing.T) *Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("unpacks layers with their owners: needs root")
	}
	dir, err := os.MkdirTemp("", "ctr-image-") // a test's own name may hold commas, which overlay dislikes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return storeAt(t, dir)
}

func storeAt(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := OpenAt(storage.StoreOptions{
		GraphRoot: filepath.Join(dir, "graph"), RunRoot: filepath.Join(dir, "run"), GraphDriverName: "overlay",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.system.SystemRegistriesConfPath = os.DevNull
	s.system.SystemRegistriesConfDirPath = t.TempDir()
	s.system.BlobInfoCacheDir = t.TempDir()
	return s
}

// file is an entry of a tar archive; the zero type is a regular file.
type file struct {
	name, body, link string
	typ              byte
	mode             int64
	uid              int
}

func pack(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.typ, Linkname: f.link, Mode: f.mode, Uid: f.uid, Gid: f.uid, ModTime: time.Unix(1, 0)}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.body))
		}
		if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
			h.Devmajor, h.Devminor = 1, 3
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// picture is an image to be packed, and what to do wrong in it.
type picture struct {
	names   []string
	layers  [][]byte // plain tar streams
	gzip    bool
	arch    string
	diffIDs []digest.Digest             // instead of the true ones
	swap    map[digest.Digest][]byte    // other contents for blobs, by their true digest
	extra   []file                      // further entries
	change  func(config map[string]any) // of the configuration
}

func simple(t *testing.T, names ...string) picture {
	return picture{names: names, layers: [][]byte{pack(t, file{name: "etc/", typ: tar.TypeDir}, file{name: "etc/greeting", body: "hello"})}}
}

func (p picture) config(t *testing.T) []byte {
	ids := p.diffIDs
	if ids == nil {
		for _, l := range p.layers {
			ids = append(ids, digest.FromBytes(l))
		}
	}
	arch := p.arch
	if arch == "" {
		arch = "amd64"
	}
	config := map[string]any{
		"architecture": arch, "os": "linux", "created": "2024-01-01T00:00:00Z",
		"config": map[string]any{"Cmd": []string{"/bin/sh"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	}
	if p.change != nil {
		p.change(config)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (p picture) blob(data []byte) string {
	if other, ok := p.swap[digest.FromBytes(data)]; ok {
		return string(other)
	}
	return string(data)
}

// docker packs the image as `docker save` does.
func (p picture) docker(t *testing.T) []byte {
	config := p.config(t)
	configName := digest.FromBytes(config).Encoded() + ".json"
	var layers []string
	var files []file
	for i, l := range p.layers {
		name := string(rune('a'+i)) + "/layer.tar"
		layers = append(layers, name)
		body := p.blob(l)
		if p.gzip {
			body = string(gzipped(t, []byte(body)))
		}
		files = append(files, file{name: name, body: body})
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": p.names, "Layers": layers}})
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, file{name: configName, body: p.blob(config)}, file{name: "manifest.json", body: string(manifest)})
	return pack(t, append(files, p.extra...)...)
}

// blobs are an OCI image's blobs and its manifest.
func (p picture) blobs(t *testing.T) (blobs map[digest.Digest]string, manifest []byte) {
	blobs = map[digest.Digest]string{}
	descriptor := func(mediaType string, data []byte) map[string]any {
		d := digest.FromBytes(data)
		blobs[d] = p.blob(data)
		return map[string]any{"mediaType": mediaType, "digest": d, "size": len(data)}
	}
	var layers []any
	for _, l := range p.layers {
		layers = append(layers, descriptor("application/vnd.oci.image.layer.v1.tar+gzip", gzipped(t, l)))
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor("application/vnd.oci.image.config.v1+json", p.config(t)), "layers": layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs, manifest
}

// oci packs the image as an OCI layout.
func (p picture) oci(t *testing.T) []byte {
	blobs, manifest := p.blobs(t)
	md := digest.FromBytes(manifest)
	blobs[md] = p.blob(manifest)
	desc := map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": md, "size": len(manifest)}
	if len(p.names) > 0 {
		desc["annotations"] = map[string]string{"org.opencontainers.image.ref.name": p.names[0]}
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{desc}})
	if err != nil {
		t.Fatal(err)
	}
	files := []file{{name: "oci-layout", body: `{"imageLayoutVersion":"1.0.0"}`}, {name: "index.json", body: string(index)}}
	for d, data := range blobs {
		files = append(files, file{name: "blobs/" + d.Algorithm().String() + "/" + d.Encoded(), body: data})
	}
	return pack(t, append(files, p.extra...)...)
}

// written puts data into a file of the test's.
func written(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// tree lists the files of an image's top layer with their contents.
func (s *Store) tree(t *testing.T, ref string) map[string]string {
	t.Helper()
	img, err := s.lookup(ref)
	if err != nil {
		t.Fatal(err)
	}
	base, lower, err := s.reader.LayerDirs(img.TopLayer)
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.EvalSymlinks(filepath.Join(base, lower[0]))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			found[name] = string(data)
			return err
		}
		found[name] = d.Type().String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// state lists what the store holds: images with their names, layers, and anything
// left in the directory of temporary files.
func (s *Store) state(t *testing.T) string {
	t.Helper()
	var lines []string
	images, err := s.store.Images()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		lines = append(lines, "image "+i.ID+" "+strings.Join(i.Names, " "))
	}
	layers, err := s.store.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		lines = append(lines, "layer "+l.ID)
	}
	entries, err := os.ReadDir(s.scratch)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != copiesLock {
			lines = append(lines, "temporary "+e.Name())
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// mustFailCleanly demands one line of an error with the words, and that the store
// is as it was.
func mustFailCleanly(t *testing.T, s *Store, before string, err error, words string) {
	t.Helper()
	switch {
	case err == nil:
		t.Error("no error")
	case !strings.Contains(err.Error(), words):
		t.Errorf("error %q does not say %q", err, words)
	case strings.Contains(err.Error(), "\n"):
		t.Errorf("error has several lines: %q", err)
	}
	if after := s.state(t); after != before {
		t.Errorf("the store was changed:\n%s\nbefore:\n%s", after, before)
	}
	if err != nil {
		t.Log(err)
	}
}
