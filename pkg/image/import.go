package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/compression"
)

// ImportOptions says what to make an image of.
type ImportOptions struct {
	Source   string    // path or http(s) URL of a tar archive of a root file system; "-" reads Input
	Input    io.Reader // the archive when Source is "-"
	Name     string    // repository[:tag]; "" leaves the image without a name
	Changes  []string  // Dockerfile instructions on its configuration, see [ParseChanges]
	Message  string    // comment
	Platform string    // os/arch[/variant] of the files; "" is this machine's
}

// Import makes an image of one layer of a tar archive, plain or compressed by gzip,
// zstd, xz or bzip2, and returns its id. The archive is unpacked as it streams.
func (s *Store) Import(ctx context.Context, o ImportOptions) (id string, err error) {
	platform, err := ParsePlatform(o.Platform)
	if err != nil {
		return "", err
	}
	var names []reference.Named
	if o.Name != "" {
		named, err := reference.ParseNormalizedNamed(o.Name)
		if err != nil {
			return "", fmt.Errorf("%w: %q", err, o.Name)
		}
		if _, ok := named.(reference.Digested); ok {
			return "", errors.New("cannot import digest reference")
		}
		names = append(names, reference.TagNameOnly(named))
	}
	config, err := ParseChanges(o.Changes)
	if err != nil {
		return "", err
	}
	in, err := openSource(ctx, o)
	if err != nil {
		return "", err
	}
	defer in.Close()

	id, err = s.importStream(ctx, in, manifest.Schema2Image{
		Schema2V1Image: manifest.Schema2V1Image{Created: now(), Comment: o.Message, Config: config},
	}, platform, names)
	return id, step(err, "importing %s", o.Source)
}

func (s *Store) importStream(ctx context.Context, in io.Reader, config manifest.Schema2Image, platform Platform, names []reference.Named) (string, error) {
	full, err := peek(reading{ctx, in})
	if err != nil {
		return "", err
	}
	plain, _, err := compression.AutoDecompress(full)
	if err != nil {
		return "", fmt.Errorf("decompressing: %w", truncation(err))
	}
	defer plain.Close()
	archive := &noting{Reader: plain}
	id, err := s.create(archive, "", config, platform, names)
	if err != nil && archive.err != nil {
		err = truncation(archive.err) // the unpacking process only knows that its input ended
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return id, err
}

// noting is a reader that remembers what stopped it.
type noting struct {
	io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	count, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return count, err
}

func openSource(ctx context.Context, o ImportOptions) (io.ReadCloser, error) {
	switch {
	case o.Source == "-":
		return io.NopCloser(o.Input), nil
	case strings.HasPrefix(o.Source, "http://"), strings.HasPrefix(o.Source, "https://"):
		return fetch(ctx, o.Source)
	}
	f, err := os.Open(o.Source)
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", o.Source, errors.Unwrap(err))
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, fmt.Errorf("importing %s: it is a directory; pack it: tar -C %s -c . | ctr import -", o.Source, o.Source)
	}
	return f, nil
}

func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", url, oneLine(errors.Unwrap(err)))
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("importing %s: the server answered %s", url, response.Status)
	}
	return response.Body, nil
}
