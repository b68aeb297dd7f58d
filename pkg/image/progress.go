package image

import (
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/types"
)

// State is what has just happened to a layer.
type State int

// The states of a layer, in the order in which it passes them.
const (
	Started  State = iota // Total is known, or -1
	Moving                // Done bytes have arrived
	Complete              // verified and in the store
	Exists                // was in the store already; nothing was copied
)

// Event is one step of one layer. Layer is the layer's digest.
type Event struct {
	Layer       digest.Digest
	State       State
	Done, Total int64 // bytes as they are transferred, that is compressed
}

// Progress is told what happens to the layers of an image. It is called by one
// goroutine at a time and should return soon. A nil Progress is allowed.
type Progress func(Event)

// progressInterval is how often a moving layer is reported.
const progressInterval = 100 * time.Millisecond

// watcher turns containers/image's events into ours and remembers which blobs
// were copied.
type watcher struct {
	events chan types.ProgressProperties
	done   chan struct{}
	blobs  map[digest.Digest]bool
}

func watch(report Progress) *watcher {
	w := &watcher{events: make(chan types.ProgressProperties), done: make(chan struct{}), blobs: map[digest.Digest]bool{}}
	go func() {
		defer close(w.done)
		for e := range w.events {
			w.blobs[e.Artifact.Digest] = true
			if report == nil || isConfig(e.Artifact) {
				continue
			}
			event := Event{Layer: e.Artifact.Digest, Done: int64(e.Offset), Total: e.Artifact.Size}
			switch e.Event {
			case types.ProgressEventNewArtifact:
				event.State = Started
			case types.ProgressEventRead:
				event.State = Moving
			case types.ProgressEventDone:
				event.State = Complete
			case types.ProgressEventSkipped:
				event.State = Exists
			}
			report(event)
		}
	}()
	return w
}

// stop ends the watch and returns the blobs seen.
func (w *watcher) stop() map[digest.Digest]bool {
	close(w.events)
	<-w.done
	return w.blobs
}

func isConfig(b types.BlobInfo) bool {
	return strings.HasSuffix(b.MediaType, "+json") || strings.HasSuffix(b.MediaType, "/json")
}
