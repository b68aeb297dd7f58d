#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The pipe from the process whose death is awaited. */
#define PIPE 3

static int read_pid(int fd)
{
	char text[32];
	ssize_t n;

	do
		n = read(fd, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -1;
	text[n] = 0;
	return atoi(text);
}

static int open_pid(int pid)
{
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

/* The parent died before it could name the container: its runtime may have. */
static int open_pid_file(const char *path)
{
	int pidfd, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	pidfd = open_pid(read_pid(fd));
	close(fd);
	return pidfd;
}

static void guard(const char *pid_file)
{
	struct pollfd fds[2] = { { PIPE, POLLIN, 0 }, { -1, POLLIN, 0 } };
	int pid;

	prctl(PR_SET_NAME, "ctr-guard");
	pid = read_pid(PIPE);
	if (pid < 0)
		fds[1].fd = open_pid_file(pid_file);
	else {
		fds[1].fd = open_pid(pid);
		if (fds[1].fd < 0)
			return;
		while (poll(fds, 2, -1) < 0 && errno == EINTR)
			;
		if (fds[1].revents)
			return; /* the container ended first */
	}
	if (fds[1].fd >= 0)
		syscall(SYS_pidfd_send_signal, fds[1].fd, SIGKILL, NULL, 0);
}

__attribute__((constructor)) static void maybe_guard(void)
{
	const char *pid_file = getenv("_CTR_GUARD");

	if (!pid_file)
		return;
	guard(pid_file);
	_exit(0);
}
