package storage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	lib "go.podman.io/storage"
)

// fixture is a store that the library writes and we read.
type fixture struct {
	t     testing.TB
	lib   lib.Store
	ours  *Store
	count int
}

func newFixture(t testing.TB, driver string) *fixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the library changes owners in its store")
	}
	root := t.TempDir()
	store, err := lib.GetStore(lib.StoreOptions{RunRoot: root + "/run", GraphRoot: root + "/graph", GraphDriverName: driver})
	if err != nil {
		t.Skipf("containers/storage does not run here with driver %s: %v", driver, err)
	}
	t.Cleanup(func() { store.Shutdown(true) })
	ours, err := OpenAt(root + "/graph")
	must(t, err)
	ours.driver = driver
	return &fixture{t: t, lib: store, ours: ours}
}

// layer adds a layer with one file.
func (f *fixture) layer(parent, file, content string) string {
	f.t.Helper()
	layer, _, err := f.lib.PutLayer("", parent, nil, "", false, nil, bytes.NewReader(archive(f.t, file, content)))
	must(f.t, err)
	return layer.ID
}

func archive(t testing.TB, file, content string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o751}))
	must(t, w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write([]byte(content))
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// image adds an image as containers/image does: named by its configuration's digest.
func (f *fixture) image(top string, names ...string) string {
	f.t.Helper()
	f.count++
	config := fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","config":{"Env":["N=%d"],"Cmd":["sh"],"Volumes":{"/b":{},"/a":{}},`+
		`"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000}},"rootfs":{"type":"layers","diff_ids":[]}}`, f.count)
	id := digest.FromBytes(config)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, id)
	img, err := f.lib.CreateImage(id.Encoded(), names, top, `{"signature":"\"quoted\""}`, &lib.ImageOptions{
		CreationDate: time.Date(2024, 1, f.count%28+1, 0, 0, 0, 0, time.UTC), Digest: digest.FromBytes(manifest),
		BigData: []lib.ImageBigDataOption{
			{Key: id.String(), Data: config, Digest: id},
			{Key: "manifest", Data: manifest, Digest: digest.FromBytes(manifest)},
			{Key: "manifest-" + digest.FromBytes(manifest).String(), Data: manifest, Digest: digest.FromBytes(manifest)},
		},
	})
	must(f.t, err)
	return img.ID
}

// agree compares all that we read with what the library says.
func (f *fixture) agree() {
	f.t.Helper()
	want, err := f.lib.Images()
	must(f.t, err)
	got, err := f.ours.Images()
	must(f.t, err)
	if len(got) != len(want) {
		f.t.Fatalf("%d images, the library has %d", len(got), len(want))
	}
	for i := range want {
		f.agreeOn(&got[i], &want[i])
	}
}

func (f *fixture) agreeOn(g *Image, w *lib.Image) {
	f.t.Helper()
	digests := []string{}
	for _, d := range w.Digests {
		digests = append(digests, d.String())
	}
	slices.Sort(digests)
	ours := slices.Sorted(slices.Values(g.Digests))
	if g.ID != w.ID || !slices.Equal(g.Names, w.Names) || g.Digest != w.Digest.String() || !slices.Equal(ours, digests) ||
		g.TopLayer != w.TopLayer || !g.Created.Equal(w.Created) || g.ReadOnlyStore != w.ReadOnly {
		f.t.Errorf("image\n%+v, the library has\n%+v", g, w)
	}
	size, err := f.lib.ImageSize(w.ID)
	must(f.t, err)
	if g.Size != size {
		f.t.Errorf("image %s: size %d, the library says %d", g.ID, g.Size, size)
	}
	for _, key := range w.BigDataNames {
		data, err := f.lib.ImageBigData(w.ID, key)
		must(f.t, err)
		ours, err := f.ours.BigData(g, key)
		if err != nil || !bytes.Equal(ours, data) {
			f.t.Errorf("data %q: %q, %v; the library has %q", key, ours, err, data)
		}
	}
	if w.TopLayer != "" {
		f.agreeOnLayers(w.TopLayer)
	}
	for _, ref := range append([]string{w.ID, "sha256:" + w.ID, w.ID[:20]}, w.Names...) {
		if img, err := f.ours.Lookup(ref); err != nil || img.ID != w.ID {
			f.t.Errorf("Lookup(%q): %v, %v", ref, img, err)
		}
	}
}

