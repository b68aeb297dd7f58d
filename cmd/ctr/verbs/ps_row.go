package verbs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctr/libpod/config"
	"ctr/libpod/state"
	"ctr/pkg/format"
)

// psRow is one container as `ps` shows it. Its fields are what --format may name,
// in the order of Docker's JSON.
type psRow struct {
	Command      string
	CreatedAt    string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Names        string
	Networks     string
	Ports        string
	RunningFor   string
	Size         string
	State        string
	Status       string

	labels map[string]string
}

// Label is the value of one label, for templates.
func (r psRow) Label(name string) string { return r.labels[name] }

var psHeaders = format.Headers{
	"Command": "COMMAND", "CreatedAt": "CREATED AT", "ID": "CONTAINER ID", "Image": "IMAGE", "Labels": "LABELS",
	"LocalVolumes": "LOCAL VOLUMES", "Mounts": "MOUNTS", "Names": "NAMES", "Networks": "NETWORKS", "Ports": "PORTS",
	"RunningFor": "CREATED", "Size": "SIZE", "State": "STATE", "Status": "STATUS",
}

func psColumns(size bool) []format.Column[psRow] {
	columns := []format.Column[psRow]{
		{Header: "CONTAINER ID", Cell: func(r psRow) string { return r.ID }},
		{Header: "IMAGE", Cell: func(r psRow) string { return r.Image }},
		{Header: "COMMAND", Cell: func(r psRow) string { return r.Command }},
		{Header: "CREATED", Cell: func(r psRow) string { return r.RunningFor }},
		{Header: "STATUS", Cell: func(r psRow) string { return r.Status }},
		{Header: "PORTS", Cell: func(r psRow) string { return r.Ports }},
		{Header: "NAMES", Cell: func(r psRow) string { return r.Names }},
	}
	if size {
		columns = append(columns, format.Column[psRow]{Header: "SIZE", Cell: func(r psRow) string { return r.Size }})
	}
	return columns
}

// The widths that ps shortens to.
const (
	commandWidth = 20
	mountWidth   = 15
)

// newPsRow describes c as of now. Size stays "0B"; finding it out is expensive.
func newPsRow(c *config.Container, st state.State, now time.Time, full bool) psRow {
	row := psRow{
		Command:      commandLine(c),
		CreatedAt:    format.Timestamp(c.Created),
		ID:           c.ID,
		Image:        c.Image.Name,
		Labels:       joinLabels(c.Labels),
		LocalVolumes: strconv.Itoa(countVolumes(c)),
		Mounts:       mountNames(c, full),
		Names:        c.Name,
		Networks:     strings.Join(networkNames(c), ","),
		Ports:        portsColumn(c, st),
		RunningFor:   format.Ago(c.Created, now),
		Size:         "0B",
		State:        string(st.Status),
		Status:       statusText(st, now),
		labels:       c.Labels,
	}
	if row.Image == "" {
		row.Image = "<no image>"
	}
	if !full {
		row.ID = format.ShortID(row.ID)
		row.Command = format.Ellipsis(row.Command, commandWidth)
		row.Image = shortImage(row.Image, c.Image.ID)
	}
	row.Command = strconv.Quote(row.Command)
	return row
}

// shortImage leaves names alone, except for a digest and for a name that is the ID.
func shortImage(name, id string) string {
	if bare := strings.TrimPrefix(name, "sha256:"); id != "" && bare == id {
		return format.ShortID(id)
	}
	if repository, digest, found := strings.Cut(name, "@"); found && strings.HasPrefix(digest, "sha256:") {
		return repository
	}
	return name
}

func commandLine(c *config.Container) string {
	argv := c.Argv()
	for i, word := range argv {
		if i > 0 && strings.Contains(word, " ") {
			argv[i] = "'" + word + "'"
		}
	}
	return strings.Join(argv, " ")
}

// statusText is the STATUS column: "Up 3 seconds (healthy)", "Exited (0) 2 minutes ago".
func statusText(st state.State, now time.Time) string {
	up := "Up " + format.For(st.StartedAt, now)
	switch st.Status {
	case state.Running:
		switch {
		case st.Health == nil:
			return up
		case st.Health.Status == "starting":
			return up + " (health: starting)"
		}
		return up + " (" + st.Health.Status + ")"
	case state.Paused:
		return up + " (Paused)"
	case state.Restarting:
		return fmt.Sprintf("Restarting (%d) %s", st.Exit.Code, format.Ago(st.Exit.FinishedAt, now))
	case state.Exited:
		if st.Exit.FinishedAt.IsZero() {
			return fmt.Sprintf("Exited (%d)", st.Exit.Code)
		}
		return fmt.Sprintf("Exited (%d) %s", st.Exit.Code, format.Ago(st.Exit.FinishedAt, now))
	case state.Created:
		return "Created"
	}
	return string(st.Status)
}

func joinLabels(labels map[string]string) string {
	var pairs []string
	for key, value := range labels {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func countVolumes(c *config.Container) int {
	n := 0
	for _, m := range c.Mounts {
		if m.Type == config.MountVolume {
			n++
		}
	}
	return n
}

func mountNames(c *config.Container, full bool) string {
	var names []string
	for _, m := range c.Mounts {
		if m.Type == config.MountTmpfs {
			continue
		}
		name := m.Source
		if !full {
			name = format.Ellipsis(name, mountWidth)
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}
