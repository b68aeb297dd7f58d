package verbs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"ctr/pkg/paths"
	"ctr/storage"
)

// pullPolicy is --pull.
type pullPolicy string

const (
	pullMissing pullPolicy = "missing"
	pullAlways  pullPolicy = "always"
	pullNever   pullPolicy = "never"
)

func parsePull(s string) (pullPolicy, error) {
	switch policy := pullPolicy(s); policy {
	case pullMissing, pullAlways, pullNever:
		return policy, nil
	}
	return "", fmt.Errorf("invalid pull option: '%s': must be one of %q, %q or %q", s, pullAlways, pullMissing, pullNever)
}

// imageFor finds the image to make a container of, and pulls it as --pull says.
func (p *program) imageFor(ctx context.Context, o *createOptions) (chosenImage, error) {
	policy, err := parsePull(o.pull)
	if err != nil {
		return chosenImage{}, err
	}
	store, err := storage.Open()
	if err != nil {
		return chosenImage{}, err
	}
	if policy == pullAlways {
		if err := p.pullChild(ctx, o); err != nil {
			return chosenImage{}, err
		}
	}
	img, err := choose(store, o)
	if policy == pullMissing && errors.Is(err, storage.ErrImageUnknown) {
		fmt.Fprintf(p.Err, "Unable to find image '%s' locally\n", fullName(o.image))
		if err := p.pullChild(ctx, o); err != nil {
			return chosenImage{}, err
		}
		if store, err = storage.Open(); err != nil {
			return chosenImage{}, err
		}
		img, err = choose(store, o)
	}
	if err != nil {
		return chosenImage{}, err
	}
	if o.platform == "" && !runsHere(img.config) {
		fmt.Fprintf(p.Err, "WARNING: The requested image's platform (%s) does not match the detected host platform (linux/%s) and no specific platform was requested\n", platformOf(img.config), runtime.GOARCH)
	}
	return img, nil
}

// choose looks the image up; one of another platform than asked for counts as unknown.
func choose(store *storage.Store, o *createOptions) (chosenImage, error) {
	img, err := store.Lookup(o.image)
	if err != nil {
		return chosenImage{}, err
	}
	cfg, err := store.Config(img)
	if err != nil {
		return chosenImage{}, err
	}
	if o.platform != "" && !platformFits(o.platform, cfg) {
		return chosenImage{}, &wrongPlatformError{image: o.image, wanted: o.platform, actual: platformOf(cfg)}
	}
	return chosenImage{Image: *img, config: cfg}, nil
}

// wrongPlatformError is an image that is there, but for other machines.
type wrongPlatformError struct{ image, wanted, actual string }

func (e *wrongPlatformError) Error() string {
	return fmt.Sprintf("image with reference %s was found but does not provide the specified platform: wanted %s, actual: %s", e.image, e.wanted, e.actual)
}

// Is makes the image one to be pulled.
func (e *wrongPlatformError) Is(target error) bool { return target == storage.ErrImageUnknown }

func platformOf(cfg *storage.ImageConfig) string {
	platform := cfg.OS + "/" + cfg.Architecture
	if cfg.Variant != "" {
		platform += "/" + cfg.Variant
	}
	return platform
}

// platformFits compares as much as was asked for: linux, arm64, linux/arm64, linux/arm/v7.
func platformFits(wanted string, cfg *storage.ImageConfig) bool {
	parts := strings.Split(strings.ToLower(wanted), "/")
	if len(parts) == 1 {
		return parts[0] == cfg.OS || architecture(parts[0]) == cfg.Architecture
	}
	return parts[0] == cfg.OS && architecture(parts[1]) == cfg.Architecture &&
		(len(parts) < 3 || cfg.Variant == "" || parts[2] == cfg.Variant)
}

// architecture is Go's name of what uname calls otherwise.
func architecture(name string) string {
	switch name {
	case "x86_64", "x86-64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return name
}

func runsHere(cfg *storage.ImageConfig) bool {
	return (cfg.OS == "" || cfg.OS == "linux") && (cfg.Architecture == "" || cfg.Architecture == runtime.GOARCH)
}

// fullName is a reference with its tag, as Docker mentions it.
func fullName(image string) string {
	ref, err := storage.ParseReference(image)
	if err != nil {
		return image
	}
	return ref.Familiar()
}

// errPull is a pull that failed and has said why.
var errPull = errors.New("the image was not pulled")

// pullChild runs `ctr-full pull`. What it prints goes to our standard error: the
// standard output is the container's.
func (p *program) pullChild(ctx context.Context, o *createOptions) error {
	path, err := paths.Full()
	if err != nil {
		return err
	}
	args := []string{"pull"}
	if o.quiet {
		args = append(args, "--quiet")
	}
	if o.platform != "" {
		args = append(args, "--platform", o.platform)
	}
	cmd := exec.CommandContext(ctx, path, append(args, "--", fullName(o.image))...)
	cmd.Args[0] = p.name
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.In, p.Err, p.Err
	if o.quiet {
		cmd.Stdout = nil
	}
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		return errPull
	case err != nil:
		return fmt.Errorf("starting %s: %w", path, err)
	}
	return nil
}
