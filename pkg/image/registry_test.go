package image

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

// registry answers as an OCI distribution registry does, from memory.
type registry struct {
	*httptest.Server
	blobs     map[digest.Digest]string
	manifests map[string]string // by "name:tag" or "name@digest"
	user      string            // when set, only this user is let in, with the password "secret"
	answer    http.HandlerFunc  // instead of everything
	asked     []string          // paths
}

func newRegistry(t *testing.T) *registry {
	r := &registry{blobs: map[digest.Digest]string{}, manifests: map[string]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

// host is the registry's name in image references.
func (r *registry) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *registry) serve(w http.ResponseWriter, req *http.Request) {
	r.asked = append(r.asked, req.URL.Path)
	if r.answer != nil {
		r.answer(w, req)
		return
	}
	if user, password, _ := req.BasicAuth(); r.user != "" && (user != r.user || password != "secret") {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	switch {
	case path == "":
	case strings.HasSuffix(path, "/tags/list"):
		r.listTags(w, strings.TrimSuffix(path, "/tags/list"))
	case strings.Contains(path, "/manifests/"):
		name, ref, _ := strings.Cut(path, "/manifests/")
		separator := ":"
		if strings.HasPrefix(ref, "sha256:") {
			separator = "@"
		}
		r.send(w, r.manifests[name+separator+ref], "MANIFEST_UNKNOWN")
	case strings.Contains(path, "/blobs/"):
		_, d, _ := strings.Cut(path, "/blobs/")
		r.send(w, r.blobs[digest.Digest(d)], "BLOB_UNKNOWN")
	}
}

func (r *registry) send(w http.ResponseWriter, body, missing string) {
	if body == "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"errors":[{"code":"` + missing + `","message":"` + strings.ToLower(strings.ReplaceAll(missing, "_", " ")) + `"}]}`))
		return
	}
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal([]byte(body), &m) == nil && m.MediaType != "" {
		w.Header().Set("Content-Type", m.MediaType)
	}
	w.Write([]byte(body))
}

func (r *registry) listTags(w http.ResponseWriter, name string) {
	tags := []string{}
	for key := range r.manifests {
		if tag, ok := strings.CutPrefix(key, name+":"); ok {
			tags = append(tags, tag)
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": tags})
}

// put stores an image under repository:tag and by its digest.
func (r *registry) put(t *testing.T, repository, tag string, p picture) (digest.Digest, string) {
	t.Helper()
	blobs, manifest := p.blobs(t)
	for d, data := range blobs {
		r.blobs[d] = data
	}
	return r.putManifest(repository, tag, string(manifest)), string(manifest)
}

func (r *registry) putManifest(repository, tag, manifest string) digest.Digest {
	d := digest.FromString(manifest)
	r.manifests[repository+"@"+d.String()] = manifest
	if tag != "" {
		r.manifests[repository+":"+tag] = manifest
	}
	return d
}

// putIndex stores an index that names images by their architectures.
func (r *registry) putIndex(t *testing.T, repository, tag string, images map[string]picture) digest.Digest {
	t.Helper()
	var entries []any
	for arch, p := range images {
		p.arch = arch
		d, m := r.put(t, repository, "", p)
		entries = append(entries, map[string]any{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": d, "size": len(m),
			"platform": map[string]string{"os": "linux", "architecture": arch},
		})
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries})
	if err != nil {
		t.Fatal(err)
	}
	return r.putManifest(repository, tag, string(index))
}
