package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const shmPath = "/dev/shm"

// shareShm mounts the /dev/shm of a container whose IPC namespace is joined, whose
// first process is pid: POSIX shared memory lives there.
func (r *root) shareShm(pid int) error {
	if r.mounted(shmPath) {
		return nil
	}
	tree, err := treeOf(pid, shmPath)
	if err != nil {
		return fmt.Errorf("sharing %s: %w", shmPath, err)
	}
	defer unix.Close(tree)
	target := filepath.Join(r.dir, "shm")
	if err := os.Mkdir(target, 0o700); err != nil {
		return fmt.Errorf("sharing %s: %w", shmPath, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("sharing %s: mounting it at %s: %w", shmPath, target, err)
	}
	r.aside = append(r.aside, target)
	r.bind(target, shmPath, false)
	return nil
}

// treeOf clones the mount at path in the mount namespace of process pid. The kernel
// lets only those clone who are in that namespace, so a thread goes there, and ends.
func treeOf(pid int, path string) (tree int, err error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return -1, err
	}
	defer ns.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()              // for good: the thread is of no other use any more
		if unix.Gettid() == unix.Getpid() { // but the first one is what /proc shows of us
			tree, err = treeOf(pid, path)
			runtime.UnlockOSThread()
			return
		}
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			err = os.NewSyscallError("unshare", err)
			return
		}
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			err = os.NewSyscallError("setns", err)
			return
		}
		tree, err = unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
		err = os.NewSyscallError("open_tree", err)
	}()
	<-done
	return tree, err
}
