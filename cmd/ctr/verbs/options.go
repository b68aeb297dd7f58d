package verbs

import (
	"errors"
	"fmt"
	"time"

	"ctr/libpod/config"
	"ctr/libpod/config/parse"
	"ctr/libpod/logs"
)

// createOptions is what the flags of run and create say, each parsed into its type.
type createOptions struct {
	name, image string
	args        []string // after the image
	entrypoint  *string

	interactive, tty, detach, autoRemove, init, readOnly, quiet bool

	attach []string // stdin, stdout, stderr

	env         []string // KEY=VALUE, or KEY to take it away
	labels      []string // KEY or KEY=VALUE
	annotations []string // KEY=VALUE
	sysctls     []string // KEY=VALUE
	user        string
	groupAdd    []string
	workdir     string
	hostname    string
	domainname  string

	mounts     []config.Mount
	devices    []config.Device
	ulimits    []config.Ulimit
	shmSize    int64
	security   config.Security
	namespaces config.Namespaces
	dns        config.DNS
	net        networkOptions
	expose     []string // port/proto

	stopSignal  string
	stopTimeout *int
	timeout     int // seconds
	restart     config.Restart
	health      healthOptions
	log         config.Log
	oomScoreAdj *int

	runtime, platform, pull string
	cidFile, pidFile        string
	detachKeys              string
	sigProxy                bool
	preserveFDs             int

	typed asTyped
}

// asTyped holds the flags that are read after all others, as Docker does: a
// mistake in them is one of the container, not of the command line's grammar.
type asTyped struct {
	capAdd, capDrop, securityOpts   []string
	devices, volumes, tmpfs, expose []string
	envFiles, labelFiles            []string
	logDriver, restart              string
	logOpts                         []string
}

// settle parses what was left as typed.
func (o *createOptions) settle() (err error) {
	t := o.typed
	privileged := o.security.Privileged
	if o.security, err = parse.SecurityOpts(t.securityOpts); err != nil {
		return err
	}
	o.security.Privileged = privileged
	if o.security.CapAdd, err = parseAll(t.capAdd, parse.CapAdd); err != nil {
		return err
	}
	if o.security.CapDrop, err = parseAll(t.capDrop, parse.CapDrop); err != nil {
		return err
	}
	if o.devices, err = parseAll(t.devices, parse.Device); err != nil {
		return err
	}
	if err := o.settleMounts(); err != nil {
		return err
	}
	if o.expose, err = parse.Expose(t.expose); err != nil {
		return err
	}
	if o.env, err = environment(t.envFiles, o.env); err != nil {
		return err
	}
	if o.labels, err = labels(t.labelFiles, o.labels); err != nil {
		return err
	}
	return o.settleLife()
}

// settleLife reads how the container is restarted, logged and connected.
func (o *createOptions) settleLife() (err error) {
	t := o.typed
	if t.restart != "" {
		if o.restart, err = parse.Restart(t.restart); err != nil {
			return err
		}
	}
	if o.log, err = parse.Log(t.logDriver, t.logOpts); err != nil {
		return err
	}
	if err := logs.Validate(o.log); err != nil {
		return err
	}
	return o.net.settle()
}

// settleMounts puts --volume and --tmpfs after --mount, in the order of each.
func (o *createOptions) settleMounts() error {
	volumes, err := parseAll(o.typed.volumes, parse.Volume)
	if err != nil {
		return err
	}
	tmpfs, err := parseAll(o.typed.tmpfs, parse.Tmpfs)
	if err != nil {
		return err
	}
	o.mounts = append(append(o.mounts, volumes...), tmpfs...)
	for _, m := range o.mounts {
		if err := parse.PrepareSource(m); err != nil {
			return err
		}
	}
	return nil
}

func parseAll[T any](words []string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, word := range words {
		v, err := parse(word)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// labels are those of the files and then of the flags.
func labels(files, flags []string) ([]string, error) {
	var all []string
	for _, name := range files {
		lines, err := parse.LabelFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return append(all, flags...), nil
}

// healthOptions is what --health-* and --no-healthcheck say.
type healthOptions struct {
	cmd                                           string
	interval, timeout, startPeriod, startInterval time.Duration
	retries                                       int
	none                                          bool
}

func (h healthOptions) given() bool {
	return h.cmd != "" || h.interval != 0 || h.timeout != 0 || h.startPeriod != 0 || h.startInterval != 0 || h.retries != 0
}

// check finds what is wrong among the flags themselves.
func (h healthOptions) check() error {
	if h.none && h.given() {
		return errors.New("--no-healthcheck conflicts with --health-* options")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"interval", h.interval}, {"timeout", h.timeout}, {"start-period", h.startPeriod}, {"start-interval", h.startInterval}, {"retries", time.Duration(h.retries)},
	} {
		if d.value < 0 {
			return fmt.Errorf("--health-%s cannot be negative", d.name)
		}
	}
	return nil
}
