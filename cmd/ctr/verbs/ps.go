package verbs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ctr/libpod"
	"ctr/pkg/format"
	"ctr/storage"
)

type psOptions struct {
	all, latest, quiet, size, noTrunc bool
	last                              int
	format                            string
	filters                           filters
}

func buildPs(p *program) *command {
	o := psOptions{last: -1}
	return &command{
		flags: []flag{
			boolean(&o.all, "all,a", "Show all containers (default shows just running)"),
			filterFlag(&o.filters),
			formatFlag(&o.format, tableHelp),
			integer(&o.last, "last,n", "Show n last created containers (includes all states)").defaults("-1"),
			boolean(&o.latest, "latest,l", "Show the latest created container (includes all states)"),
			boolean(&o.noTrunc, "no-trunc", "Don't truncate output"),
			boolean(&o.quiet, "quiet,q", "Only display container IDs"),
			boolean(&o.size, "size,s", "Display total file sizes"),
		},
		run: func(ctx context.Context, _ []string) error { return p.ps(ctx, o) },
	}
}

func (p *program) ps(ctx context.Context, o psOptions) error {
	if o.latest && o.last < 0 {
		o.last = 1
	}
	f := format.Parse(o.format)
	if o.quiet && o.format == "" {
		f = format.Format{Template: "{{.ID}}"}
	}
	o.size = o.size || f.Mentions("Size") && !f.JSON
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	wanted, err := o.compile(runtime)
	if err != nil {
		return err
	}
	list, unreadable := o.choose(runtime, wanted)
	now := time.Now()
	rows := make([]psRow, 0, len(list))
	for _, c := range list {
		row := newPsRow(c.Config(), c.state, now, o.noTrunc)
		if o.size {
			if row.Size, err = sizeColumn(c.Container); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
	if o.quiet && o.format == "" {
		err = p.printIDs(rows)
	} else {
		err = format.Print(p.Out, f, psColumns(o.size), psHeaders, rows)
	}
	lost := slices.ContainsFunc(list, func(f found) bool { return f.state.Unsettled })
	if o.all && (lost || runtime.HasTrash()) {
		runtime.Repair(ctx)
	}
	return errors.Join(err, unreadable)
}

// printIDs needs no template.
func (p *program) printIDs(rows []psRow) error {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(row.ID)
		b.WriteByte('\n')
	}
	_, err := p.Out.WriteString(b.String())
	return err
}

// sizeColumn is what the container wrote, and that with its image.
func sizeColumn(c *libpod.Container) (string, error) {
	written, err := c.Size()
	if err != nil {
		return "", err
	}
	image := imageSize(c.Config().Image.ID)
	if image == 0 {
		return format.Size(written), nil
	}
	return fmt.Sprintf("%s (virtual %s)", format.Size(written), format.Size(written+image)), nil
}

// imageSize is 0 for an image that is gone.
func imageSize(id string) int64 {
	store, err := storage.Open()
	if err != nil {
		return 0
	}
	img, err := store.Lookup(id)
	if err != nil {
		return 0
	}
	size, err := store.Size(img)
	if err != nil {
		return 0
	}
	return size
}

const (
	tableHelp = "Format output using a custom template:\n" +
		"'table':            Print output in table format with column headers (default)\n" +
		"'table TEMPLATE':   Print output in table format using the given Go template\n" +
		"'json':             Print in JSON format\n" +
		"'TEMPLATE':         Print output using the given Go template"
	templateHelp = "Format output using a custom template:\n" +
		"'json':             Print in JSON format\n" +
		"'TEMPLATE':         Print output using the given Go template"
)

func formatFlag(to *string, help string) flag { return text(to, "format", help) }

// formatShort is --format where Docker gives it a letter.
func formatShort(to *string) flag {
	f := formatFlag(to, templateHelp)
	f.Short = "f"
	return f
}
