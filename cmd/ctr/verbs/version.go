package verbs

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"ctr/pkg/format"
	"ctr/pkg/version"
)

// apiVersion is the version of Docker's API whose words these are.
const apiVersion = "1.50"

func versionLine() string {
	line := "ctr version " + version.Version
	if commit := recorded().commit; commit != unknown {
		line += ", build " + commit
	}
	return line
}

const unknown = "unknown"

// build is how this program was built.
type build struct {
	commit, time string
	modules      map[string]string
}

// recorded is what the Go tool wrote into this program.
func recorded() build {
	b := build{commit: unknown, modules: map[string]string{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value[:min(7, len(s.Value))]
		case "vcs.time":
			b.time = s.Value
		}
	}
	for _, m := range info.Deps {
		b.modules[m.Path] = m.Version
	}
	return b
}

// versionInfo is `version` under Docker's field names. Client and server are the
// same program here.
type versionInfo struct {
	Client versionHalf
	Server *versionHalf
}

type versionHalf struct {
	Platform          struct{ Name string }
	Version           string
	ApiVersion        string
	DefaultAPIVersion string `json:",omitempty"`
	MinAPIVersion     string `json:",omitempty"`
	GitCommit         string
	GoVersion         string
	Os                string
	Arch              string
	KernelVersion     string `json:",omitempty"`
	BuildTime         string `json:",omitempty"`
	Context           string `json:",omitempty"`
	Components        []versionComponent
}

// APIVersion is how older templates call ApiVersion.
func (h versionHalf) APIVersion() string { return h.ApiVersion }

type versionComponent struct {
	Name, Version string
	Details       map[string]string `json:",omitempty"`
}

func buildVersion(p *program) *command {
	var source string
	return &command{
		flags: []flag{formatShort(&source)},
		run: func(_ context.Context, _ []string) error {
			info := newVersionInfo()
			if source == "" {
				return printVersion(p.Out, info)
			}
			return format.Print(p.Out, format.Parse(source), nil, nil, []versionInfo{info})
		},
	}
}

func newVersionInfo() versionInfo {
	b := recorded()
	client := versionHalf{
		Version: version.Version, ApiVersion: apiVersion, DefaultAPIVersion: apiVersion, GitCommit: b.commit,
		GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH, BuildTime: b.time, Context: "default",
	}
	client.Platform.Name = "ctr"
	server := client
	server.Context, server.DefaultAPIVersion = "", ""
	server.MinAPIVersion = "1.24"
	server.KernelVersion = kernelRelease()
	server.Components = []versionComponent{{Name: "Engine", Version: version.Version, Details: map[string]string{"GitCommit": b.commit}}}
	const libcontainer = "github.com/opencontainers/runc"
	if v := b.modules[libcontainer]; v != "" {
		server.Components = append(server.Components, versionComponent{Name: "libcontainer", Version: strings.TrimPrefix(v, "v")})
	}
	return versionInfo{Client: client, Server: &server}
}

func printVersion(w io.Writer, info versionInfo) error {
	tabs := tabwriter.NewWriter(w, 20, 1, 1, ' ', 0)
	c, s := info.Client, info.Server
	fmt.Fprintf(tabs, "Client:\n Version:\t%s\n API version:\t%s\n Go version:\t%s\n Git commit:\t%s\n", c.Version, c.ApiVersion, c.GoVersion, c.GitCommit)
	if c.BuildTime != "" {
		fmt.Fprintf(tabs, " Built:\t%s\n", c.BuildTime)
	}
	fmt.Fprintf(tabs, " OS/Arch:\t%s/%s\n Context:\t%s\n\nServer: %s (the same program: there is no daemon)\n", c.Os, c.Arch, c.Context, s.Platform.Name)
	for _, component := range s.Components {
		fmt.Fprintf(tabs, " %s:\n  Version:\t%s\n", component.Name, component.Version)
		if component.Name == "Engine" {
			fmt.Fprintf(tabs, "  API version:\t%s (minimum version %s)\n  OS/Arch:\t%s/%s\n  Kernel:\t%s\n", s.ApiVersion, s.MinAPIVersion, s.Os, s.Arch, s.KernelVersion)
		}
	}
	return tabs.Flush()
}
