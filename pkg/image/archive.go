package image

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"go.podman.io/image/v5/pkg/compression"
)

// kind is what an archive holds.
type kind int

const (
	unknownArchive kind = iota
	dockerArchive       // `docker save`: manifest.json
	ociArchive          // an OCI image layout: oci-layout, index.json, blobs/
)

// plainArchive makes the archive that o describes a plain tar file that can be
// opened by its path, in dir if it has to be copied or decompressed for that.
func plainArchive(ctx context.Context, file string, in io.Reader, dir string) (string, error) {
	if file == "" {
		if f, ok := in.(*os.File); ok {
			if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && atStart(f) {
				return plainArchive(ctx, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), nil, dir)
			}
		}
		return spool(ctx, in, dir)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	decompress, buffered, err := compression.DetectCompression(f)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && decompress == nil {
		return file, nil
	}
	return spool(ctx, buffered, dir)
}

func atStart(f *os.File) bool {
	at, err := f.Seek(0, io.SeekCurrent)
	return err == nil && at == 0
}

// spool writes the stream, decompressed, into a file in dir.
func spool(ctx context.Context, in io.Reader, dir string) (string, error) {
	stream, _, err := compression.AutoDecompress(reading{ctx, in})
	if err != nil {
		return "", fmt.Errorf("decompressing the archive: %w", truncation(err))
	}
	defer stream.Close()
	f, err := os.CreateTemp(dir, "archive-*.tar")
	if err != nil {
		return "", fmt.Errorf("copying the archive: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(f, stream); err != nil {
		return "", fmt.Errorf("copying the archive: %w", truncation(err))
	}
	return f.Name(), nil
}

// reading is a reader that ends with its context.
type reading struct {
	ctx context.Context
	io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// truncation says by its name what an unexpected end of a stream is.
func truncation(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the archive is truncated (%w)", err)
	}
	return err
}

// kindOf looks through the names in a plain tar file. What both formats can read
// (docker 25 and newer write such archives) is read as docker's.
func kindOf(file string) (kind, error) {
	f, err := os.Open(file)
	if err != nil {
		return unknownArchive, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() == 0 {
		return unknownArchive, errors.New("the archive is empty")
	}
	var layout, index bool
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, tar.ErrHeader) {
			return unknownArchive, errors.New("not a tar archive, or a damaged one")
		}
		if err != nil {
			return unknownArchive, fmt.Errorf("reading the archive: %w", truncation(err))
		}
		switch path.Clean(h.Name) {
		case "manifest.json":
			return dockerArchive, nil
		case "oci-layout":
			layout = true
		case "index.json":
			index = true
		}
	}
	if layout && index {
		return ociArchive, nil
	}
	return unknownArchive, errors.New("no image in the archive: it has neither manifest.json (docker save) nor oci-layout and index.json (OCI); a root file system is made an image by `ctr import`")
}

// Files of an OCI layout that are read as a whole are small; a larger one is hostile.
const maxLayoutFile = 4 << 20

// unpackLayout writes the files of the OCI layout in a plain tar file below dir.
// Only regular files with the names that a layout has are written; everything else
// in the archive, links and odd paths among it, is passed over.
func unpackLayout(ctx context.Context, file, dir string) error {
	blob := regexp.MustCompile(`^blobs/(sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})$`)
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", truncation(err))
		}
		name := path.Clean(h.Name)
		small := name == "oci-layout" || name == "index.json"
		if h.Typeflag != tar.TypeReg || !small && !blob.MatchString(name) {
			continue
		}
		if small && h.Size > maxLayoutFile {
			return fmt.Errorf("%s is larger than %d bytes", name, maxLayoutFile)
		}
		if err := unpackFile(filepath.Join(dir, name), reading{ctx, t}); err != nil {
			return err
		}
	}
}

func unpackFile(file string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("unpacking the archive: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return fmt.Errorf("unpacking the archive: %w", truncation(err))
	}
	return nil
}

// peek returns in with the certainty that something can be read from it.
func peek(in io.Reader) (io.Reader, error) {
	b := bufio.NewReader(in)
	if _, err := b.Peek(1); err == io.EOF {
		return nil, errors.New("the archive is empty")
	} else if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	return b, nil
}
