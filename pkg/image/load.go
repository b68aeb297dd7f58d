package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"
)

// LoadOptions says what to load.
type LoadOptions struct {
	File     string    // an archive, or the directory of an OCI layout; "" reads Input
	Input    io.Reader // an archive
	Platform string    // which image of an OCI index for several platforms; "" is this machine's
	Progress Progress
}

// Loaded is an image from an archive.
type Loaded struct {
	ID    string
	Names []reference.Named // none if the archive names none
}

// Load brings the images of an archive into the store: one written by `docker save`
// or in the OCI layout, plain or compressed by gzip, zstd, xz or bzip2. Images that
// came before a broken one stay and are returned along with the error.
func (s *Store) Load(ctx context.Context, o LoadOptions) ([]Loaded, error) {
	platform, err := ParsePlatform(o.Platform)
	if err != nil {
		return nil, err
	}
	work, err := s.newWorkdir()
	if err != nil {
		return nil, err
	}
	defer work.remove()
	l := loading{Store: s, ctx: ctx, sys: s.systemFor(platform, work.path), o: o}

	what := o.File
	if what == "" {
		what = "standard input"
	}
	loaded, err := l.load(work.path)
	return loaded, step(err, "loading %s", what)
}

// loading is one call of Load.
type loading struct {
	*Store
	ctx context.Context
	sys *types.SystemContext
	o   LoadOptions
}

func (l *loading) load(dir string) ([]Loaded, error) {
	if l.o.File != "" {
		st, err := os.Stat(l.o.File)
		if err != nil {
			return nil, errors.Unwrap(err) // the caller names the file
		}
		if st.IsDir() {
			return l.loadLayout(l.o.File)
		}
	}
	file, err := plainArchive(l.ctx, l.o.File, l.o.Input, dir)
	if err != nil {
		return nil, err
	}
	kind, err := kindOf(file)
	if err != nil {
		return nil, err
	}
	if kind == dockerArchive {
		return l.loadDocker(file)
	}
	unpacked := filepath.Join(dir, "layout")
	if err := unpackLayout(l.ctx, file, unpacked); err != nil {
		return nil, err
	}
	return l.loadLayout(unpacked)
}

func (l *loading) loadDocker(file string) ([]Loaded, error) {
	archive, err := dockerarchive.NewReader(l.sys, file)
	if err != nil {
		return nil, truncation(err)
	}
	defer archive.Close()
	images, err := archive.List()
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, errors.New("no image in the archive")
	}
	var loaded []Loaded
	for _, refs := range images {
		var names []reference.Named
		for _, ref := range refs {
			if name := ref.DockerReference(); name != nil {
				names = append(names, name)
			}
		}
		if loaded, err = l.add(loaded, refs[0], names); err != nil {
			return loaded, err
		}
	}
	return loaded, nil
}

func (l *loading) loadLayout(dir string) ([]Loaded, error) {
	st, err := os.Stat(filepath.Join(dir, imgspecv1.ImageIndexFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, errors.New("no image in it: an OCI layout has a file index.json")
	case err != nil:
		return nil, err
	case st.Size() > maxLayoutFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", imgspecv1.ImageIndexFile, maxLayoutFile)
	}
	images, err := layout.List(dir)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", imgspecv1.ImageIndexFile, err)
	}
	if len(images) == 0 {
		return nil, errors.New("no image in the archive")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var loaded []Loaded
	for i, image := range images {
		names, err := layoutNames(image.ManifestDescriptor.Annotations)
		if err != nil {
			return loaded, err
		}
		// By its place and inside root: names may repeat, and a link must not lead out.
		ref, err := layout.NewReaderWithRoot(root).NewIndexReference(root.Name(), i)
		if err != nil {
			return loaded, err
		}
		if loaded, err = l.add(loaded, ref, names); err != nil {
			return loaded, err
		}
	}
	return loaded, nil
}

// layoutNames reads an image's name from an index: the full name that containerd
// and docker write, else the reference name, which may be a tag or a name.
func layoutNames(annotations map[string]string) ([]reference.Named, error) {
	name := annotations["io.containerd.image.name"]
	if name == "" {
		name = annotations[imgspecv1.AnnotationRefName]
		if name == "" {
			return nil, nil
		}
		if !strings.Contains(name, "/") {
			name = "localhost/" + name
		}
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("image in the archive has the invalid name %q: %w", name, err)
	}
	return []reference.Named{withoutTagOfDigest(reference.TagNameOnly(named))}, nil
}

func (l *loading) add(loaded []Loaded, src types.ImageReference, names []reference.Named) ([]Loaded, error) {
	img, err := l.copyIn(l.ctx, interruptible{src}, names, l.sys, l.o.Progress)
	if err != nil {
		return loaded, truncation(err)
	}
	return append(loaded, Loaded{ID: img.ID, Names: names}), nil
}

// interruptible is an image in an archive whose blobs stop coming when the context
// of their copy ends; the archives' own readers would read on to the end.
type interruptible struct{ types.ImageReference }

func (i interruptible) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	source, err := i.ImageReference.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return interruptibleSource{source}, nil
}

type interruptibleSource struct{ types.ImageSource }

func (i interruptibleSource) GetBlob(ctx context.Context, info types.BlobInfo, cache types.BlobInfoCache) (io.ReadCloser, int64, error) {
	blob, size, err := i.ImageSource.GetBlob(ctx, info, cache)
	if err != nil {
		return nil, 0, err
	}
	return struct {
		io.Reader
		io.Closer
	}{reading{ctx, blob}, blob}, size, nil
}
