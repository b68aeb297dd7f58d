package verbs

import (
	"strings"
	"time"

	"ctr/storage"
)

// describeImage is an image under Docker's names.
func describeImage(store *storage.Store, img *storage.Image, platform string) (*imageInfo, error) {
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
	d := &imageInfo{
		ID:           "sha256:" + img.ID,
		Author:       cfg.Author,
		Architecture: cfg.Architecture,
		Variant:      cfg.Variant,
		Os:           cfg.OS,
		Size:         size,
		RootFS:       rootFS{Type: "layers", Layers: cfg.DiffIDs},
		Metadata:     imageMetadata{LastTagTime: img.Created},
		GraphDriver:  graphDriver{Name: store.Driver(), Data: imageLayers(store, img)},
		Config: imageConfig{
			User: cfg.User, Env: cfg.Env, Entrypoint: cfg.Entrypoint, Cmd: cfg.Cmd, WorkingDir: cfg.WorkingDir,
			Labels: cfg.Labels, StopSignal: cfg.StopSignal, Volumes: set(cfg.Volumes), ExposedPorts: set(cfg.ExposedPorts),
			OnBuild: cfg.OnBuild, Shell: cfg.Shell, Healthcheck: (*healthcheck)(cfg.Healthcheck),
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

// set makes a nameSet; it is nil for no names.
func set(names []string) nameSet {
	if len(names) == 0 {
		return nil
	}
	m := make(nameSet, len(names))
	for _, name := range names {
		m[name] = struct{}{}
	}
	return m
}
