package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"time"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"

	"ctr/pkg/image/hello"
	lean "ctr/storage"
)

// HelloName is the name of the image that is built into ctr.
const HelloName = "localhost/hello:latest"

// IsHello reports whether ref means the built-in image.
func IsHello(ref string) bool {
	r, err := lean.ParseReference(ref)
	return err == nil && (r.String() == HelloName || ref == "hello" || ref == "hello:latest")
}

// EnsureHello puts the built-in image into the store if it is not there, which
// takes neither a registry nor a network, and returns its id. It is idempotent.
func (s *Store) EnsureHello() (id string, err error) {
	layer, err := helloLayer()
	if err != nil {
		return "", fmt.Errorf("packing the built-in image: %w", err)
	}
	name, err := reference.ParseNormalizedNamed(HelloName)
	if err != nil {
		return "", err
	}
	// Everything in it is fixed, so that it has the same id on every machine.
	config := manifest.Schema2Image{Schema2V1Image: manifest.Schema2V1Image{
		Created: helloTime(), Comment: "built into ctr",
		Config: &manifest.Schema2Config{
			Cmd: []string{"/hello"}, WorkingDir: "/",
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
	}}
	platform, err := ParsePlatform("")
	if err != nil {
		return "", err
	}
	id, err = s.create(bytes.NewReader(layer), digest.FromBytes(layer).Encoded(), config, platform, []reference.Named{name})
	return id, step(err, "writing the built-in image")
}

func helloTime() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func helloLayer() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	program := hello.Program()
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(program)), ModTime: helloTime(), Format: tar.FormatUSTAR}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}
