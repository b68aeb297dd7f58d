package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
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

// importStream names the layer as every other program names one with this content,
// which takes reading it twice: a layer of another name would keep out the same
// image from a registry or an archive.
func (s *Store) importStream(ctx context.Context, in io.Reader, config manifest.Schema2Image, platform Platform, names []reference.Named) (id string, err error) {
	again, content, err := s.measure(reading{ctx, in}, in)
	if err != nil {
		return "", err
	}
	defer again.Close()
	plain, err := decompressed(reading{ctx, again})
	if err != nil {
		return "", err
	}
	defer plain.Close()
	archive := &noting{Reader: plain}
	id, err = s.create(archive, content.Encoded(), config, platform, names)
	if err != nil && archive.err != nil {
		err = truncation(archive.err) // the unpacking process only knows that its input ended
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return id, err
}

// measure reads the archive to its end. It returns its decompressed content's digest
// and the archive once more: source itself when that can be read again, else a copy.
func (s *Store) measure(in io.Reader, source io.Reader) (again io.ReadCloser, content digest.Digest, err error) {
	file, ok := source.(*os.File)
	if st, err := fileInfo(file); !ok || err != nil || !st.Mode().IsRegular() {
		if file, err = os.CreateTemp(s.scratch, scratchPrefix); err != nil {
			return nil, "", fmt.Errorf("making a temporary file: %w", oneLine(err))
		}
		defer func() {
			if err != nil {
				file.Close()
			}
		}()
		os.Remove(file.Name()) // it goes with the descriptor
		in = io.TeeReader(in, file)
	}
	full, err := peek(in)
	if err != nil {
		return nil, "", err
	}
	plain, err := decompressed(full)
	if err != nil {
		return nil, "", err
	}
	defer plain.Close()
	if content, err = digest.FromReader(plain); err != nil {
		return nil, "", fmt.Errorf("reading the archive: %w", truncation(err))
	}
	if _, err = io.Copy(io.Discard, full); err != nil { // what follows the compressed stream is part of the copy
		return nil, "", fmt.Errorf("reading the archive: %w", err)
	}
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		return nil, "", fmt.Errorf("reading the archive again: %w", err)
	}
	return file, content, nil
}

func fileInfo(f *os.File) (os.FileInfo, error) {
	if f == nil {
		return nil, os.ErrInvalid
	}
	return f.Stat()
}

func decompressed(in io.Reader) (io.ReadCloser, error) {
	plain, _, err := compression.AutoDecompress(in)
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", truncation(err))
	}
	return plain, nil
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
