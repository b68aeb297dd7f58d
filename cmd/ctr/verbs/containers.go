package verbs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ctr/libpod"
)

// parallel is how many containers a verb works on at the same time.
const parallel = 16

// eachContainer does something to every named container, several at a time, and
// prints the names of those where it worked, in the order given, each as soon as
// those before it are done. One that fails does not keep the others from it. What
// processes that were killed left behind is mended on the way out.
func (p *program) eachContainer(ctx context.Context, names []string, do func(context.Context, *libpod.Container) error) error {
	return p.eachFound(ctx, names, (*libpod.Runtime).Lookup, do)
}

// eachFound is eachContainer with another way to find one.
func (p *program) eachFound(ctx context.Context, names []string, find func(*libpod.Runtime, string) (*libpod.Container, error), do func(context.Context, *libpod.Container) error) error {
	runtime, err := libpod.Open()
	if err != nil {
		return err
	}
	defer runtime.Repair(ctx)
	return p.eachName(names, func(name string) (string, error) {
		c, err := find(runtime, name)
		if err != nil {
			return "", err
		}
		return name, do(ctx, c)
	})
}

// eachName is eachContainer for any kind of thing; do returns the line to print.
func (p *program) eachName(names []string, do func(name string) (string, error)) error {
	type result struct {
		line string
		err  error
	}
	results := make([]chan result, len(names))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, name := range names {
		results[i] = make(chan result, 1)
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			line, err := do(name)
			results[i] <- result{line, err}
		})
	}
	var errs []error
	for _, ch := range results {
		if r := <-ch; r.err != nil {
			errs = append(errs, r.err)
		} else {
			fmt.Fprintln(p.Out, r.line)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// lookup opens the engine and finds one container.
func lookup(name string) (*libpod.Container, error) {
	runtime, err := libpod.Open()
	if err != nil {
		return nil, err
	}
	return runtime.Lookup(name)
}
