/*
 * A child in new namespaces that waits for its id maps before it executes.
 *
 * It must wait before execve: a process whose ids are not mapped yet loses all
 * capabilities in its user namespace by executing. Go's os/exec cannot wait for
 * newuidmap there, and a helper program that waits would cost one more start.
 *
 * Until execve the child shares the parent's memory (as vfork does, on a stack of
 * its own): a copy would cost the parent a page fault for all that it touches in the
 * meantime. So between clone and execve the child makes system calls only, and
 * writes to nothing but its stack.
 */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static void fail(int report, int stage)
{
	int msg[2] = { stage, errno };
	if (write(report, msg, sizeof msg) < 0) { /* the parent is gone too */ }
	_exit(127);
}

/* Moves files to 0..n-1 by way of numbers above all of them. Returns report's new number. */
static int arrange_files(const struct ctr_spawn *s)
{
	int base = s->nfiles + 1, report, tmp[s->nfiles > 0 ? s->nfiles : 1];

	report = fcntl(s->report, F_DUPFD_CLOEXEC, base);
	if (report < 0)
		fail(s->report, CTR_FILES);
	for (int i = 0; i < s->nfiles; i++) {
		tmp[i] = fcntl(s->files[i], F_DUPFD_CLOEXEC, base);
		if (tmp[i] < 0)
			fail(report, CTR_FILES);
	}
	for (int i = 0; i < s->nfiles; i++)
		if (dup2(tmp[i], i) < 0)
			fail(report, CTR_FILES);
	if (dup2(report, s->nfiles) < 0)
		fail(report, CTR_FILES);
	fcntl(s->nfiles, F_SETFD, FD_CLOEXEC);
	if (syscall(SYS_close_range, s->nfiles + 1, ~0U, 0) < 0) /* before Linux 5.9 */
		for (int fd = s->nfiles + 1; fd < 1024; fd++)
			close(fd);
	return s->nfiles;
}

static int child(void *arg)
{
	const struct ctr_spawn *s = arg;
	int started[2] = { CTR_STARTED, getpid() };
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	char byte;
	int report;

	if (write(s->report, started, sizeof started) < 0)
		_exit(127);
	close(s->release_write);
	if (read(s->release, &byte, 1) != 1) {
		errno = EPIPE;
		fail(s->report, CTR_PARENT_GONE);
	}
	if (s->join >= 0 && (setns(s->join, CLONE_NEWUSER) < 0 || unshare(s->flags) < 0))
		fail(s->report, CTR_JOIN);
	if (s->setids) {
		/* setgroups is refused with a single-id map; the groups stay as they were */
		(void)syscall(SYS_setgroups, 0, (void *)0);
		if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
			fail(s->report, CTR_IDS);
	}
	if ((s->flags & CLONE_NEWNS) && mount("none", "/", 0, MS_REC | MS_SLAVE, 0) < 0)
		fail(s->report, CTR_MOUNTS);
	if (s->setsid)
		setsid();
	report = arrange_files(s);

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			sigaction(sig, &dfl, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, 0);

	execve(s->path, s->argv, s->envp);
	fail(report, CTR_EXEC);
	return 127;
}

#define STACK (64 << 10)

int ctr_spawn(const struct ctr_spawn *s)
{
	int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
	char *stack = malloc(STACK);
	sigset_t all, old;
	int ret;

	if (!stack)
		return -ENOMEM;
	if (s->join < 0)
		flags |= s->flags;
	/* no signal handler of the Go runtime may run in the child */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = clone(child, stack + STACK, flags, (void *)s) < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &old, 0);
	free(stack);
	return ret;
}
