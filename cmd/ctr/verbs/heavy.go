package verbs

import (
	"context"
	"ctr/pkg/paths"
	"fmt"
	"os"
	"syscall"
)

// Heavy holds the verbs that need registries, archives or a writable image store.
// Each function writes its result to s.Out and progress to s.Err, and returns an
// error that says what could not be done. None may be nil.
type Heavy struct {
	Pull        func(ctx context.Context, s Streams, o PullOptions) error
	Load        func(ctx context.Context, s Streams, o LoadOptions) error
	Import      func(ctx context.Context, s Streams, o ImportOptions) error
	RemoveImage func(ctx context.Context, s Streams, o RemoveImageOptions) error
	Tag         func(ctx context.Context, s Streams, o TagOptions) error
}

// PullOptions is `ctr pull`.
type PullOptions struct {
	Ref      string // as typed: name[:tag|@digest]
	AllTags  bool
	Quiet    bool   // print only the image's name, no progress
	Platform string // os/arch[/variant]; "" is this machine's
}

// LoadOptions is `ctr load`.
type LoadOptions struct {
	Input     string // path; "" is standard input
	Quiet     bool
	Platforms []string
}

// ImportOptions is `ctr import`.
type ImportOptions struct {
	Source   string // path, URL, or "-" for standard input
	Ref      string // repository[:tag]; "" leaves the image without a name
	Changes  []string
	Message  string
	Platform string
}

// RemoveImageOptions is `ctr rmi`.
type RemoveImageOptions struct {
	Refs      []string
	Force     bool
	NoPrune   bool
	Platforms []string
}

// TagOptions is `ctr tag`.
type TagOptions struct {
	Source, Target string
}

// handOver continues this command line in the full program. It returns only if
// that cannot be started.
func (p *program) handOver() error {
	path, err := paths.Full()
	if err != nil {
		return err
	}
	if err := syscall.Exec(path, p.argv, os.Environ()); err != nil {
		return fmt.Errorf("starting %s: %w", path, err)
	}
	return nil
}

// heavily runs do in the full program, and hands over to that from the lean one.
func (p *program) heavily(do func(*Heavy) error) error {
	if p.heavy == nil {
		return p.handOver()
	}
	return do(p.heavy)
}

func buildPull(p *program) *command {
	var o PullOptions
	return &command{
		min: 1, max: 1,
		flags: []flag{
			boolean(&o.AllTags, "all-tags,a", "Download every tagged image of the repository"),
			trustFlag(),
			text(&o.Platform, "platform", "Pull the image for this platform (os/arch[/variant])"),
			boolean(&o.Quiet, "quiet,q", "Suppress verbose output"),
		},
		run: func(ctx context.Context, args []string) error {
			o.Ref = args[0]
			return p.heavily(func(h *Heavy) error { return h.Pull(ctx, p.Streams, o) })
		},
	}
}

func buildLoad(p *program) *command {
	var o LoadOptions
	return &command{
		flags: []flag{
			text(&o.Input, "input,i", "Read from tar archive file, instead of STDIN"),
			collected(&o.Platforms, "platform", "string", "Load only the given platform (os/arch[/variant])", verbatim),
			boolean(&o.Quiet, "quiet,q", "Suppress the load output"),
		},
		run: func(ctx context.Context, _ []string) error {
			return p.heavily(func(h *Heavy) error { return h.Load(ctx, p.Streams, o) })
		},
	}
}

func buildImport(p *program) *command {
	var o ImportOptions
	return &command{
		min: 1, max: 2,
		flags: []flag{
			list(&o.Changes, "change,c", "Apply Dockerfile instruction to the created image"),
			text(&o.Message, "message,m", "Set commit message for imported image"),
			text(&o.Platform, "platform", "Platform of the created image (os/arch[/variant])"),
		},
		run: func(ctx context.Context, args []string) error {
			o.Source = args[0]
			if len(args) == 2 {
				o.Ref = args[1]
			}
			return p.heavily(func(h *Heavy) error { return h.Import(ctx, p.Streams, o) })
		},
	}
}

func buildRmi(p *program) *command {
	var o RemoveImageOptions
	return &command{
		min: 1, max: anyNumber,
		flags: []flag{
			boolean(&o.Force, "force,f", "Force removal of the image"),
			boolean(&o.NoPrune, "no-prune", "Do not delete untagged parents"),
			collected(&o.Platforms, "platform", "strings", "Remove only the given platform variant (os/arch[/variant])", verbatim),
		},
		run: func(ctx context.Context, args []string) error {
			o.Refs = args
			return p.heavily(func(h *Heavy) error { return h.RemoveImage(ctx, p.Streams, o) })
		},
	}
}

func buildTag(p *program) *command {
	return &command{
		min: 2, max: 2,
		run: func(ctx context.Context, args []string) error {
			o := TagOptions{Source: args[0], Target: args[1]}
			return p.heavily(func(h *Heavy) error { return h.Tag(ctx, p.Streams, o) })
		},
	}
}

// trustFlag is accepted and without effect, as in Docker where content trust is off.
func trustFlag() flag {
	var ignored bool
	return boolean(&ignored, "disable-content-trust", "Skip image verification").defaults("true").hide()
}
