package verbs

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"ctr/libpod/logs"
	"ctr/pkg/format"
	"ctr/storage"
)

type imagesOptions struct {
	all, digests, quiet, noTrunc bool
	format                       string
	filters                      filters
	reference                    string // the positional argument
}

func buildImages(p *program) *command {
	var o imagesOptions
	return &command{
		max: 1,
		flags: []flag{
			boolean(&o.all, "all,a", "Show all images (default hides intermediate images)"),
			boolean(&o.digests, "digests", "Show digests"),
			filterFlag(&o.filters),
			formatFlag(&o.format, tableHelp),
			boolean(&o.noTrunc, "no-trunc", "Don't truncate output"),
			boolean(&o.quiet, "quiet,q", "Only show image IDs"),
		},
		run: func(_ context.Context, args []string) error {
			if len(args) == 1 {
				o.reference = args[0]
			}
			return p.images(o)
		},
	}
}

func (p *program) images(o imagesOptions) error {
	store, err := storage.Open()
	if err != nil {
		return err
	}
	list, err := store.Images()
	if err != nil {
		return err
	}
	list, err = o.choose(store, list)
	if err != nil {
		return err
	}
	rows := imageRows(list, o, time.Now())
	if o.quiet && o.format == "" {
		return p.printImageIDs(rows)
	}
	return format.Print(p.Out, format.Parse(o.format), imageColumns(o.digests), imageHeaders, rows)
}

// printImageIDs needs no template.
func (p *program) printImageIDs(rows []imageRow) error {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(row.ID + "\n")
	}
	_, err := p.Out.WriteString(b.String())
	return err
}

// choose applies the filters and sorts newest first.
func (o imagesOptions) choose(store *storage.Store, list []storage.Image) ([]storage.Image, error) {
	if err := o.filters.known("before", "dangling", "label", "label!", "reference", "since", "until"); err != nil {
		return nil, err
	}
	dangling, err := o.filters.flag("dangling")
	if err != nil {
		return nil, err
	}
	after, before, err := o.bounds(store)
	if err != nil {
		return nil, err
	}
	var chosen []storage.Image
	for _, img := range list {
		switch {
		case dangling != nil && *dangling != (len(img.Names) == 0),
			!after.IsZero() && !img.Created.After(after),
			!before.IsZero() && !img.Created.Before(before):
			continue
		}
		if patterns := o.patterns(); len(patterns) > 0 {
			img.Names = slices.DeleteFunc(slices.Clone(img.Names), func(name string) bool { return !matchesAny(patterns, name) })
			if len(img.Names) == 0 {
				continue
			}
		}
		if len(o.filters["label"])+len(o.filters["label!"]) > 0 {
			cfg, err := store.Config(&img)
			if err != nil {
				return nil, err
			}
			if !o.filters.labels(cfg.Labels) {
				continue
			}
		}
		chosen = append(chosen, img)
	}
	slices.SortStableFunc(chosen, func(a, b storage.Image) int { return b.Created.Compare(a.Created) })
	return chosen, nil
}

func (o imagesOptions) patterns() []string {
	patterns := o.filters["reference"]
	if o.reference != "" {
		patterns = append(slices.Clone(patterns), o.reference)
	}
	return patterns
}

// bounds are the times between which an image was made.
func (o imagesOptions) bounds(store *storage.Store) (after, before time.Time, err error) {
	for name, bound := range map[string]*time.Time{"since": &after, "before": &before} {
		for _, ref := range o.filters[name] {
			img, err := store.Lookup(ref)
			if err != nil {
				return after, before, err
			}
			*bound = img.Created
		}
	}
	for _, until := range o.filters["until"] {
		t, err := logs.ParseTime(until, time.Now())
		if err != nil {
			return after, before, err
		}
		before = t
	}
	return after, before, nil
}

// matchesAny compares a name with patterns as Docker does: with or without the
// registry, with or without the tag.
func matchesAny(patterns []string, name string) bool {
	repository, tag := splitTag(name)
	short := familiar(repository)
	for _, pattern := range patterns {
		for _, candidate := range []string{repository, repository + ":" + tag, short, short + ":" + tag} {
			if ok, err := path.Match(pattern, candidate); err == nil && ok {
				return true
			}
		}
	}
	return false
}

// familiar is a repository as people write it: without the default registry.
func familiar(repository string) string {
	if rest, found := strings.CutPrefix(repository, "docker.io/library/"); found {
		return rest
	}
	return strings.TrimPrefix(repository, "docker.io/")
}

// splitTag takes the tag off a name; "<none>" when there is none.
func splitTag(name string) (repository, tag string) {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, "<none>"
}

// imageRow is one name of an image as `images` shows it.
type imageRow struct {
	Containers   string
	CreatedAt    string
	CreatedSince string
	Digest       string
	ID           string
	Repository   string
	SharedSize   string
	Size         string
	Tag          string
	UniqueSize   string
	VirtualSize  string
}

var imageHeaders = format.Headers{
	"Containers": "CONTAINERS", "CreatedAt": "CREATED AT", "CreatedSince": "CREATED", "Digest": "DIGEST", "ID": "IMAGE ID",
	"Repository": "REPOSITORY", "SharedSize": "SHARED SIZE", "Size": "SIZE", "Tag": "TAG", "UniqueSize": "UNIQUE SIZE", "VirtualSize": "SIZE",
}

func imageColumns(digests bool) []format.Column[imageRow] {
	columns := []format.Column[imageRow]{
		{Header: "REPOSITORY", Cell: func(r imageRow) string { return r.Repository }},
		{Header: "TAG", Cell: func(r imageRow) string { return r.Tag }},
		{Header: "DIGEST", Cell: func(r imageRow) string { return r.Digest }},
		{Header: "IMAGE ID", Cell: func(r imageRow) string { return r.ID }},
		{Header: "CREATED", Cell: func(r imageRow) string { return r.CreatedSince }},
		{Header: "SIZE", Cell: func(r imageRow) string { return r.Size }},
	}
	if !digests {
		columns = slices.Delete(columns, 2, 3)
	}
	return columns
}

// imageRows makes a row of every name; an image without names has one row.
func imageRows(list []storage.Image, o imagesOptions, now time.Time) []imageRow {
	var rows []imageRow
	for _, img := range list {
		row := imageRow{
			Containers: "N/A", SharedSize: "N/A", UniqueSize: "N/A",
			CreatedAt:    format.Timestamp(img.Created),
			CreatedSince: format.Ago(img.Created, now),
			Digest:       img.Digest,
			ID:           "sha256:" + img.ID,
			Size:         format.Size(img.Size),
			Repository:   "<none>",
			Tag:          "<none>",
		}
		row.VirtualSize = row.Size
		if row.Digest == "" {
			row.Digest = "<none>"
		}
		if !o.noTrunc {
			row.ID = format.ShortID(img.ID)
		}
		if len(img.Names) == 0 {
			rows = append(rows, row)
			continue
		}
		for _, name := range img.Names {
			repository, tag := splitTag(name)
			row.Repository, row.Tag = familiar(repository), tag
			rows = append(rows, row)
		}
	}
	return rows
}
