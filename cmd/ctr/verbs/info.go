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

// ctrInfo is what Docker has no field for.
type ctrInfo struct {
	Rootless       bool
	ImageStore     string
	RunDirectory   string
	SubordinateIDs string
	MountProgram   string `json:",omitempty"`
	NetworkHelpers map[string]string
	FullProgram    string
}

func printInfo(w io.Writer, info systemInfo) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Client:\n Version:    %s\n Context:    default\n Debug Mode: false\n\nServer:", info.ServerVersion)
	line(" Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d", info.Containers, info.ContainersRunning, info.ContainersPaused, info.ContainersStopped)
	line(" Images: %d\n Server Version: %s\n Storage Driver: %s\n Logging Driver: %s", info.Images, info.ServerVersion, info.Driver, info.LoggingDriver)
	line(" Cgroup Driver: %s\n Cgroup Version: %s", info.CgroupDriver, info.CgroupVersion)
	line(" Plugins:\n  Volume: local\n  Network: host none pasta slirp4netns builtin\n  Log: json-file k8s-file none passthrough journald")
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
	line(" Network Helpers: %s\n Full Program: %s", strings.Join(sortedKeys(info.Ctr.NetworkHelpers), " "), info.Ctr.FullProgram)
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
