package verbs

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ctr/libpod"
	"ctr/libpod/config"
	"ctr/libpod/state"
	"ctr/storage"
)

// found is a container together with the state it was judged by.
type found struct {
	*libpod.Container
	state state.State
}

// choose picks the containers to show, newest first. An error may come with a list
// of those containers that could be read.
func (o psOptions) choose(engine *libpod.Runtime, wanted *psFilter) ([]found, error) {
	all := o.all || o.last >= 0 || len(o.filters["status"]) > 0 || len(o.filters["exited"]) > 0
	candidates := engine.Running
	if all {
		candidates = engine.Containers
	}
	list, unreadable := candidates()
	list = slices.DeleteFunc(list, func(c *libpod.Container) bool { return !wanted.config(c.Config()) })
	if o.last >= 0 && !wanted.needsState() {
		list = list[:min(o.last, len(list))]
	}
	if all && o.quiet && o.format == "" && !wanted.needsState() {
		return withoutStates(list), unreadable
	}
	judged, err := withStates(list)
	chosen := slices.DeleteFunc(judged, func(f found) bool { return !all && !f.state.Active() || !wanted.state(f.Config(), f.state) })
	if o.last >= 0 {
		chosen = chosen[:min(o.last, len(chosen))]
	}
	return chosen, errors.Join(unreadable, err)
}

func withoutStates(list []*libpod.Container) []found {
	all := make([]found, len(list))
	for i, c := range list {
		all[i].Container = c
	}
	return all
}

// withStates reads the states on all processors; what cannot be read is left out.
func withStates(list []*libpod.Container) ([]found, error) {
	all, errs := withoutStates(list), make([]error, len(list))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(list)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(list); i = next.Add(1) - 1 {
				all[i].state, errs[i] = list[i].State()
			}
		})
	}
	wg.Wait()
	readable := all[:0]
	for i, f := range all {
		if errs[i] == nil {
			readable = append(readable, f)
		}
	}
	return readable, errors.Join(errs...)
}

// psFilter is the filters of ps with what they refer to looked up.
type psFilter struct {
	filters
	before, since time.Time // zero is no bound
	ancestors     []string  // image IDs
	volumes       []string
	none          bool // is-task=true fits nothing here
	exited        []int
	networks      []string
	publish       map[string]bool // PORT/PROTOCOL; nil is any
	expose        map[string]bool
}

var psFilterNames = []string{"ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "label!", "name", "network", "publish", "since", "status", "volume"}

func (o psOptions) compile(engine *libpod.Runtime) (*psFilter, error) {
	if err := o.filters.known(psFilterNames...); err != nil {
		return nil, err
	}
	f := &psFilter{filters: o.filters, volumes: o.filters["volume"]}
	for name, bound := range map[string]*time.Time{"before": &f.before, "since": &f.since} {
		for _, container := range o.filters[name] {
			c, err := engine.Lookup(container)
			if err != nil {
				return nil, err
			}
			*bound = c.Config().Created
		}
	}
	for _, code := range o.filters["exited"] {
		n, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("invalid filter 'exited=%s'", code)
		}
		f.exited = append(f.exited, n)
	}
	for _, status := range o.filters["status"] {
		if known := []string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}; !slices.Contains(known, status) {
			return nil, fmt.Errorf("invalid filter 'status=%s': invalid value for state (%s): must be one of %s", status, status, strings.Join(known, ", "))
		}
	}
	for _, health := range o.filters["health"] {
		if !slices.Contains([]string{"none", "starting", "healthy", "unhealthy"}, health) {
			return nil, fmt.Errorf("invalid filter 'health=%s'", health)
		}
	}
	task, err := o.filters.flag("is-task")
	if err != nil {
		return nil, err
	}
	f.none = task != nil && *task
	f.networks = networkNamed(engine, o.filters["network"])
	if f.publish, err = parsePorts("publish", o.filters["publish"]); err != nil {
		return nil, err
	}
	if f.expose, err = parsePorts("expose", o.filters["expose"]); err != nil {
		return nil, err
	}
	if names := o.filters["ancestor"]; len(names) > 0 {
		f.ancestors = imageIDs(names)
	}
	return f, nil
}

