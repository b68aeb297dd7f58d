package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/storage"
)

// create makes an image of one layer, whose plain tar stream is layer, with the
// given configuration; its root file system, history and platform are filled in.
// An image that exists already gets only the names.
func (s *Store) create(layer io.Reader, layerID string, config manifest.Schema2Image, platform Platform, names []reference.Named) (id string, err error) {
	_, release, err := s.copying()
	if err != nil {
		return "", err
	}
	defer release()
	l, _, err := s.store.PutLayer(layerID, "", nil, "", false, nil, layer)
	if err != nil && !(errors.Is(err, storage.ErrDuplicateID) && l != nil) {
		return "", err
	}
	imageID := ""
	defer func() {
		if imageID == "" {
			s.store.DeleteLayer(l.ID) // refused by the store if another image has come to use it
		}
	}()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.RootFS = &manifest.Schema2RootFS{Type: "layers", DiffIDs: []digest.Digest{l.UncompressedDigest}}
	config.History = []manifest.Schema2History{{Created: config.Created, CreatedBy: "ctr", Comment: config.Comment}}
	imageID, err = s.record(config, l, names)
	return imageID, err
}

// record writes the image of config and its one layer into the store.
func (s *Store) record(config manifest.Schema2Image, l *storage.Layer, names []reference.Named) (string, error) {
	configData, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encoding the configuration: %w", err)
	}
	configDigest := digest.FromBytes(configData)
	manifestData, err := json.Marshal(manifest.Schema2FromComponents(
		manifest.Schema2Descriptor{MediaType: manifest.DockerV2Schema2ConfigMediaType, Size: int64(len(configData)), Digest: configDigest},
		[]manifest.Schema2Descriptor{{MediaType: manifest.DockerV2SchemaLayerMediaTypeUncompressed, Size: l.UncompressedSize, Digest: l.UncompressedDigest}},
	))
	if err != nil {
		return "", fmt.Errorf("encoding the manifest: %w", err)
	}
	manifestDigest := digest.FromBytes(manifestData)
	_, err = s.store.CreateImage(configDigest.Encoded(), nil, l.ID, "{}", &storage.ImageOptions{
		CreationDate: config.Created,
		Digest:       manifestDigest,
		BigData: []storage.ImageBigDataOption{
			{Key: configDigest.String(), Data: configData, Digest: configDigest},
			{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + manifestDigest.String(), Data: manifestData, Digest: manifestDigest},
			{Key: storage.ImageDigestBigDataKey, Data: manifestData, Digest: manifestDigest},
		},
	})
	if err != nil && !errors.Is(err, storage.ErrDuplicateID) {
		return "", fmt.Errorf("recording the image: %w", err)
	}
	if _, err := s.name(configDigest.Encoded(), names); err != nil {
		return "", err
	}
	return configDigest.Encoded(), nil
}

// now is the creation time of an image that is made here.
func now() time.Time { return time.Now().UTC() }
