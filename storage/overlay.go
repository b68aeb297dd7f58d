package storage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/pkg/userns"
	"ctr/storage/internal/tree"
)

// overlayDirs holds a mount's directories open. Their paths go to the kernel by
// descriptor: no length limit, no characters to escape, no change of the working
// directory.
type overlayDirs struct {
	base, upper, work *os.File
	lower             []lowerDir
	open              []*os.File
}

// lowerDir is a directory below an open one, or the open one itself.
type lowerDir struct {
	root *os.File
	name string
}

// in is the directory's path when its root is open as fd.
func (l lowerDir) in(fd int) string { return strings.TrimSuffix(descriptor(fd)+"/"+l.name, "/") }

// descriptor is the path of what fd is open on, in the process that has it open.
func descriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func (d *overlayDirs) close() {
	for _, f := range d.open {
		f.Close()
	}
}

func (d *overlayDirs) add(path string) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil {
		d.open = append(d.open, f)
	}
	return f, err
}

func (r *Rootfs) openDirs() (d *overlayDirs, err error) {
	d = &overlayDirs{}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	base, lower := r.Base, r.Lower
	if len(lower) == 0 { // overlay wants one at least
		base, lower = filepath.Dir(r.Upper), []string{"empty"}
		if err := mkdir(filepath.Join(base, "empty"), 0o755); err != nil {
			return d, err
		}
	}
	if d.base, err = d.add(base); err != nil {
		return d, err
	}
	if d.upper, err = d.add(r.Upper); err != nil {
		return d, err
	}
	if d.work, err = d.add(r.Work); err != nil {
		return d, err
	}
	for _, name := range lower {
		dir := lowerDir{d.base, name}
		if filepath.IsAbs(name) {
			if dir.root, err = d.add(name); err != nil {
				return d, err
			}
			dir.name = ""
		}
		d.lower = append(d.lower, dir)
	}
	return d, nil
}

// overlayOptions are the same on every machine: whatever the kernel's defaults are,
// the upper directory shall hold whole files and directories that a copy, a diff and
// another kernel understand. In a user namespace overlay may not use trusted
// extended attributes, nor redirects.
func (r *Rootfs) overlayOptions() [][2]string {
	options := [][2]string{{"index", "off"}, {"xino", "off"}, {"metacopy", "off"}}
	if userns.Inside() {
		options = append(options, [2]string{"userxattr", ""})
	} else {
		options = append(options, [2]string{"redirect_dir", "off"})
	}
	if r.Volatile {
		options = append(options, [2]string{"volatile", ""})
	}
	return options
}

func (r *Rootfs) mountOverlay(target string) error {
	dirs, err := r.openDirs()
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	defer dirs.close()
	// A volatile mount that a crash ended leaves this mark, with which the kernel
	// refuses the next one. That nothing was lost but unsynced files is accepted.
	if err := tree.Remove(filepath.Join(r.Work, "work/incompat/volatile")); err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	done, err := dirs.attach(target, r.overlayOptions())
	if !done {
		err = dirs.mount(target, r.overlayOptions())
	}
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	return nil
}

// attach mounts through the file descriptor interface, which takes any number of
// layers. It reports done = false where the kernel does not have it for overlay
// (before Linux 6.5).
func (d *overlayDirs) attach(target string, options [][2]string) (done bool, err error) {
	ctx, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err != unix.ENOSYS, err
	}
	defer unix.Close(ctx)
	for i, lower := range d.lower {
		if err := unix.FsconfigSetString(ctx, "lowerdir+", lower.in(int(lower.root.Fd()))); err != nil {
			return i > 0 || err != unix.EINVAL, d.explain(ctx, fmt.Errorf("layer %s: %w", lower.name, err))
		}
	}
	options = append(d.writable(), options...)
	for _, option := range options {
		if option[1] == "" {
			err = unix.FsconfigSetFlag(ctx, option[0])
		} else {
			err = unix.FsconfigSetString(ctx, option[0], option[1])
		}
		if err != nil {
			return true, d.explain(ctx, fmt.Errorf("option %s: %w", option[0], err))
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return true, d.explain(ctx, err)
	}
	mount, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return true, d.explain(ctx, err)
	}
	defer unix.Close(mount)
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return true, &os.PathError{Op: "mount on", Path: target, Err: err}
	}
	return true, nil
}

func (d *overlayDirs) writable() [][2]string {
	return [][2]string{{"upperdir", descriptor(int(d.upper.Fd()))}, {"workdir", descriptor(int(d.work.Fd()))}}
}

// explain adds what the kernel says about a failed step of mounting.
func (d *overlayDirs) explain(ctx int, err error) error {
	names := strings.NewReplacer(descriptor(int(d.upper.Fd())), d.upper.Name(), descriptor(int(d.work.Fd())), d.work.Name())
	var buf [512]byte
	for {
		n, readErr := unix.Read(ctx, buf[:])
		if readErr != nil || n <= 0 {
			return err
		}
		if message, found := bytes.CutPrefix(buf[:n], []byte("e ")); found {
			return fmt.Errorf("%w (%s)", err, names.Replace(strings.TrimSpace(string(message))))
		}
	}
}

// mount is attach for older kernels: all options in one page, and the layers
// relative to the working directory, which is changed for one thread that ends here.
func (d *overlayDirs) mount(target string, options [][2]string) error {
	lower := []string{}
	for _, dir := range d.lower {
		if dir.root == d.base {
			lower = append(lower, dir.name)
		} else {
			lower = append(lower, dir.in(int(dir.root.Fd())))
		}
	}
	words := []string{"lowerdir=" + strings.Join(lower, ":")}
	for _, option := range append(d.writable(), options...) {
		words = append(words, strings.TrimSuffix(option[0]+"="+option[1], "="))
	}
	data := strings.Join(words, ",")
	if len(data) >= os.Getpagesize() {
		return fmt.Errorf("the image has %d layers, too many for this kernel: their names must fit into %d bytes", len(d.lower), os.Getpagesize())
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Fchdir(int(d.base.Fd()))
		}
		if err == nil {
			err = unix.Mount("overlay", target, "overlay", unix.MS_NODEV, data)
		}
		result <- err
	}()
	return <-result
}
