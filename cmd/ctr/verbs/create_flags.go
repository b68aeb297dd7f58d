package verbs

import (
	"errors"
	"path/filepath"
	"strings"

	"ctr/libpod/config/parse"
)

func newCreateOptions() *createOptions {
	return &createOptions{pull: string(pullMissing), sigProxy: true}
}

// flags are those that run and create share, in the order of the help.
func (o *createOptions) flags() []flag {
	flags := []flag{
		collected(&o.dns.ExtraHosts, "add-host", "list", "Add a custom host-to-IP mapping (host:ip)", parse.AddHost),
		collected(&o.annotations, "annotation", "map", "Add an annotation to the container (passed through to the OCI runtime)", parse.Annotation),
		collected(&o.attach, "attach,a", "list", "Attach to STDIN, STDOUT or STDERR", parseStream),
		list(&o.typed.capAdd, "cap-add", "Add Linux capabilities"),
		list(&o.typed.capDrop, "cap-drop", "Drop Linux capabilities"),
		text(&o.namespaces.Cgroup, "cgroupns", "Cgroup namespace to use (host|private)"),
		hostPath(&o.cidFile, "cidfile", "Write the container ID to the file"),
		list(&o.typed.devices, "device", "Add a host device to the container"),
		trustFlag(),
		collected(&o.dns.Servers, "dns", "list", "Set custom DNS servers", parse.DNS),
		list(&o.dns.Options, "dns-option", "Set DNS options").also("dns-opt"),
		collected(&o.dns.Search, "dns-search", "list", "Set custom DNS search domains", parse.DNSSearch),
		text(&o.domainname, "domainname", "Container NIS domain name"),
		parsed(&o.entrypoint, "entrypoint", "string", "Overwrite the default ENTRYPOINT of the image", given),
		envFlag(&o.env),
		list(&o.typed.envFiles, "env-file", "Read in a file of environment variables"),
		list(&o.typed.expose, "expose", "Expose a port or a range of ports"),
		list(&o.groupAdd, "group-add", "Add additional groups to join"),
	}
	flags = append(flags, o.health.flags()...)
	flags = append(flags,
		text(&o.hostname, "hostname,h", "Container host name"),
		boolean(&o.init, "init", "Run an init inside the container that forwards signals and reaps processes"),
		boolean(&o.interactive, "interactive,i", "Keep STDIN open even if not attached"),
		text(&o.namespaces.IPC, "ipc", "IPC mode to use"),
		collected(&o.labels, "label,l", "list", "Set meta data on a container", parse.Label),
		list(&o.typed.labelFiles, "label-file", "Read in a line delimited file of labels"),
		text(&o.typed.logDriver, "log-driver", "Logging driver for the container"),
		list(&o.typed.logOpts, "log-opt", "Log driver options"),
		collected(&o.mounts, "mount", "mount", "Attach a filesystem mount to the container", parse.Mount),
		text(&o.name, "name", "Assign a name to the container"),
		boolean(&o.health.none, "no-healthcheck", "Disable any container-specified HEALTHCHECK"),
		optionalInt(&o.oomScoreAdj, "oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
		text(&o.namespaces.PID, "pid", "PID namespace to use"),
		hostPath(&o.pidFile, "pid-file", "Write the process ID of the container to the file when it starts"),
		text(&o.platform, "platform", "Use the image for this platform (os/arch[/variant])"),
		boolean(&o.security.Privileged, "privileged", "Give extended privileges to this container"),
		text(&o.pull, "pull", `Pull image before running ("always", "missing", "never")`).defaults(`"missing"`),
		boolean(&o.quiet, "quiet,q", "Suppress the pull output"),
		boolean(&o.readOnly, "read-only", "Mount the container's root filesystem as read only"),
		text(&o.typed.restart, "restart", "Restart policy to apply when a container exits").defaults(`"no"`),
		boolean(&o.autoRemove, "rm", "Automatically remove the container and its associated anonymous volumes when it exits"),
		text(&o.runtime, "runtime", "OCI runtime to use for this container: a program's name or path; without, the built-in one"),
		list(&o.typed.securityOpts, "security-opt", "Security Options"),
		parsed(&o.shmSize, "shm-size", "bytes", "Size of /dev/shm", parse.Bytes),
		text(&o.stopSignal, "stop-signal", "Signal to stop the container"),
		optionalInt(&o.stopTimeout, "stop-timeout", "Timeout (in seconds) to stop a container"),
		collected(&o.sysctls, "sysctl", "map", "Sysctl options", parse.Sysctl),
		integer(&o.timeout, "timeout", "Kill the container when it has run for this many seconds"),
		list(&o.typed.tmpfs, "tmpfs", "Mount a tmpfs directory"),
		boolean(&o.tty, "tty,t", "Allocate a pseudo-TTY"),
		collected(&o.ulimits, "ulimit", "ulimit", "Ulimit options", parse.Ulimit),
		text(&o.user, "user,u", `Username or UID (format: "<name|uid>[:<group|gid>]")`),
		text(&o.namespaces.User, "userns", "User namespace to use"),
		text(&o.namespaces.UTS, "uts", "UTS namespace to use"),
		list(&o.typed.volumes, "volume,v", "Bind mount a volume"),
		text(&o.workdir, "workdir,w", "Working directory inside the container"),
	)
	return append(flags, o.net.flags()...)
}

// runFlags are those that only run has.
func (o *createOptions) runFlags() []flag {
	return []flag{
		boolean(&o.detach, "detach,d", "Run container in background and print container ID"),
		text(&o.detachKeys, "detach-keys", "Override the key sequence for detaching a container"),
		integer(&o.preserveFDs, "preserve-fds", "Pass this many open file descriptors, from 3 on, to the container"),
		boolean(&o.sigProxy, "sig-proxy", "Proxy received signals to the process").defaults("true"),
	}
}

func (h *healthOptions) flags() []flag {
	return []flag{
		text(&h.cmd, "health-cmd", "Command to run to check health"),
		duration(&h.interval, "health-interval", "Time between running the check (ms|s|m|h) (default 0s)"),
		integer(&h.retries, "health-retries", "Consecutive failures needed to report unhealthy"),
		duration(&h.startInterval, "health-start-interval", "Time between running the check during the start period (ms|s|m|h) (default 0s)"),
		duration(&h.startPeriod, "health-start-period", "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)"),
		duration(&h.timeout, "health-timeout", "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
	}
}

func envFlag(to *[]string) flag {
	return collected(to, "env,e", "list", "Set environment variables", parse.Env)
}

// hostPath is a file on the host; it is made absolute because others will open it.
func hostPath(to *string, names, about string) flag {
	return parsed(to, names, "string", about, filepath.Abs)
}

func given(s string) (*string, error) { return &s, nil }

func parseStream(s string) (string, error) {
	switch s := strings.ToLower(s); s {
	case "stdin", "stdout", "stderr":
		return s, nil
	}
	return "", errors.New("valid streams are STDIN, STDOUT and STDERR")
}

// environment is what the files and then the flags set.
func environment(files, flags []string) ([]string, error) {
	var env []string
	for _, name := range files {
		lines, err := parse.EnvFile(name)
		if err != nil {
			return nil, err
		}
		env = append(env, lines...)
	}
	return append(env, flags...), nil
}
