package verbs

import (
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	mobystorage "github.com/moby/moby/api/types/storage"

	"ctr/storage"
)

// describeImage is an image under Docker's names.
func describeImage(store *storage.Store, img *storage.Image, platform string) (*image.InspectResponse, error) {
	cfg, err := store.Config(img)
	if err != nil {
		return nil, err
	}
	if platform != "" && !platformFits(platform, cfg) {
		return nil, &wrongPlatformError{image: img.ID, wanted: platform, actual: platformOf(cfg)}
	}
	size, err := store.Size(img)
	if err != nil {
		return nil, err
	}
	d := &image.InspectResponse{
		ID:           "sha256:" + img.ID,
		RepoTags:     []string{},
		RepoDigests:  []string{},
		Author:       cfg.Author,
		Architecture: cfg.Architecture,
		Variant:      cfg.Variant,
		Os:           cfg.OS,
		Size:         size,
		RootFS:       image.RootFS{Type: "layers", Layers: cfg.DiffIDs},
		Metadata:     image.Metadata{LastTagTime: img.Created},
		GraphDriver:  &mobystorage.DriverData{Name: store.Driver(), Data: imageLayers(store, img)},
		Config: &dockerspec.DockerOCIImageConfig{
			ImageConfig: ocispec.ImageConfig{
				User: cfg.User, Env: cfg.Env, Entrypoint: cfg.Entrypoint, Cmd: cfg.Cmd, WorkingDir: cfg.WorkingDir,
				Labels: cfg.Labels, StopSignal: cfg.StopSignal, Volumes: set(cfg.Volumes), ExposedPorts: set(cfg.ExposedPorts),
			},
			DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{OnBuild: cfg.OnBuild, Shell: cfg.Shell, Healthcheck: imageHealth(cfg.Healthcheck)},
		},
	}
	if !cfg.Created.IsZero() {
		d.Created = cfg.Created.Format(time.RFC3339Nano)
	}
	d.RepoTags, d.RepoDigests = repositories(img)
	return d, nil
}

// repositories are the image's names with their tags, and each repository with the
// image's digest.
func repositories(img *storage.Image) (tags, digests []string) {
	tags, digests = []string{}, []string{}
	seen := map[string]bool{}
	for _, name := range img.Names {
		repository, tag := splitTag(name)
		repository = familiar(repository)
		if tag != "<none>" {
			tags = append(tags, repository+":"+tag)
		}
		if digest := repository + "@" + img.Digest; img.Digest != "" && !seen[digest] {
			seen[digest] = true
			digests = append(digests, digest)
		}
	}
	return tags, digests
}

// imageLayers says where the layers are, or nothing if that cannot be found out.
func imageLayers(store *storage.Store, img *storage.Image) map[string]string {
	base, lower, err := store.LayerDirs(img.TopLayer)
	if err != nil || len(lower) == 0 {
		return map[string]string{}
	}
	for i, dir := range lower {
		if !strings.HasPrefix(dir, "/") {
			lower[i] = base + "/" + dir
		}
	}
	data := map[string]string{"UpperDir": lower[0]}
	if len(lower) > 1 {
		data["LowerDir"] = strings.Join(lower[1:], ":")
	}
	return data
}

func imageHealth(h *storage.Healthcheck) *dockerspec.HealthcheckConfig {
	if h == nil {
		return nil
	}
	return &dockerspec.HealthcheckConfig{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout,
		StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
	}
}

// set is the form in which image configurations hold lists of names.
func set(names []string) map[string]struct{} {
	if len(names) == 0 {
		return nil
	}
	m := make(map[string]struct{}, len(names))
	for _, name := range names {
		m[name] = struct{}{}
	}
	return m
}
