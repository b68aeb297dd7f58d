package main

import (
	"context"
	"errors"
	"fmt"

	"ctr/cmd/ctr/verbs"
	"ctr/libpod"
	"ctr/libpod/state"
	"ctr/pkg/image"
	"ctr/storage"
)

// removeImages removes each image, goes on after one that cannot be removed, and
// returns all that went wrong. With --force, an unknown image is told but no error. There
// are no untagged parents here that --no-prune could keep.
func removeImages(ctx context.Context, s verbs.Streams, o verbs.RemoveImageOptions) error {
	if len(o.Platforms) > 0 {
		return errors.New("rmi --platform: an image of this store has one platform only; name the image instead")
	}
	return withStore(ctx, func(ctx context.Context, store *image.Store) error {
		var problems []error
		for _, ref := range o.Refs {
			if err := ctx.Err(); err != nil {
				return errors.Join(append(problems, err)...)
			}
			removed, err := store.Remove(ref, image.RemoveOptions{Force: o.Force, Users: usersOf})
			switch {
			case err == nil:
				report(s, removed)
			case o.Force && errors.Is(err, storage.ErrImageUnknown):
				fmt.Fprintf(s.Err, "Error: %v\n", err)
			default:
				problems = append(problems, err)
			}
		}
		return errors.Join(problems...)
	})
}

func report(s verbs.Streams, r *image.Removed) {
	for _, name := range r.Untagged {
		record("untag", name)
		fmt.Fprintln(s.Out, "Untagged: "+name)
	}
	for i, id := range r.Deleted {
		if i == 0 {
			record("delete", id)
		}
		fmt.Fprintln(s.Out, "Deleted: "+id)
	}
}

// usersOf lists ctr's containers that were made from an image.
func usersOf(imageID string) ([]image.User, error) {
	r, err := libpod.Open()
	if err != nil {
		return nil, err
	}
	containers, err := r.Containers()
	if err != nil {
		return nil, err
	}
	var users []image.User
	for _, c := range containers {
		if c.Config().Image.ID != imageID {
			continue
		}
		st, err := c.State()
		users = append(users, image.User{
			ID:      c.ID(),
			Running: err != nil || st.Status == state.Running || st.Status == state.Paused || st.Status == state.Restarting,
		})
	}
	return users, nil
}
