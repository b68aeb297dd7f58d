package verbs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ctr/libpod"
	"ctr/libpod/logs"
	"ctr/libpod/state"
	"ctr/netns/lease"
)

func buildNetworkPrune(p *program) *command {
	var force bool
	var wanted filters
	return &command{
		flags: []flag{
			longOnly(filterFlag(&wanted)),
			boolean(&force, "force,f", "Do not prompt for confirmation"),
		},
		run: func(context.Context, []string) error { return p.pruneNetworks(wanted, force) },
	}
}

// longOnly takes a flag's letter away.
func longOnly(f flag) flag {
	f.Short = ""
	return f
}

func (p *program) pruneNetworks(wanted filters, force bool) error {
	if !force && !p.confirm("WARNING! This will remove all custom networks not used by at least one container.") {
		return nil
	}
	if err := wanted.known("label", "label!", "until"); err != nil {
		return err
	}
	until := time.Time{}
	for _, value := range wanted["until"] {
		t, err := logs.ParseTime(value, time.Now())
		if err != nil {
			return err
		}
		until = t
	}
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	all, unreadable := runtime.Networks().List()
	errs := []error{unreadable}
	var deleted []string
	for _, n := range all {
		if n.Predefined() || n.ConfigOnly || !wanted.labels(n.Labels) || !until.IsZero() && n.Created.After(until) {
			continue
		}
		err := runtime.Leases().Hold(n.ID, func(live []lease.Lease) error {
			if len(live) > 0 {
				return nil
			}
			err := discardNetwork(runtime, n)
			if err == nil {
				deleted = append(deleted, n.Name)
			}
			return err
		})
		errs = append(errs, err)
	}
	runtime.Log(state.Event{Type: "network", Action: "prune", Attributes: map[string]string{"reclaimed": "0"}})
	if len(deleted) > 0 {
		fmt.Fprintf(p.Out, "Deleted Networks:\n%s\n\n", strings.Join(deleted, "\n"))
	}
	return errors.Join(errs...)
}

// confirm asks on the terminal; anything but y is a no.
func (p *program) confirm(warning string) bool {
	fmt.Fprintf(p.Out, "%s\nAre you sure you want to continue? [y/N] ", warning)
	answer, _ := bufio.NewReader(p.In).ReadString('\n') // none is a no too
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}
