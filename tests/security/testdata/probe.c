/*
 * What an attacker in a container would try, one attempt per word on the command
 * line. Every attempt prints what it got; the tests judge.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* fds: the open descriptors, one in a line, with what they are. */
static int fds(void)
{
	char path[64], target[4096];
	for (int fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		printf("%d %.*s\n", fd, n < 0 ? 0 : (int)n, target);
	}
	return 0;
}

/* tty: which descriptors are terminals, and whether one takes typed input from us. */
static int tty(void)
{
	for (int fd = 0; fd < 3; fd++)
		printf("fd %d: %s %s\n", fd, isatty(fd) ? "terminal" : "none",
		       ioctl(fd, TIOCSTI, "x") == 0 ? "typed" : "refused");
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY);
	printf("/dev/tty: %s\n", fd < 0 ? "none" : "terminal");
	return 0;
}

/* writable PATH...: the files below the paths that open for writing. Nothing is written. */
static int opens_for_writing(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	(void)f;
	if (kind == FTW_F && S_ISREG(st->st_mode)) {
		int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK);
		if (fd >= 0) {
			printf("writable %s\n", path);
			close(fd);
		}
	}
	return 0;
}

static int writable(char **paths)
{
	for (; *paths; paths++)
		nftw(*paths, opens_for_writing, 64, FTW_PHYS);
	return 0;
}

/* hunt PATH: looks into every other process until /stop exists. PATH is a file of the host's. */
static int is_ours(int fd) /* a program of the image, in this container or another */
{
	static const char *const programs[] = { "/bin/busybox", "/bin/probe" };
	struct stat st, known;
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		if (fstat(fd, &st) == 0 && stat(programs[i], &known) == 0 && st.st_size == known.st_size)
			return 1;
	return 0;
}

static void name_of(int fd, char *target, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, target, size - 1);
	target[n < 0 ? 0 : n] = 0;
}

/* Opens what an open descriptor is for writing, as soon as nobody executes it. */
static void rewrite(int fd)
{
	char path[64], target[4096];
	name_of(fd, target, sizeof(target));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (int i = 0; i < 2000; i++) {
		int w = open(path, O_WRONLY | O_CLOEXEC);
		if (w >= 0) {
			printf("WRITABLE %s\n", target);
			close(w);
			return;
		}
		if (errno != ETXTBSY) {
			printf("not writable %s: %s\n", target, strerror(errno));
			return;
		}
		usleep(1000);
	}
	printf("busy %s\n", target);
}

static void look_at_descriptor(int dir, const char *name, const char *host)
{
	char up[4200], target[4096];
	snprintf(up, sizeof(up), "../../../../../../../../../../../..%s", host);
	int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		name_of(fd, target, sizeof(target));
		if (faccessat(fd, up, F_OK, 0) == 0)
			printf("OUTSIDE %s is %s\n", name, target);
		close(fd);
		return;
	}
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = 0;
	if (!strstr(target, "memfd:"))
		return;
	fd = openat(dir, name, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && pwrite(fd, "\0", 1, 1 << 16) == 1)
		printf("WRITABLE %s\n", target);
	if (fd >= 0)
		close(fd);
}

static void look_into(const char *pid, const char *host)
{
	char path[300];
	snprintf(path, sizeof(path), "/proc/%s", pid);
	int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int exe = openat(proc, "exe", O_RDONLY | O_CLOEXEC);
	if (exe >= 0 && is_ours(exe))
		goto out;
	puts(exe < 0 ? "met closed" : "met open");
	look_at_descriptor(proc, "cwd", host);
	look_at_descriptor(proc, "root", host);
	int fds = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fds < 0 ? NULL : fdopendir(fds);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			look_at_descriptor(fds, e->d_name, host);
	if (d)
		closedir(d);
	if (exe >= 0)
		rewrite(exe);
out:
	if (exe >= 0)
		close(exe);
	close(proc);
}

static int hunt(const char *host)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("hunting");
	while (access("/stop", F_OK)) {
		DIR *d = opendir("/proc");
		for (struct dirent *e; d && (e = readdir(d));)
			if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && atoi(e->d_name) != getpid())
				look_into(e->d_name, host);
		if (d)
			closedir(d);
	}
	puts("done");
	return 0;
}

