package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errNoFuse is wrapped when fuse-overlayfs cannot be used on this machine.
var errNoFuse = errors.New("fuse-overlayfs is not available")

// fuseStart is how long fuse-overlayfs may take to mount.
const fuseStart = 30 * time.Second

// fuseProcess is a running fuse-overlayfs. It dies with this process.
type fuseProcess struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
	err  error         // how it ended; after done
}

// wait returns when the process is gone. A nil process is.
func (p *fuseProcess) wait() {
	if p != nil {
		<-p.done
	}
}

func (r *Rootfs) mountFuse(target string) error {
	program := r.Program
	if program == "" {
		program = DriverFuse
	}
	program, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("%w: %w; install the package fuse-overlayfs", errNoFuse, err)
	}
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoFuse, err)
	}
	device.Close()
	before, err := mountOf(target)
	if err != nil {
		return fmt.Errorf("fuse-overlayfs: %w", err)
	}
	dirs, err := r.openDirs()
	if err != nil {
		return fmt.Errorf("fuse-overlayfs: %w", err)
	}
	r.fuse, err = startFuse(fuseCommand(program, target, dirs, r.Volatile))
	dirs.close()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoFuse, err)
	}
	for deadline := time.Now().Add(fuseStart); ; time.Sleep(time.Millisecond) {
		now, err := mountOf(target)
		switch {
		case err == nil && now != before:
			return nil
		case time.Now().After(deadline):
			r.fuse.cmd.Process.Kill()
			return fmt.Errorf("%w: it did not mount within %v", errNoFuse, fuseStart)
		}
		select {
		case <-r.fuse.done:
			return fmt.Errorf("%w: %w", errNoFuse, r.fuse.err)
		default:
		}
	}
}

// fuseCommand hands the directories over as descriptors, which keeps the command
// line short. Paths with commas still fail: fuse-overlayfs resolves them first.
func fuseCommand(program, target string, dirs *overlayDirs, volatile bool) *exec.Cmd {
	cmd := exec.Command(program)
	cmd.ExtraFiles = dirs.open
	inherited := func(f *os.File) int { return 3 + slices.Index(dirs.open, f) }
	lower := []string{}
	for _, dir := range dirs.lower {
		lower = append(lower, dir.in(inherited(dir.root)))
	}
	options := "upperdir=" + descriptor(inherited(dirs.upper)) + ",workdir=" + descriptor(inherited(dirs.work)) +
		",lowerdir=" + strings.Join(lower, ":")
	if volatile {
		options += ",volatile"
	}
	cmd.Args = []string{program, "-f", "-o", options, target}
	return cmd
}

// startFuse starts the process and, in the background, reaps it. The kernel kills
// it when the thread that started it ends, so that thread does nothing else.
func startFuse(cmd *exec.Cmd) (*fuseProcess, error) {
	p := &fuseProcess{cmd: cmd, done: make(chan struct{})}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if err := cmd.Wait(); err != nil {
			p.err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		} else {
			p.err = errors.New("it ended")
		}
	}()
	return p, <-started
}

// mountOf identifies the mount that path is on.
func mountOf(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mask&unix.STATX_MNT_ID == 0 { // before Linux 5.8
		return uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), nil
	}
	return st.Mnt_id, nil
}
