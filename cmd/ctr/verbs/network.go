package verbs

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"ctr/libpod"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// users are the leases of a network that running containers hold, by container ID.
func users(runtime *libpod.Runtime, n *network.Network) ([]lease.Lease, error) {
	all, err := runtime.Leases().Of(n.ID)
	if err != nil {
		return nil, err
	}
	live := slices.DeleteFunc(all, func(l lease.Lease) bool { return !l.Holder.Alive() })
	slices.SortFunc(live, func(a, b lease.Lease) int { return cmp.Compare(a.Container, b.Container) })
	return live, nil
}

// holderName is the name of the container that holds a lease; it may just have been removed.
func holderName(runtime *libpod.Runtime, l lease.Lease) string {
	c, err := runtime.Lookup(l.Container)
	switch {
	case err == nil:
		return c.Name()
	case len(l.Names) > 0:
		return l.Names[0]
	}
	return l.Container
}

// noNetwork tells whether err says that there is no such network.
func noNetwork(err error) bool {
	var none *network.NotFoundError
	return errors.As(err, &none)
}

// words collects a flag that takes several values at once, separated by commas.
func words(to *[]string, names, about string) flag {
	return each(names, "strings", about, func(s string) error {
		*to = append(*to, strings.Split(s, ",")...)
		return nil
	})
}

// mapping collects KEY=VALUE flags; a key alone has the value "".
func mapping(to *map[string]string, names, kind, about string) flag {
	return each(names, kind, about, func(s string) error {
		if *to == nil {
			*to = map[string]string{}
		}
		key, value, _ := strings.Cut(s, "=")
		(*to)[key] = value
		return nil
	})
}