/* flip A B: exchanges two names until /stop exists. */
static int flip(const char *a, const char *b)
{
	unsigned n = 0;
	puts("flipping");
	fflush(stdout);
	while (access("/stop", F_OK)) {
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
		if (++n % 64 == 0)
			usleep(50);
	}
	return 0;
}

/* reopen PID: opens its program for writing, held by a descriptor, once it is dead. */
static int reopen(const char *pid)
{
	char path[64], c;
	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, &c, 1) != 1) {
		printf("unreadable: %s\n", strerror(errno));
		return 0;
	}
	kill(atoi(pid), SIGKILL);
	rewrite(fd);
	return 0;
}

/* abstract NAME: connects to a socket of the abstract name space. */
static int abstract(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path + 1, name, sizeof(a.sun_path) - 2);
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(s, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	puts(r == 0 ? "connected" : strerror(errno));
	return 0;
}

/* reread: opens what it writes to again, for reading. */
static int reread(void)
{
	char text[256];
	int fd = open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	fprintf(stderr, "read: %.*s\n", n < 0 ? 0 : (int)n, text);
	return 0;
}

/* key NAME: looks for a key in the session keyring. */
static int key(const char *name)
{
	long id = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0);
	printf("%s\n", id >= 0 ? "found" : strerror(errno));
	return 0;
}

/* withkey NAME COMMAND...: runs the command with the key in its session keyring. */
static int withkey(char **args)
{
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (syscall(SYS_add_key, "user", args[0], "secret", 6, KEY_SPEC_SESSION_KEYRING) < 0) {
		perror("add_key");
		return 1;
	}
	execvp(args[1], args + 1);
	return 1;
}

/* socket FAMILY: the result of socket(2) by each way that the processor knows. */
#ifdef __x86_64__
static long int80(long nr, long a, long b, long c)
{
	long r;
	asm volatile("int $0x80" : "=a"(r) : "0"(nr), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	if ((int)r >= 0)
		return (int)r;
	errno = -(int)r;
	return -1;
}
#endif

static long native(int family) { return syscall(SYS_socket, family, SOCK_STREAM, 0); }

/* The kernel looks at the lower 32 bits of the family only. */
static long high_bits(int family) { return syscall(SYS_socket, (1L << 32) | family, SOCK_STREAM, 0); }

#ifdef __x86_64__
static long x32(int family) { return syscall(0x40000000 | SYS_socket, family, SOCK_STREAM, 0); }

static long i386_socket(int family) { return int80(359, family, SOCK_STREAM, 0); }

static long i386_socketcall(int family)
{
	unsigned *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	args[0] = family, args[1] = SOCK_STREAM, args[2] = 0;
	return int80(102, 1, (long)args, 0);
}
#endif

static const struct way {
	const char *name;
	long (*open)(int family);
} ways[] = {
	{ "native", native },
	{ "high-bits", high_bits },
#ifdef __x86_64__
	{ "x32", x32 },
	{ "i386-socket", i386_socket },
	{ "i386-socketcall", i386_socketcall },
#endif
};

static int sockets(int family)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int status;
		pid_t pid = fork(); /* a filter may answer with death */
		if (pid == 0) {
			long r = ways[i].open(family);
			_exit(r >= 0 ? 0 : errno);
		}
		waitpid(pid, &status, 0);
		printf("%s %s\n", ways[i].name,
		       WIFSIGNALED(status) ? "killed" : WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "opened");
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char **args = argv + 2;

	if (!strcmp(what, "fds"))
		return fds();
	if (!strcmp(what, "tty"))
		return tty();
	if (!strcmp(what, "hunt") && argc == 3)
		return hunt(args[0]);
	if (!strcmp(what, "reread"))
		return reread();
	if (!strcmp(what, "writable"))
		return writable(args);
	if (!strcmp(what, "flip") && argc == 4)
		return flip(args[0], args[1]);
	if (!strcmp(what, "reopen") && argc == 3)
		return reopen(args[0]);
	if (!strcmp(what, "abstract") && argc == 3)
		return abstract(args[0]);
	if (!strcmp(what, "key") && argc == 3)
		return key(args[0]);
	if (!strcmp(what, "withkey") && argc > 3)
		return withkey(args);
	if (!strcmp(what, "socket") && argc == 3)
		return sockets(atoi(args[0]));
	fprintf(stderr, "probe: what is %s?\n", what);
	return 2;
}
