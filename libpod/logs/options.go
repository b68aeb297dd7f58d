package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"ctr/libpod/config"
	"ctr/pkg/format"
)

// options are a log configuration's, parsed.
type options struct {
	driver      string
	maxSize     int64 // bytes; 0 is without end
	maxFile     int   // at least 1
	compress    bool
	nonBlocking bool
	maxBuffer   int64 // bytes
	tag         string
	path        string

	labels, env           []string
	labelsRegex, envRegex *regexp.Regexp
}

// defaultMaxBuffer is Docker's max-buffer-size.
const defaultMaxBuffer = 1 << 20

// Validate checks a container's log configuration, so that a mistake shows at create.
// The texts are Docker's where it has the check.
func Validate(cfg config.Log) error {
	o, err := parseOptions(cfg)
	if err != nil {
		return err
	}
	if o.driver == Journald {
		if _, err := os.Stat(journalSocket); err != nil {
			return errors.New("journald is not enabled on this host")
		}
	}
	_, err = o.expandTag(Meta{}, o.tag)
	return err
}

var fileOptions = []string{"max-size", "max-file", "compress"}
var attributeOptions = []string{"labels", "labels-regex", "env", "env-regex", "tag"}

func parseOptions(cfg config.Log) (*options, error) {
	o := &options{driver: cfg.Driver, maxFile: 1, maxBuffer: defaultMaxBuffer}
	var known []string
	switch cfg.Driver {
	case "", JSONFile:
		o.driver = JSONFile
		known = slices.Concat(fileOptions, attributeOptions)
	case K8sFile:
		known = append(slices.Concat(fileOptions, attributeOptions), "path")
	case Journald:
		known = attributeOptions
	case None, Passthrough:
		return o, nil // Docker does not look at their options either
	default:
		return nil, fmt.Errorf("logger: no log driver named '%s' is registered", cfg.Driver)
	}
	for name := range cfg.Opts {
		if !slices.Contains(known, name) && name != "mode" && name != "max-buffer-size" {
			return nil, fmt.Errorf("unknown log opt '%s' for %s log driver", name, o.driver)
		}
	}
	for _, parse := range []func(map[string]string) error{o.parseMode, o.parseRotation, o.parseAttributes} {
		if err := parse(cfg.Opts); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *options) parseMode(opts map[string]string) (err error) {
	switch mode := opts["mode"]; mode {
	case "", "blocking":
	case "non-blocking":
		o.nonBlocking = true
	default:
		return fmt.Errorf("logger: logging mode not supported: %s", mode)
	}
	size, given := opts["max-buffer-size"]
	if !given {
		return nil
	}
	if !o.nonBlocking {
		return errors.New("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
	}
	if o.maxBuffer, err = units.RAMInBytes(size); err != nil {
		return fmt.Errorf("error parsing option max-buffer-size: %w", err)
	}
	return nil
}

func (o *options) parseRotation(opts map[string]string) (err error) {
	if v, given := opts["max-size"]; given && v != "-1" {
		if o.maxSize, err = units.FromHumanSize(v); err != nil {
			return fmt.Errorf("error parsing option max-size: %w", err)
		}
		if o.maxSize <= 0 {
			return errors.New("max-size must be a positive number")
		}
	}
	if v, given := opts["max-file"]; given {
		if o.maxFile, err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("error parsing option max-file: invalid number %q", v)
		}
		if o.maxFile < 1 {
			return errors.New("max-file cannot be less than 1")
		}
	}
	if v, given := opts["compress"]; given {
		if o.compress, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("error parsing option compress: invalid boolean %q", v)
		}
		if o.compress && (o.maxFile == 1 || o.maxSize == 0) {
			return errors.New("compress cannot be true when max-file is less than 2 or max-size is not set")
		}
	}
	if v, given := opts["path"]; given {
		if !filepath.IsAbs(v) {
			return fmt.Errorf("log opt path: %q is not absolute", v)
		}
		o.path = filepath.Clean(v)
	}
	return nil
}

func (o *options) parseAttributes(opts map[string]string) (err error) {
	o.tag = opts["tag"]
	if v := opts["labels"]; v != "" {
		o.labels = strings.Split(v, ",")
	}
	if v := opts["env"]; v != "" {
		o.env = strings.Split(v, ",")
	}
	if v := opts["labels-regex"]; v != "" {
		if o.labelsRegex, err = regexp.Compile(v); err != nil {
			return fmt.Errorf("error parsing option labels-regex: %w", err)
		}
	}
	if v := opts["env-regex"]; v != "" {
		if o.envRegex, err = regexp.Compile(v); err != nil {
			return fmt.Errorf("error parsing option env-regex: %w", err)
		}
	}
	return nil
}

// attributes are the labels, variables and tag that every line carries.
func (o *options) attributes(meta Meta) (map[string]string, error) {
	attrs := map[string]string{}
	for name, value := range meta.Labels {
		if slices.Contains(o.labels, name) || o.labelsRegex != nil && o.labelsRegex.MatchString(name) {
			attrs[name] = value
		}
	}
	for _, variable := range meta.Env {
		name, value, _ := strings.Cut(variable, "=")
		if slices.Contains(o.env, name) || o.envRegex != nil && o.envRegex.MatchString(name) {
			attrs[name] = value
		}
	}
	if o.driver == JSONFile && o.tag != "" {
		tag, err := o.expandTag(meta, o.tag)
		if err != nil {
			return nil, err
		}
		attrs["tag"] = tag
	}
	return attrs, nil
}

// expandTag fills in Docker's template of a log tag.
func (o *options) expandTag(meta Meta, tag string) (string, error) {
	if !strings.Contains(tag, "{{") {
		return tag, nil
	}
	t, err := format.Template(tag)
	if err != nil {
		return "", fmt.Errorf("log opt tag: %w", err)
	}
	imageID := strings.TrimPrefix(meta.ImageID, "sha256:")
	var out strings.Builder
	err = t.Execute(&out, struct{ ID, FullID, Name, ImageID, ImageFullID, ImageName, DaemonName string }{
		short(meta.ID), meta.ID, meta.Name, short(imageID), meta.ImageID, meta.ImageName, "ctr",
	})
	if err != nil {
		return "", fmt.Errorf("log opt tag: %w", err)
	}
	return out.String(), nil
}

func short(id string) string { return id[:min(len(id), 12)] }
