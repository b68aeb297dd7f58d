package verbs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ctr/libpod"
	"ctr/netns/network"
	"ctr/pkg/format"
)

type networkLsOptions struct {
	quiet, noTrunc, noHeading bool
	format                    string
	filters                   filters
}

func buildNetworkLs(p *program) *command {
	var o networkLsOptions
	return &command{
		flags: []flag{
			filterFlag(&o.filters),
			formatFlag(&o.format, tableHelp),
			boolean(&o.noTrunc, "no-trunc", "Do not truncate the output"),
			boolean(&o.noHeading, "noheading,n", "Do not print headers"),
			boolean(&o.quiet, "quiet,q", "Only display network IDs"),
		},
		run: func(context.Context, []string) error { return p.listNetworks(o) },
	}
}

// networkRow is one network as `network ls` shows it. Its fields are what --format
// may name, in the order of Docker's JSON.
type networkRow struct {
	CreatedAt string
	Driver    string
	ID        string
	IPv4      string
	IPv6      string
	Internal  string
	Labels    string
	Name      string
	Scope     string

	labels map[string]string
}

// Label is the value of one label, for templates.
func (r networkRow) Label(name string) string { return r.labels[name] }

var networkHeaders = format.Headers{
	"CreatedAt": "CREATED AT", "Driver": "DRIVER", "ID": "NETWORK ID", "IPv4": "IPV4", "IPv6": "IPV6",
	"Internal": "INTERNAL", "Labels": "LABELS", "Name": "NAME", "Scope": "SCOPE",
}

var networkColumns = []format.Column[networkRow]{
	{Header: "NETWORK ID", Cell: func(r networkRow) string { return r.ID }},
	{Header: "NAME", Cell: func(r networkRow) string { return r.Name }},
	{Header: "DRIVER", Cell: func(r networkRow) string { return r.Driver }},
	{Header: "SCOPE", Cell: func(r networkRow) string { return r.Scope }},
}

func newNetworkRow(n *network.Network, full bool) networkRow {
	row := networkRow{
		CreatedAt: n.Created.UTC().Format("2006-01-02 15:04:05.999999999 -0700 MST"),
		Driver:    driverOf(n),
		ID:        n.ID,
		IPv4:      strconv.FormatBool(!n.NoIPv4),
		IPv6:      strconv.FormatBool(n.IPv6),
		Internal:  strconv.FormatBool(n.Internal),
		Labels:    joinLabels(n.Labels),
		Name:      n.Name,
		Scope:     "local",
		labels:    n.Labels,
	}
	if !full {
		row.ID = format.ShortID(n.ID)
	}
	return row
}

// driverOf is the driver as Docker shows it: a configuration has none.
func driverOf(n *network.Network) string {
	if n.ConfigOnly {
		return network.Null
	}
	return n.Driver
}

func (p *program) listNetworks(o networkLsOptions) error {
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	wanted, err := compileNetworkFilters(o.filters)
	if err != nil {
		return err
	}
	all, unreadable := runtime.Networks().List()
	var rows []networkRow
	for _, n := range all {
		fits, err := wanted.fits(runtime, n)
		if err != nil {
			return err
		}
		if fits {
			rows = append(rows, newNetworkRow(n, o.noTrunc))
		}
	}
	return errors.Join(p.printNetworks(o, rows), unreadable)
}

func (p *program) printNetworks(o networkLsOptions, rows []networkRow) error {
	f := format.Parse(o.format)
	if o.quiet && o.format == "" {
		f = format.Format{Template: "{{.ID}}"}
	}
	var out bytes.Buffer
	if err := format.Print(&out, f, networkColumns, networkHeaders, rows); err != nil {
		return err
	}
	if o.noHeading && !o.quiet && (o.format == "" || strings.HasPrefix(o.format, "table")) {
		out.ReadString('\n') // the buffer always has a heading
	}
	_, err := p.Out.Write(out.Bytes())
	return err
}

// networkFilters are the filters of `network ls` with their values understood.
type networkFilters struct {
	filters
	dangling *bool
}

func compileNetworkFilters(f filters) (networkFilters, error) {
	if err := f.known("dangling", "driver", "id", "label", "label!", "name", "scope", "type"); err != nil {
		return networkFilters{}, err
	}
	dangling, err := f.flag("dangling")
	if err != nil {
		return networkFilters{}, errors.New(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`)
	}
	for _, kind := range f["type"] {
		if kind != "custom" && kind != "builtin" {
			return networkFilters{}, fmt.Errorf("invalid filter: 'type'='%s'", kind)
		}
	}
	return networkFilters{f, dangling}, nil
}

func (f networkFilters) fits(runtime *libpod.Runtime, n *network.Network) (bool, error) {
	kind := "custom"
	if n.Predefined() {
		kind = "builtin"
	}
	if !f.exact("driver", driverOf(n)) || !f.match("id", n.ID) || !f.match("name", n.Name) || !f.labels(n.Labels) ||
		!f.exact("scope", "local") || !f.exact("type", kind) {
		return false, nil
	}
	if f.dangling == nil {
		return true, nil
	}
	live, err := users(runtime, n)
	return (kind == "custom" && len(live) == 0) == *f.dangling, err
}
