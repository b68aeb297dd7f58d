package verbs

import "time"

// The types of this file have the fields and JSON keys of Docker's Engine API 1.50.
// They are not moby's own because those pull in go-digest, whose initialisation
// alone is a third of the lean program's.

// containerInfo is what `inspect` shows of a container.
type containerInfo struct {
	ID              string `json:"Id"`
	Created         string
	Path            string
	Args            []string
	State           containerState
	Image           string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      hostConfig
	GraphDriver     graphDriver
	SizeRw          *int64 `json:",omitempty"`
	SizeRootFs      *int64 `json:",omitempty"`
	Mounts          []mountPoint
	Config          containerConfig
	NetworkSettings networkInfo
}

type containerState struct {
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  string
	FinishedAt string
	Health     *healthState `json:",omitempty"`
}

type healthState struct {
	Status        string
	FailingStreak int
	Log           []healthResult
}

type healthResult struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

type graphDriver struct {
	Data map[string]string
	Name string
}

type mountPoint struct {
	Type        string
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
}

type containerConfig struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	ExposedPorts nameSet `json:",omitempty"`
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Healthcheck  *healthcheck `json:",omitempty"`
	Image        string
	Volumes      nameSet
	WorkingDir   string
	Entrypoint   []string
	OnBuild      []string
	Labels       map[string]string
	MacAddress   string `json:",omitempty"`
	StopSignal   string `json:",omitempty"`
	StopTimeout  *int   `json:",omitempty"`
}

// nameSet is the form in which Docker's JSON holds a set of names.
type nameSet map[string]struct{}

type healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// imageInfo is what `inspect` shows of an image.
type imageInfo struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Parent       string
	Comment      string
	Created      string `json:",omitempty"`
	Author       string
	Config       imageConfig
	Architecture string
	Variant      string `json:",omitempty"`
	Os           string
	Size         int64
	GraphDriver  graphDriver
	RootFS       rootFS
	Metadata     imageMetadata
}

type rootFS struct {
	Type   string
	Layers []string `json:",omitempty"`
}

type imageMetadata struct{ LastTagTime time.Time }

type imageConfig struct {
	User         string       `json:",omitempty"`
	ExposedPorts nameSet      `json:",omitempty"`
	Env          []string     `json:",omitempty"`
	Entrypoint   []string     `json:",omitempty"`
	Cmd          []string     `json:",omitempty"`
	Volumes      nameSet      `json:",omitempty"`
	WorkingDir   string       `json:",omitempty"`
	Labels       labelMap     `json:",omitempty"`
	StopSignal   string       `json:",omitempty"`
	Healthcheck  *healthcheck `json:",omitempty"`
	OnBuild      []string     `json:",omitempty"`
	Shell        []string     `json:",omitempty"`
}

type labelMap map[string]string
