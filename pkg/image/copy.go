package image

import (
	"context"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	imagestorage "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
)

// copyIn copies the image at src into the store under names, of which there may be
// none, and returns what the store then holds. Layers are verified while they
// stream. When it fails, the layers that it brought are taken out again.
func (s *Store) copyIn(ctx context.Context, src types.ImageReference, names []reference.Named, sys *types.SystemContext, report Progress) (*storage.Image, error) {
	alone, release, err := s.copying()
	if err != nil {
		return nil, err
	}
	defer release()
	before, err := s.layerIDs()
	if err != nil {
		return nil, err
	}
	dest, err := s.destination(ctx, src, names, sys)
	if err != nil {
		return nil, err
	}
	policy, err := s.policy(sys)
	if err != nil {
		return nil, err
	}
	defer policy.Destroy()

	var stored types.ImageReference
	w := watch(report)
	_, err = copy.Image(ctx, policy, dest, src, &copy.Options{
		SourceCtx: sys, DestinationCtx: sys,
		Progress: w.events, ProgressInterval: progressInterval,
		ReportResolvedReference: &stored,
	})
	blobs := w.stop()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if alone() {
			s.discard(blobs, before)
		}
		return nil, err
	}
	_, img, err := imagestorage.ResolveReference(stored)
	if err != nil {
		return nil, fmt.Errorf("finding the copied image: %w", err)
	}
	return s.name(img.ID, names)
}

// name adds names to an image and reads it again.
func (s *Store) name(id string, names []reference.Named) (*storage.Image, error) {
	var add []string
	for _, n := range names {
		add = append(add, n.String())
	}
	if len(add) > 0 {
		if err := s.store.AddNames(id, add); err != nil {
			return nil, fmt.Errorf("naming image %s: %w", short(id), err)
		}
	}
	return s.store.Image(id)
}

// destination is where in the store the image at src will be: under its first
// name, or under its id alone.
func (s *Store) destination(ctx context.Context, src types.ImageReference, names []reference.Named, sys *types.SystemContext) (types.ImageReference, error) {
	if len(names) > 0 {
		return imagestorage.Transport.NewStoreReference(s.store, names[0], "")
	}
	config, err := configDigest(ctx, src, sys)
	if err != nil {
		return nil, err
	}
	return imagestorage.Transport.NewStoreReference(s.store, nil, config.Encoded())
}

// configDigest is the digest of an image's configuration, which is its id.
func configDigest(ctx context.Context, src types.ImageReference, sys *types.SystemContext) (digest.Digest, error) {
	img, err := openImage(ctx, src, sys)
	if err != nil {
		return "", err
	}
	defer img.Close()
	config := img.ConfigInfo().Digest
	if err := config.Validate(); err != nil {
		return "", fmt.Errorf("image has no valid configuration: %w", err)
	}
	return config, nil
}

// openImage opens the image for sys's platform at src.
func openImage(ctx context.Context, src types.ImageReference, sys *types.SystemContext) (types.ImageCloser, error) {
	source, err := src.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	img, err := image.FromSource(ctx, sys, source)
	if err != nil {
		source.Close()
		return nil, err
	}
	return img, nil
}

func (s *Store) layerIDs() (map[string]bool, error) {
	layers, err := s.store.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers of the image store: %w", err)
	}
	ids := make(map[string]bool, len(layers))
	for _, l := range layers {
		ids[l.ID] = true
	}
	return ids, nil
}

// discard removes the layers that came from blobs and were not there before. One
// that an image, a container or another layer needs is refused by the store.
func (s *Store) discard(blobs map[digest.Digest]bool, before map[string]bool) {
	for removed := true; removed; {
		removed = false
		layers, err := s.store.Layers()
		if err != nil {
			return
		}
		for _, l := range layers {
			ours := blobs[l.CompressedDigest] || blobs[l.UncompressedDigest]
			if ours && !before[l.ID] && s.store.DeleteLayer(l.ID) == nil {
				removed = true
			}
		}
	}
}

// short is an id as people read it.
func short(id string) string { return id[:min(12, len(id))] }
