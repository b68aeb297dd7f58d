package verbs

import (
	"slices"
	"strings"
)

// verb is one row of the table of commands.
type verb struct {
	paths  []string // every way to call it, grouped ones first, as help lists them
	args   string   // what follows the name in the usage line
	about  string
	common bool   // listed first in help
	more   string // closes the command's help
	build  func(*program) *command
}

// groups are the management commands.
var groups = []struct{ name, about string }{
	{"container", "Manage containers"},
	{"image", "Manage images"},
	{"network", "Manage networks"},
}

const (
	many         = "CONTAINER [CONTAINER...]"
	manyNetworks = "NETWORK [NETWORK...]"
)

// verbTable lists every command in the order of the help. It is filled by init
// because the rows' functions refer to the table for their help.
var verbTable []verb

func init() {
	verbTable = []verb{
		{paths: twin("run"), args: "[OPTIONS] IMAGE [COMMAND] [ARG...]", about: "Create and run a new container from an image", common: true, more: runCodes, build: buildRun},
		{paths: twin("exec"), args: "[OPTIONS] CONTAINER COMMAND [ARG...]", about: "Execute a command in a running container", common: true, build: buildExec},
		{paths: []string{"container ls", "container list", "container ps", "ps"}, args: "[OPTIONS]", about: "List containers", common: true, build: buildPs},
		{paths: []string{"image pull", "pull"}, args: "[OPTIONS] NAME[:TAG|@DIGEST]", about: "Download an image from a registry", common: true, build: buildPull},
		{paths: []string{"image ls", "image list", "images"}, args: "[OPTIONS] [REPOSITORY[:TAG]]", about: "List images", common: true, build: buildImages},
		{paths: []string{"version"}, args: "[OPTIONS]", about: "Show the version of ctr and of what it uses", common: true, build: buildVersion},
		{paths: []string{"info"}, args: "[OPTIONS]", about: "Display system-wide information", common: true, build: buildInfo},

		{paths: twin("attach"), args: "[OPTIONS] CONTAINER", about: "Attach local standard input, output, and error streams to a running container", build: buildAttach},
		{paths: twin("create"), args: "[OPTIONS] IMAGE [COMMAND] [ARG...]", about: "Create a new container", build: buildCreate},
		{paths: []string{"events"}, args: "[OPTIONS]", about: "Show what happened to containers, images and networks, and what happens", build: buildEvents},
		{paths: []string{"image import", "import"}, args: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]", about: "Import the contents from a tarball to create a filesystem image", build: buildImport},
		{paths: []string{"inspect"}, args: "[OPTIONS] NAME|ID [NAME|ID...]", about: "Return low-level information on containers, images and networks", build: buildInspect},
		{paths: []string{"container inspect"}, args: "[OPTIONS] " + many, about: "Display detailed information on one or more containers", build: buildInspectContainer},
		{paths: []string{"image inspect"}, args: "[OPTIONS] IMAGE [IMAGE...]", about: "Display detailed information on one or more images", build: buildInspectImage},
		{paths: twin("kill"), args: "[OPTIONS] " + many, about: "Kill one or more running containers", build: buildKill},
		{paths: []string{"image load", "load"}, args: "[OPTIONS]", about: "Load an image from a tar archive or STDIN", build: buildLoad},
		{paths: twin("logs"), args: "[OPTIONS] CONTAINER", about: "Fetch the logs of a container", build: buildLogs},
		{paths: []string{"network connect"}, args: "[OPTIONS] NETWORK CONTAINER", about: "Connect a container to a network", build: buildNetworkConnect},
		{paths: []string{"network create"}, args: "[OPTIONS] NETWORK", about: "Create a network", build: buildNetworkCreate},
		{paths: []string{"network disconnect"}, args: "[OPTIONS] NETWORK CONTAINER", about: "Disconnect a container from a network", build: buildNetworkDisconnect},
		{paths: []string{"network exists"}, args: "NETWORK", about: "Tell by the exit code whether a network exists", build: buildNetworkExists},
		{paths: []string{"network inspect"}, args: "[OPTIONS] " + manyNetworks, about: "Display detailed information on one or more networks", build: buildNetworkInspect},
		{paths: []string{"network ls", "network list"}, args: "[OPTIONS]", about: "List networks", build: buildNetworkLs},
		{paths: []string{"network prune"}, args: "[OPTIONS]", about: "Remove all unused networks", build: buildNetworkPrune},
		{paths: []string{"network reload"}, args: "[OPTIONS] [CONTAINER...]", about: "Set up the networks of running containers again", build: buildNetworkReload},
		{paths: []string{"network rm", "network remove"}, args: "[OPTIONS] " + manyNetworks, about: "Remove one or more networks", build: buildNetworkRm},
		{paths: []string{"network update"}, args: "[OPTIONS] NETWORK", about: "Change the DNS servers of a network", build: buildNetworkUpdate},
		{paths: twin("pause"), args: many, about: "Pause all processes within one or more containers", build: buildPause},
		{paths: twin("port"), args: "CONTAINER [PRIVATE_PORT[/PROTO]]", about: "List port mappings or a specific mapping for the container", build: buildPort},
		{paths: twin("rename"), args: "CONTAINER NEW_NAME", about: "Rename a container", build: buildRename},
		{paths: twin("restart"), args: "[OPTIONS] " + many, about: "Restart one or more containers", build: buildRestart},
		{paths: []string{"container rm", "container remove", "rm"}, args: "[OPTIONS] " + many, about: "Remove one or more containers", build: buildRm},
		{paths: []string{"image rm", "image remove", "rmi"}, args: "[OPTIONS] IMAGE [IMAGE...]", about: "Remove one or more images", build: buildRmi},
		{paths: twin("start"), args: "[OPTIONS] " + many, about: "Start one or more stopped containers", build: buildStart},
		{paths: twin("stop"), args: "[OPTIONS] " + many, about: "Stop one or more running containers", build: buildStop},
		{paths: []string{"image tag", "tag"}, args: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", build: buildTag},
		{paths: twin("top"), args: "CONTAINER [ps OPTIONS]", about: "Display the running processes of a container", build: buildTop},
		{paths: twin("unpause"), args: many, about: "Unpause all processes within one or more containers", build: buildUnpause},
		{paths: []string{"unshare"}, args: "[COMMAND [ARG...]]", about: "Run a command in the user namespace that containers' files are owned in", build: buildUnshare},
		{paths: twin("wait"), args: many, about: "Block until one or more containers stop, then print their exit codes", build: buildWait},
	}
}

// runCodes closes the help of run, because it is the one place where codes are not obvious.
const runCodes = `Exit codes:
  125  ctr could not start the container
  126  the command cannot be executed
  127  the command was not found
  else the code of the container's process, 128+n if signal n killed it`

func twin(name string) []string { return []string{"container " + name, name} }

func findVerb(path string) *verb {
	for i := range verbTable {
		if slices.Contains(verbTable[i].paths, path) {
			return &verbTable[i]
		}
	}
	return nil
}

func isGroup(name string) bool {
	for _, g := range groups {
		if g.name == name {
			return true
		}
	}
	return false
}

// top is the verb's name without a group, or "".
func (v *verb) top() string {
	if last := v.paths[len(v.paths)-1]; !strings.Contains(last, " ") {
		return last
	}
	return ""
}

// in is the verb's name in a group, or "".
func (v *verb) in(group string) string {
	name, found := strings.CutPrefix(v.paths[0], group+" ")
	if !found {
		return ""
	}
	return name
}

// groupVerbs lists a group's verbs by name.
func groupVerbs(group string) []*verb {
	var vs []*verb
	for i := range verbTable {
		if verbTable[i].in(group) != "" {
			vs = append(vs, &verbTable[i])
		}
	}
	slices.SortFunc(vs, func(a, b *verb) int { return strings.Compare(a.in(group), b.in(group)) })
	return vs
}
