package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"

	lean "ctr/storage"
)

// PullOptions says how to fetch an image. The zero value fetches for this machine,
// with the user's credentials, over verified TLS.
type PullOptions struct {
	Platform string // os/arch[/variant]; "" is this machine's
	AuthFile string // credentials; "" is where containers-auth.json(5) says
	// Insecure allows plain HTTP and unknown certificates. Nil allows it for
	// registries on this machine only, and for those that registries.conf names.
	Insecure *bool
	Progress Progress
	// Resolved, if set, is told the full name before anything is fetched.
	Resolved func(name reference.Named)
}

// Pulled is an image that was fetched.
type Pulled struct {
	Name    reference.Named // its full name
	ID      string          // its id in the store
	Digest  digest.Digest   // of the manifest that the name means at the registry
	New     bool            // the name did not mean this image in the store before
	Warning string          // what the user should know, "" mostly
}

// Pull fetches the image called ref, whether the store has it or not. A short name
// is looked up as registries.conf says, and at Docker Hub when that is silent; the
// user is never asked.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (*Pulled, error) {
	platform, err := ParsePlatform(o.Platform)
	if err != nil {
		return nil, err
	}
	work, err := s.newWorkdir()
	if err != nil {
		return nil, err
	}
	defer work.remove()
	sys := s.systemFor(platform, work.path)
	sys.AuthFilePath = o.AuthFile

	names, err := remoteNames(sys, ref)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, name := range names {
		pulled, err := s.pullFrom(ctx, name, sys, o)
		if err == nil {
			return pulled, nil
		}
		problems = append(problems, step(err, "pulling %s", name))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(problems...)
}

// Tags lists the tags of the repository called ref at its registry, as full names.
func (s *Store) Tags(ctx context.Context, ref string, o PullOptions) ([]reference.Named, error) {
	sys := s.systemFor(Platform{}, "")
	sys.AuthFilePath = o.AuthFile
	names, err := remoteNames(sys, ref)
	if err != nil {
		return nil, err
	}
	repository := reference.TrimNamed(names[0])
	trust(sys, repository, o)
	src, err := docker.NewReference(reference.TagNameOnly(repository))
	if err != nil {
		return nil, step(err, "listing the tags of %s", repository)
	}
	tags, err := docker.GetRepositoryTags(ctx, sys, src)
	if err != nil {
		return nil, step(err, "listing the tags of %s", repository)
	}
	var all []reference.Named
	for _, tag := range tags {
		if named, err := reference.WithTag(repository, tag); err == nil {
			all = append(all, named)
		}
	}
	return all, nil
}

// remoteNames are the full names to try, in order, for what the user calls ref.
func remoteNames(sys *types.SystemContext, ref string) ([]reference.Named, error) {
	ref = strings.TrimPrefix(ref, "docker://")
	typed, err := lean.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", err, ref)
	}
	repository := strings.TrimPrefix(strings.TrimPrefix(typed.Name(), "docker.io/"), "library/")
	if typed.Domain != "docker.io" || !strings.HasPrefix(ref, repository) {
		return parseAll(ref) // a full name
	}
	alias, _, err := sysregistriesv2.ResolveShortNameAlias(sys, repository)
	if err != nil {
		return nil, fmt.Errorf("reading the short names of registries.conf: %w", oneLine(err))
	}
	if alias != nil {
		return parseAll(alias.String() + strings.TrimPrefix(ref, repository))
	}
	registries, err := sysregistriesv2.UnqualifiedSearchRegistries(sys)
	if err != nil {
		return nil, fmt.Errorf("reading registries.conf: %w", oneLine(err))
	}
	if len(registries) == 0 {
		return parseAll(ref)
	}
	var all []string
	for _, r := range registries {
		all = append(all, r+"/"+ref)
	}
	return parseAll(all...)
}

func parseAll(refs ...string) ([]reference.Named, error) {
	var names []reference.Named
	for _, ref := range refs {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, fmt.Errorf("%w: %q", err, ref)
		}
		names = append(names, withoutTagOfDigest(reference.TagNameOnly(named)))
	}
	return names, nil
}

func trust(sys *types.SystemContext, name reference.Named, o PullOptions) {
	switch {
	case o.Insecure != nil:
		sys.DockerInsecureSkipTLSVerify = types.NewOptionalBool(*o.Insecure)
	case isLocal(name):
		sys.DockerInsecureSkipTLSVerify = types.OptionalBoolTrue
	}
}

func (s *Store) pullFrom(ctx context.Context, name reference.Named, sys *types.SystemContext, o PullOptions) (*Pulled, error) {
	if o.Resolved != nil {
		o.Resolved(name)
	}
	host := *sys
	trust(&host, name, o)
	src, err := docker.NewReference(name)
	if err != nil {
		return nil, err
	}
	if o.Platform != "" {
		if err := checkPlatform(ctx, src, &host); err != nil {
			return nil, err
		}
	}
	before := ""
	if img, err := s.store.Image(name.String()); err == nil {
		before = img.ID
	}
	img, err := s.copyIn(ctx, src, []reference.Named{name}, &host, o.Progress)
	if err != nil {
		return nil, err
	}
	return &Pulled{
		Name: name, ID: img.ID, New: img.ID != before,
		Digest:  s.remoteDigest(img),
		Warning: s.platformWarning(img, &host),
	}, nil
}

// checkPlatform refuses an image that was made for another platform than the one
// asked for. (An image that exists for several is chosen from, or refused, later.)
func checkPlatform(ctx context.Context, src types.ImageReference, sys *types.SystemContext) error {
	img, err := openImage(ctx, src, sys)
	if err != nil {
		return err
	}
	defer img.Close()
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return err
	}
	if config.OS == sys.OSChoice && config.Architecture == sys.ArchitectureChoice {
		return nil
	}
	return fmt.Errorf("image is for %s, not for the specified platform (%s)",
		Platform{config.OS, config.Architecture, config.Variant}, Platform{sys.OSChoice, sys.ArchitectureChoice, sys.VariantChoice})
}

// platformWarning says that an image is for other machines than sys's.
func (s *Store) platformWarning(img *storage.Image, sys *types.SystemContext) string {
	config, err := s.config(img)
	if err != nil || config.Architecture == "" || config.OS == sys.OSChoice && config.Architecture == sys.ArchitectureChoice {
		return ""
	}
	return fmt.Sprintf("the image's platform (%s/%s) does not match the host's (%s/%s)",
		config.OS, config.Architecture, sys.OSChoice, sys.ArchitectureChoice)
}

// config reads what an image's configuration says of its platform.
func (s *Store) config(img *storage.Image) (*manifest.Schema2Image, error) {
	data, err := s.store.ImageBigData(img.ID, "sha256:"+img.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of image %s: %w", short(img.ID), err)
	}
	var config manifest.Schema2Image
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("reading the configuration of image %s: %w", short(img.ID), err)
	}
	return &config, nil
}

// remoteDigest is the digest by which the image was found at its registry: that of
// the list which it was chosen from, else its own.
func (s *Store) remoteDigest(img *storage.Image) digest.Digest {
	for i := len(img.Digests) - 1; i >= 0; i-- {
		data, err := s.store.ImageBigData(img.ID, storage.ImageDigestManifestBigDataNamePrefix+"-"+img.Digests[i].String())
		if err == nil && manifest.MIMETypeIsMultiImage(manifest.GuessMIMEType(data)) {
			return img.Digests[i]
		}
	}
	return img.Digest
}
