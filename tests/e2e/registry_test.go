package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newRegistry serves one image, with one layer of a few megabytes, from loopback as
// the OCI distribution spec has it, and returns the image's reference.
func newRegistry(t *testing.T) string {
	t.Helper()
	layer := randomLayer(t)
	blobs := map[string][]byte{}
	add := func(b []byte) map[string]any {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(b))
		blobs[digest] = b
		return map[string]any{"digest": digest, "size": len(b)}
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	layerRef := add(layer)
	configRef := add(encode(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{layerRef["digest"]}},
	}))
	layerRef["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
	configRef["mediaType"] = "application/vnd.oci.image.config.v1+json"
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest := encode(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": configRef, "layers": []any{layerRef}})

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, digest, _ := strings.Cut(r.URL.Path, "/blobs/")
		switch blob, ok := blobs[digest]; {
		case r.URL.Path == "/v2/":
		case strings.HasPrefix(r.URL.Path, "/v2/crash/manifests/"):
			w.Header().Set("Content-Type", manifestType)
			w.Write(manifest)
		case ok:
			w.Write(blob)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/crash:latest"
}

func randomLayer(t *testing.T) []byte {
	t.Helper()
	content := make([]byte, 4<<20)
	rand.Read(content)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "random", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