func (f *fixture) agreeOnLayers(top string) {
	f.t.Helper()
	var want []string
	for id := top; id != ""; {
		layer, err := f.lib.Layer(id)
		must(f.t, err)
		want = append(want, id)
		id = layer.Parent
	}
	base, lower, err := f.ours.LayerDirs(top)
	must(f.t, err)
	var got []string
	for _, dir := range lower {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(base, dir)
		}
		real, err := filepath.EvalSymlinks(dir)
		must(f.t, err)
		got = append(got, filepath.Base(filepath.Dir(real)))
		if f.ours.driver == "vfs" {
			got[len(got)-1] = filepath.Base(real)
			want = want[:1]
		}
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("layers of %s: %v, the library has %v", top, got, want)
	}
}

func TestReadsWhatTheLibraryWrites(t *testing.T) {
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			f := newFixture(t, driver)
			if list, err := f.ours.Images(); err != nil || len(list) != 0 {
				t.Fatalf("empty store: %v, %v", list, err)
			}
			bottom := f.layer("", "a", "bottom")
			top := f.layer(f.layer(bottom, "b", "middle"), "c", "top")
			plain, err := f.lib.CreateLayer("", bottom, nil, "", false, nil) // without an archive: no recorded size
			must(t, err)
			one := f.image(top, "docker.io/library/one:latest", "quay.io/x/one:1.0")
			two := f.image(bottom, "localhost/two:latest")
			if driver == "overlay" { // vfs layers hold their parents' files too
				f.image(plain.ID)
			}
			f.image("", "docker.io/library/empty:latest")
			f.agree()
			must(t, f.lib.AddNames(two, []string{"docker.io/library/one:latest"})) // takes it from the other
			f.agree()
			_, err = f.lib.DeleteImage(one, true)
			must(t, err)
			f.agree()
			if _, err := f.ours.Lookup("quay.io/x/one:1.0"); !errors.Is(err, ErrImageUnknown) {
				t.Errorf("deleted image: %v", err)
			}
			if _, _, err := f.ours.LayerDirs(top); !errors.Is(err, ErrLayerUnknown) {
				t.Errorf("deleted layer: %v", err)
			}
		})
	}
}

func TestReadsWhileTheLibraryWrites(t *testing.T) {
	f := newFixture(t, "overlay")
	bottom := f.layer("", "a", "bottom")
	f.image(bottom, "docker.io/library/stays:latest")
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				img, err := f.ours.Lookup("stays")
				if err != nil {
					t.Errorf("Lookup: %v", err)
					return
				}
				if _, _, err := f.ours.LayerDirs(img.TopLayer); err != nil {
					t.Errorf("LayerDirs: %v", err)
				}
				if _, err := f.ours.Config(img); err != nil {
					t.Errorf("Config: %v", err)
				}
				if list, err := f.ours.Images(); err != nil || len(list) == 0 {
					t.Errorf("Images: %v, %v", list, err)
				}
			}
		})
	}
	for i := range 20 {
		id := f.image(f.layer(bottom, "b", "x"), fmt.Sprintf("docker.io/library/comes:%d", i))
		if i%2 == 0 {
			_, err := f.lib.DeleteImage(id, true)
			must(t, err)
		}
	}
	close(done)
	readers.Wait()
	f.agree()
}

