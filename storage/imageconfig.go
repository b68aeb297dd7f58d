package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"time"
)

// ImageConfig is an image's configuration: what it says about the containers made
// from it. It is untrusted input.
type ImageConfig struct {
	OS, Architecture, Variant string
	Author                    string
	Created                   time.Time
	User                      string
	Env                       []string // KEY=VALUE
	Entrypoint, Cmd           []string
	WorkingDir                string
	Labels                    map[string]string
	Volumes                   []string // destinations, sorted
	ExposedPorts              []string // port/proto, sorted
	StopSignal                string
	Shell                     []string
	OnBuild                   []string
	Healthcheck               *Healthcheck // nil when the image has none
	DiffIDs                   []string     // digests of the unpacked layers, bottom first
}

// Healthcheck is an image's health check; durations that are zero are not set.
type Healthcheck struct {
	Test          []string // ["CMD", …], ["CMD-SHELL", line], ["NONE"] or empty
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// words is a command that old images write as one string.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*w = []string{text(data)}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// configFile is the configuration as images carry it.
type configFile struct {
	OS           string    `json:"os"`
	Architecture string    `json:"architecture"`
	Variant      string    `json:"variant"`
	Author       string    `json:"author"`
	Created      time.Time `json:"created"`
	RootFS       struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	Config struct {
		User, WorkingDir, StopSignal string
		Env, OnBuild                 []string
		Entrypoint, Cmd, Shell       words
		Labels                       map[string]string
		Volumes, ExposedPorts        map[string]struct{}
		Healthcheck                  *Healthcheck
	} `json:"config"`
}

// Config reads an image's configuration. It may be called as the plain user.
func (s *Store) Config(img *Image) (*ImageConfig, error) {
	data, err := s.RawConfig(img)
	if err != nil {
		return nil, err
	}
	var f configFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("reading the configuration of image %s: %w", img.ID, err)
	}
	c := &f.Config
	return &ImageConfig{
		OS: f.OS, Architecture: f.Architecture, Variant: f.Variant, Author: f.Author, Created: f.Created,
		User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, Labels: c.Labels,
		Volumes: keys(c.Volumes), ExposedPorts: keys(c.ExposedPorts), StopSignal: c.StopSignal, Shell: c.Shell,
		OnBuild: c.OnBuild, Healthcheck: c.Healthcheck, DiffIDs: f.RootFS.DiffIDs,
	}, nil
}

// RawConfig is an image's configuration as it was written. An image is usually
// named by its digest; where it is not, the manifest says which it is.
func (s *Store) RawConfig(img *Image) ([]byte, error) {
	data, err := s.BigData(img, "sha256:"+img.ID)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	raw, err := s.BigData(img, "manifest")
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, fmt.Errorf("reading the manifest of image %s: %w", img.ID, err)
	}
	if !validDigest(manifest.Config.Digest) {
		return nil, fmt.Errorf("image %s has no configuration: its manifest is of a kind that ctr does not run", img.ID)
	}
	return s.BigData(img, manifest.Config.Digest)
}

func keys(set map[string]struct{}) []string {
	var list []string
	for key := range set {
		list = append(list, key)
	}
	sort.Strings(list)
	return list
}
