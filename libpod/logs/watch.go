package logs

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// watcher tells that something changed in a directory.
type watcher struct {
	changes chan struct{} // one value is for all changes since the last was taken
	close   func()
}

// pollEvery is how often a log is looked at where it cannot be watched.
const pollEvery = 100 * time.Millisecond

// watch watches the log at path and its rotation. Where there are no watches left
// (fs.inotify.max_user_instances) it looks again and again.
func watch(path string) *watcher {
	w := &watcher{changes: make(chan struct{}, 1)}
	f, err := inotify(filepath.Dir(path))
	if err != nil {
		ticker := time.NewTicker(pollEvery)
		stop := make(chan struct{})
		w.close = func() { ticker.Stop(); close(stop) }
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-ticker.C:
					w.changed()
				}
			}
		}()
		return w
	}
	w.close = func() { f.Close() }
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := f.Read(buf); err != nil {
				return
			}
			w.changed()
		}
	}()
	return w
}

func (w *watcher) changed() {
	select {
	case w.changes <- struct{}{}:
	default:
	}
}

func inotify(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