func TestAdditionalStore(t *testing.T) {
	f := newFixture(t, "overlay")
	extra := newFixture(t, "overlay")
	extra.count = 1000
	shared := extra.layer("", "s", "shared")
	extra.image(shared, "docker.io/library/shared:latest")
	f.image(f.layer("", "o", "own"), "docker.io/library/own:latest")
	_, err := extra.lib.Shutdown(true)
	must(t, err)
	readOnly := extra.ours.GraphRoot() + "-ro" // the library keeps locks by path, as writable ones
	must(t, os.Rename(extra.ours.GraphRoot(), readOnly))
	ours, err := OpenAt(f.ours.GraphRoot(), readOnly)
	must(t, err)
	list, err := ours.Images()
	must(t, err)
	if len(list) != 2 || list[0].ReadOnlyStore || !list[1].ReadOnlyStore {
		t.Fatalf("images: %+v", list)
	}
	img, err := ours.Lookup("shared")
	must(t, err)
	if _, err := ours.Config(img); err != nil {
		t.Error(err)
	}
	// A layer in our own store whose parent is in the other: its short link is there.
	store, err := lib.GetStore(lib.StoreOptions{
		RunRoot: filepath.Join(t.TempDir(), "run"), GraphRoot: f.ours.GraphRoot() + "2", GraphDriverName: "overlay",
		GraphDriverOptions: []string{"overlay.imagestore=" + readOnly},
	})
	must(t, err)
	defer store.Shutdown(true)
	layer, _, err := store.PutLayer("", shared, nil, "", false, nil, bytes.NewReader(archive(t, "child", "x")))
	must(t, err)
	ours, err = OpenAt(f.ours.GraphRoot()+"2", readOnly)
	must(t, err)
	base, lower, err := ours.LayerDirs(layer.ID)
	must(t, err)
	r := Rootfs{Base: base, Lower: lower}
	for i, file := range []string{"child", "s"} {
		if !exists(filepath.Join(r.path(lower[i]), file)) {
			t.Errorf("%s is not in layer directory %s", file, lower[i])
		}
	}
}

func TestLayersWithoutShortLinks(t *testing.T) {
	f := newFixture(t, "overlay")
	top := f.layer(f.layer("", "a", "1"), "b", "2")
	must(t, os.RemoveAll(filepath.Join(f.ours.GraphRoot(), "overlay/l")))
	f.agreeOnLayers(top)
	must(t, os.WriteFile(filepath.Join(f.ours.GraphRoot(), "overlay", top, "lower-layers"), []byte("00ff"), 0o600))
	if _, _, err := f.ours.LayerDirs(top); !errors.Is(err, ErrLayerUnknown) {
		t.Errorf("missing lower layer: %v", err)
	}
}

func TestConfig(t *testing.T) {
	f := newFixture(t, "overlay")
	f.image("", "localhost/x:latest")
	img, err := f.ours.Lookup("localhost/x")
	must(t, err)
	cfg, err := f.ours.Config(img)
	must(t, err)
	if cfg.OS != "linux" || !slices.Equal(cfg.Env, []string{"N=1"}) || !slices.Equal(cfg.Volumes, []string{"/a", "/b"}) ||
		cfg.Healthcheck == nil || cfg.Healthcheck.Interval != 5*time.Second || !slices.Equal(cfg.Cmd, []string{"sh"}) {
		t.Errorf("config %+v", cfg)
	}
	// An image that is not named by its configuration's digest.
	dir := filepath.Join(f.ours.GraphRoot(), "overlay-images")
	other := "f" + img.ID[1:]
	must(t, os.Rename(filepath.Join(dir, img.ID), filepath.Join(dir, other)))
	img.ID = other
	if cfg, err = f.ours.Config(img); err != nil || cfg.OS != "linux" {
		t.Errorf("config through the manifest: %+v, %v", cfg, err)
	}
	must(t, os.RemoveAll(filepath.Join(dir, other)))
	if _, err = f.ours.Config(img); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing config: %v", err)
	}
}

func TestEntrypointAsString(t *testing.T) {
	var f configFile
	must(t, json.Unmarshal([]byte(`{"config":{"Entrypoint":"/bin/a b","Cmd":null}}`), &f))
	if !slices.Equal(f.Config.Entrypoint, []string{"/bin/a b"}) || f.Config.Cmd != nil {
		t.Errorf("%+v", f.Config)
	}
}

func TestDamagedImageList(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(root+"/overlay-images", 0o700))
	s, err := OpenAt(root)
	must(t, err)
	for _, broken := range []string{`[{"id":"ab"`, `[{"id":"../x"}]`, `{}`, `[{"id":"ab","names":["x]}]`, `[`, `[{"id"}]`} {
		must(t, os.WriteFile(root+"/overlay-images/images.json", []byte(broken), 0o600))
		if _, err := s.Images(); err == nil {
			t.Errorf("%s: no error", broken)
		}
		if _, err := s.Lookup("x"); err == nil || errors.Is(err, ErrImageUnknown) {
			t.Errorf("%s: Lookup says %v", broken, err)
		}
	}
}
