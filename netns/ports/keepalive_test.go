package ports

import (
	"bufio"

	"golang.org/x/sys/unix"
)

// A side that disappears without a word is found out by the kernel, on both sides.
func testKeepAlive(w *stage) {
	w.listen(w.container, "[::]:80", whoAmI("a"))
	l := w.publish(tcp(8080, 80))
	c, err := w.dial(w.outside, "", host4+":8080")
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	bufio.NewReader(c).ReadString('\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	for one := range l.open {
		for i, end := range one.(*connection).ends {
			end.Control(func(fd uintptr) {
				on, err1 := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				idle, err2 := unix.GetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_KEEPIDLE)
				if on != 1 || idle != 300 || err1 != nil || err2 != nil {
					w.t.Errorf("side %d: SO_KEEPALIVE %d, TCP_KEEPIDLE %d, %v, %v", i, on, idle, err1, err2)
				}
			})
		}
	}
	if len(l.open) != 1 {
		w.t.Errorf("%d connections are open, want 1", len(l.open))
	}
}
