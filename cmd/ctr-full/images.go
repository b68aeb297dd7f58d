package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"go.podman.io/image/v5/docker/reference"
	"golang.org/x/sys/unix"

	"ctr/cmd/ctr/verbs"
	"ctr/libpod"
	"ctr/libpod/state"
	"ctr/pkg/image"
	"ctr/pkg/image/bars"
	"ctr/pkg/term"
	"ctr/pkg/userns"
)

// heavy is what the command line calls for the verbs that only this program has.
func heavy() *verbs.Heavy {
	return &verbs.Heavy{Pull: pull, Load: load, Import: importImage, RemoveImage: removeImages, Tag: tag}
}

// withStore runs do with the image store, inside ctr's user namespace, until it
// ends or the user interrupts. The program goes on in a child for that when it must.
func withStore(ctx context.Context, do func(context.Context, *image.Store) error) error {
	code, done, err := userns.Reexec()
	if err != nil {
		return err
	}
	if done {
		verbs.Exit(code)
	}
	if os.Getenv("_CONTAINERS_USERNS_CONFIGURED") != "" {
		dieWithParent()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, killUnpackers)
	store, err := image.Open()
	if err != nil {
		return err
	}
	defer store.Close()
	return do(ctx, store)
}

// dieWithParent makes this process, the child in the user namespace, end cleanly
// when the process that the user started is killed.
func dieWithParent() {
	runtime.LockOSThread() // the wish is the thread's
	unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0)
}

// killUnpackers ends the children of this process, which unpack layers and know of
// no context; the half layer is removed when they are gone.
func killUnpackers() {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		pids, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(pids)) {
			if pid, err := strconv.Atoi(field); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// progress shows layers on s.Err, unless quiet. The caller closes it.
func progress(s verbs.Streams, quiet bool, words bars.Words) (show image.Progress, done func()) {
	if quiet {
		return nil, func() {}
	}
	var width func() int
	if term.IsTerminal(s.Err) {
		width = func() int {
			if columns := term.Columns(s.Err.Fd()); columns > 0 {
				return columns
			}
			return 80
		}
	}
	b := bars.New(s.Err, width, words)
	return b.Event, b.Close
}

func pull(ctx context.Context, s verbs.Streams, o verbs.PullOptions) error {
	return withStore(ctx, func(ctx context.Context, store *image.Store) error {
		switch {
		case image.IsHello(o.Ref):
			return pullHello(s, store, o)
		case o.AllTags:
			return pullAllTags(ctx, s, store, o)
		}
		if r, err := reference.ParseNormalizedNamed(o.Ref); err == nil && reference.IsNameOnly(r) && !o.Quiet {
			fmt.Fprintln(s.Err, "Using default tag: latest")
		}
		return pullOne(ctx, s, store, o)
	})
}

func pullOne(ctx context.Context, s verbs.Streams, store *image.Store, o verbs.PullOptions) error {
	show, done := progress(s, o.Quiet, bars.Words{Moving: "Downloading", Complete: "Pull complete"})
	pulled, err := store.Pull(ctx, o.Ref, image.PullOptions{
		Platform: o.Platform, Progress: show,
		Resolved: func(name reference.Named) {
			if !o.Quiet {
				fmt.Fprintf(s.Err, "%s: Pulling from %s\n", tagOrDigest(name), reference.Path(name))
			}
		},
	})
	done()
	if err != nil {
		return err
	}
	if pulled.Warning != "" {
		fmt.Fprintln(s.Err, "WARNING: "+pulled.Warning)
	}
	record("pull", pulled.Name.String())
	if !o.Quiet {
		status := "Image is up to date for "
		if pulled.New {
			status = "Downloaded newer image for "
		}
		fmt.Fprintf(s.Err, "Digest: %s\nStatus: %s%s\n", pulled.Digest, status, reference.FamiliarString(pulled.Name))
	}
	_, err = fmt.Fprintln(s.Out, pulled.Name)
	return err
}

func pullAllTags(ctx context.Context, s verbs.Streams, store *image.Store, o verbs.PullOptions) error {
	if r, err := reference.ParseNormalizedNamed(o.Ref); err == nil && !reference.IsNameOnly(r) {
		return fmt.Errorf("tag can't be used with --all-tags/-a")
	}
	names, err := store.Tags(ctx, o.Ref, image.PullOptions{})
	if err != nil {
		return err
	}
	for _, name := range names {
		one := o
		one.Ref = name.String()
		if err := pullOne(ctx, s, store, one); err != nil {
			return err
		}
	}
	return nil
}

func pullHello(s verbs.Streams, store *image.Store, o verbs.PullOptions) error {
	if _, err := store.EnsureHello(); err != nil {
		return err
	}
	record("pull", image.HelloName)
	if !o.Quiet {
		fmt.Fprintln(s.Err, "Using the image that is built into ctr")
	}
	_, err := fmt.Fprintln(s.Out, image.HelloName)
	return err
}

func tagOrDigest(name reference.Named) string {
	if t, ok := name.(reference.Tagged); ok {
		return t.Tag()
	}
	if d, ok := name.(reference.Digested); ok {
		return d.Digest().String()
	}
	return name.Name()
}

func load(ctx context.Context, s verbs.Streams, o verbs.LoadOptions) error {
	platform := ""
	switch {
	case len(o.Platforms) > 1:
		return fmt.Errorf("one platform can be loaded at a time, not %d", len(o.Platforms))
	case len(o.Platforms) == 1:
		platform = o.Platforms[0]
	}
	if o.Input == "" && term.IsTerminal(s.In) {
		return fmt.Errorf("requested load from stdin, but stdin is empty; name an archive with -i, or redirect one: ctr load < archive.tar")
	}
	return withStore(ctx, func(ctx context.Context, store *image.Store) error {
		show, done := progress(s, o.Quiet, bars.Words{Moving: "Loading layer", Complete: "Loaded"})
		loaded, err := store.Load(ctx, image.LoadOptions{File: o.Input, Input: s.In, Platform: platform, Progress: show})
		done()
		for _, l := range loaded {
			record("load", "sha256:"+l.ID)
			if len(l.Names) == 0 {
				fmt.Fprintf(s.Out, "Loaded image ID: sha256:%s\n", l.ID)
			}
			for _, n := range l.Names {
				fmt.Fprintf(s.Out, "Loaded image: %s\n", reference.FamiliarString(n))
			}
		}
		return err
	})
}

func importImage(ctx context.Context, s verbs.Streams, o verbs.ImportOptions) error {
	return withStore(ctx, func(ctx context.Context, store *image.Store) error {
		id, err := store.Import(ctx, image.ImportOptions{
			Source: o.Source, Input: s.In, Name: o.Ref, Changes: o.Changes, Message: o.Message, Platform: o.Platform,
		})
		if err != nil {
			return err
		}
		record("import", "sha256:"+id)
		_, err = fmt.Fprintln(s.Out, "sha256:"+id)
		return err
	})
}

func tag(ctx context.Context, _ verbs.Streams, o verbs.TagOptions) error {
	return withStore(ctx, func(_ context.Context, store *image.Store) error {
		if err := store.Tag(o.Source, o.Target); err != nil {
			return err
		}
		record("tag", o.Target)
		return nil
	})
}

// record writes an image's event. Events are a courtesy: what was done is not
// undone because it cannot be told.
func record(action, name string) {
	if r, err := libpod.Open(); err == nil {
		r.Log(state.Event{Type: "image", Action: action, ID: name, Attributes: map[string]string{"name": name}})
	}
}