// imageIDs looks images up; what is no image (any more) fits no container.
func imageIDs(names []string) []string {
	var ids []string
	store, err := storage.Open()
	if err != nil {
		return nil
	}
	for _, name := range names {
		if img, err := store.Lookup(name); err == nil {
			ids = append(ids, img.ID)
		}
	}
	return ids
}

// config decides by what never changes, which costs nothing to know.
func (f *psFilter) config(c *config.Container) bool {
	switch {
	case f.none,
		!f.match("id", c.ID),
		!f.match("name", c.Name, "/"+c.Name),
		!f.labels(c.Labels),
		!f.before.IsZero() && !c.Created.Before(f.before),
		!f.since.IsZero() && !c.Created.After(f.since),
		!f.onNetwork(c),
		!f.exact("isolation", "default"),
		len(f.volumes) > 0 && !mountsAny(c, f.volumes),
		len(f.filters["ancestor"]) > 0 && !f.descends(c):
		return false
	}
	return true
}

func (f *psFilter) state(c *config.Container, st state.State) bool {
	if len(f.exited) > 0 && (st.Status != state.Exited || st.Exit.Unknown || !slices.Contains(f.exited, st.Exit.Code)) {
		return false
	}
	return f.exact("status", string(st.Status)) && f.exact("health", healthOf(st)) && f.ports(c, st)
}

// needsState tells whether a filter looks at the state.
func (f *psFilter) needsState() bool {
	return len(f.exited)+len(f.filters["status"])+len(f.filters["health"])+len(f.publish)+len(f.expose) > 0
}

func (f *psFilter) descends(c *config.Container) bool {
	return slices.Contains(f.ancestors, c.Image.ID) || slices.Contains(f.filters["ancestor"], c.Image.Name)
}

func mountsAny(c *config.Container, wanted []string) bool {
	for _, m := range c.Mounts {
		for _, w := range wanted {
			if m.Source == w || m.Destination == path.Clean(w) {
				return true
			}
		}
	}
	return false
}

// onNetwork tells whether the container is to be wired to one of the wanted networks.
func (f *psFilter) onNetwork(c *config.Container) bool {
	return len(f.networks) == 0 || slices.ContainsFunc(networkNames(c), func(name string) bool { return slices.Contains(f.networks, name) })
}

// networkNamed makes names of what may be a network's ID or its beginning.
func networkNamed(engine *libpod.Runtime, words []string) []string {
	var names []string
	for _, word := range words {
		names = append(names, word)
		if strings.Trim(word, "0123456789abcdef") == "" {
			if n, err := engine.Networks().Lookup(word); err == nil {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// parsePorts reads PORT[-PORT][/PROTOCOL] filters into the ports that they stand for.
func parsePorts(filter string, words []string) (map[string]bool, error) {
	if len(words) == 0 {
		return nil, nil
	}
	ports := map[string]bool{}
	for _, word := range words {
		numbers, protocol, found := strings.Cut(word, "/")
		if !found {
			protocol = "tcp"
		}
		first, last, isRange := strings.Cut(numbers, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err := errors.Join(err1, err2); err != nil || to < from {
			return nil, fmt.Errorf("error while looking up for %s %s: it takes PORT[-PORT][/PROTOCOL]", filter, word)
		}
		for port := from; port <= to; port++ {
			ports[fmt.Sprintf("%d/%s", port, strings.ToLower(protocol))] = true
		}
	}
	return ports, nil
}

// ports tells whether a running container publishes or exposes a wanted port. As in
// Docker, publish means the host's port and expose the container's.
func (f *psFilter) ports(c *config.Container, st state.State) bool {
	bound := boundPorts(st)
	published := f.publish == nil || slices.ContainsFunc(bound, func(p config.PortMapping) bool {
		return f.publish[fmt.Sprintf("%d/%s", p.HostPort, p.Protocol)]
	})
	exposed := f.expose == nil || slices.ContainsFunc(append(bound, unpublished(c, st)...), func(p config.PortMapping) bool {
		return f.expose[portName(p)]
	})
	return published && exposed
}

func healthOf(st state.State) string {
	if st.Health == nil {
		return "none"
	}
	return st.Health.Status
}
