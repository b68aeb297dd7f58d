package verbs

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/docker/go-units"

	"ctr/pkg/format"
)

// systemInfo is `info` under Docker's field names, and what only ctr knows.
type systemInfo struct {
	ID                string
	Containers        int
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Images            int
	Driver            string
	Plugins           plugins
	LoggingDriver     string
	CgroupDriver      string
	CgroupVersion     string
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string
	NCPU              int
	MemTotal          int64
	DockerRootDir     string
	Name              string
	ServerVersion     string
	Runtimes          map[string]runtimeInfo
	DefaultRuntime    string
	SecurityOptions   []string
	Ctr               ctrInfo
	Warnings          []string
}

type runtimeInfo struct {
	Path string `json:"path"`
}

// plugins are the drivers that there are, all built in.
type plugins struct {
	Volume        []string
	Network       []string
	Authorization []string
	Log           []string
}

// networkLink connects the bridges of an ordinary user to the host.
type networkLink struct {
	Name        string            // in use, or would be used; "" as root, which needs none
	InUse       bool              // by containers that run now
	Note        string            `json:",omitempty"` // why it is not a better one
	Unavailable map[string]string `json:",omitempty"` // the links that cannot be used, and why
}

func (l networkLink) String() string {
	switch {
	case l.Name == "":
		return "none needed"
	case l.InUse:
		return l.Name + " (in use)"
	}
	return l.Name
}

// ctrInfo is what Docker has no field for.
type ctrInfo struct {
	Rootless       bool
	ImageStore     string
	RunDirectory   string
	SubordinateIDs string
	MountProgram   string `json:",omitempty"`
	NetworkLink    networkLink
	FullProgram    string
}

func printInfo(w io.Writer, info systemInfo) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Client:\n Version:    %s\n Context:    default\n Debug Mode: false\n\nServer:", info.ServerVersion)
	line(" Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d", info.Containers, info.ContainersRunning, info.ContainersPaused, info.ContainersStopped)
	line(" Images: %d\n Server Version: %s\n Storage Driver: %s\n Logging Driver: %s", info.Images, info.ServerVersion, info.Driver, info.LoggingDriver)
	line(" Cgroup Driver: %s\n Cgroup Version: %s", info.CgroupDriver, info.CgroupVersion)
	line(" Plugins:\n  Volume: %s\n  Network: %s\n  Log: %s",
		strings.Join(info.Plugins.Volume, " "), strings.Join(info.Plugins.Network, " "), strings.Join(info.Plugins.Log, " "))
	line(" Runtimes: %s\n Default Runtime: %s", strings.Join(sortedKeys(info.Runtimes), " "), info.DefaultRuntime)
	line(" Security Options:")
	for _, option := range info.SecurityOptions {
		line("  %s", strings.TrimPrefix(option, "name="))
	}
	line(" Kernel Version: %s\n Operating System: %s\n OSType: %s\n Architecture: %s", info.KernelVersion, info.OperatingSystem, info.OSType, info.Architecture)
	line(" CPUs: %d\n Total Memory: %s\n Name: %s\n ID: %s", info.NCPU, units.BytesSize(float64(info.MemTotal)), info.Name, info.ID)
	line(" Docker Root Dir: %s", info.DockerRootDir)
	line(" Image Store: %s\n Run Directory: %s\n Rootless: %t\n Subordinate IDs: %s", info.Ctr.ImageStore, info.Ctr.RunDirectory, info.Ctr.Rootless, info.Ctr.SubordinateIDs)
	if info.Ctr.MountProgram != "" {
		line(" Mount Program: %s", info.Ctr.MountProgram)
	}
	line(" Network Link: %s", info.Ctr.NetworkLink)
	for _, name := range sortedKeys(info.Ctr.NetworkLink.Unavailable) {
		line("  %s: %s", name, info.Ctr.NetworkLink.Unavailable[name])
	}
	line(" Full Program: %s", info.Ctr.FullProgram)
	_, err := io.WriteString(w, b.String())
	return err
}

func buildInfo(p *program) *command {
	var source string
	return &command{
		flags: []flag{formatShort(&source)},
		run: func(_ context.Context, _ []string) error {
			info, err := gatherInfo()
			if err != nil {
				return err
			}
			for _, warning := range info.Warnings {
				defer fmt.Fprintln(p.Err, "WARNING: "+warning)
			}
			if source == "" {
				return printInfo(p.Out, info)
			}
			return format.Print(p.Out, format.Parse(source), nil, nil, []systemInfo{info})
		},
	}
}
