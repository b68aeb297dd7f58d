package monitor

import (
	"runtime"
	"runtime/debug"
	"time"
)

// restAfter is how long a monitor has nothing to do before it gives memory back.
const restAfter = 200 * time.Millisecond

// rest gives back, once the monitor has been idle for a while, what starting a
// container or serving a client took of the heap. A machine with hundreds of idle
// containers has hundreds of these processes. (The program's own pages are shared
// among them and stay: the kernel maps them back by the megabyte at the next touch.)
func (m *Monitor) rest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.resting == nil {
		m.resting = time.AfterFunc(restAfter, func() {
			debug.SetGCPercent(100)
			debug.FreeOSMemory()
			if m.root.wiring == nil || m.root.wiring.ports == nil {
				runtime.GOMAXPROCS(1)
			}
		})
		return
	}
	m.resting.Reset(restAfter)
}
