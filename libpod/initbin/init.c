//go:build ignore

/*
 * init: the process with pid 1 of a container that was asked for with --init.
 *
 *     init -- PROGRAM ARGS...
 *
 * It starts PROGRAM as its child in a process group of its own (in the foreground
 * of the terminal, when there is one), passes every signal on to it, reaps what
 * other processes leave behind, and ends as PROGRAM ended: with its exit code, or
 * with 128 + the signal that killed it. A PROGRAM that cannot be started ends it
 * with 127 (not found) or 126.
 *
 * It has no C library, so that it runs in any image and costs a page of memory.
 */
#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>

static long syscall6(long n, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long r;
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "init.c knows the system calls of x86_64 and aarch64 only"
#endif
}

#define call(n, a, b, c, d) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

typedef unsigned long sigbits; /* the kernel's signal set: bit n-1 is signal n */
#define BIT(sig) (1UL << ((sig) - 1))

static _Noreturn void quit(int code)
{
	for (;;)
		call(__NR_exit_group, code, 0, 0, 0);
}

static size_t length(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

static void say(const char *s)
{
	call(__NR_write, 2, s, length(s), 0);
}

static int has_slash(const char *s)
{
	for (; *s; s++)
		if (*s == '/')
			return 1;
	return 0;
}

static const char *search_path(char **env)
{
	for (; *env; env++) {
		const char *e = *env;
		if (e[0] == 'P' && e[1] == 'A' && e[2] == 'T' && e[3] == 'H' && e[4] == '=')
			return e + 5;
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* execute becomes argv[0], looked up along PATH, or returns the error that matters most. */
static long execute(char **argv, char **env)
{
	static char file[4096];
	const char *path = search_path(env);
	long err = -ENOENT;

	if (has_slash(argv[0]))
		return call(__NR_execve, argv[0], argv, env, 0);
	for (;;) {
		size_t n = 0, name = length(argv[0]);
		while (path[n] && path[n] != ':')
			n++;
		if (n + name + 2 <= sizeof(file)) {
			size_t at = 0;
			for (size_t i = 0; i < n; i++)
				file[at++] = path[i];
			if (n)
				file[at++] = '/';
			for (size_t i = 0; i <= name; i++)
				file[at++] = argv[0][i];
			long e = call(__NR_execve, file, argv, env, 0);
			if (e != -ENOENT && e != -ENOTDIR)
				err = e;
		}
		if (!path[n])
			return err;
		path += n + 1;
	}
}

static _Noreturn void child(char **argv, char **env, const sigbits *before)
{
	int group = call(__NR_getpid, 0, 0, 0, 0);

	call(__NR_setpgid, 0, 0, 0, 0);
	call(__NR_ioctl, 0, TIOCSPGRP, &group, 0); /* SIGTTOU is blocked here; without a terminal it does nothing */
	call(__NR_rt_sigprocmask, SIG_SETMASK, before, 0, sizeof(*before));

	long err = execute(argv, env);
	say("init: ");
	say(argv[0]);
	if (err == -ENOENT || err == -ENOTDIR) {
		say(": not found\n");
		quit(127);
	}
	say(err == -EACCES ? ": permission denied\n" : ": cannot be executed\n");
	quit(126);
}

/* reap collects every dead child, and ends init when the main one is among them. */
static void reap(long main_child)
{
	int status;
	long pid;

	while ((pid = call(__NR_wait4, -1, &status, 1 /* WNOHANG */, 0)) > 0)
		if (pid == main_child)
			quit(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

void run(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1), **env = argv + argc + 1;
	/* Faults are never passed on: they are our own. */
	sigbits before, forwarded = ~(BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGABRT) | BIT(SIGTRAP) | BIT(SIGSYS));

	if (argc < 3 || argv[1][0] != '-' || argv[1][1] != '-' || argv[1][2]) {
		say("usage: init -- PROGRAM ARGS...\n");
		quit(125);
	}
	call(__NR_rt_sigprocmask, SIG_SETMASK, &forwarded, &before, sizeof(before));

	long pid = call(__NR_clone, SIGCHLD, 0, 0, 0);
	if (pid < 0) {
		say("init: cannot start a process\n");
		quit(126);
	}
	if (pid == 0)
		child(argv + 2, env, &before);

	for (;;) {
		long sig = call(__NR_rt_sigtimedwait, &forwarded, 0, 0, sizeof(forwarded));
		if (sig == SIGCHLD)
			reap(pid);
		else if (sig > 0 && sig != SIGTTIN && sig != SIGTTOU)
			call(__NR_kill, pid, sig, 0, 0);
	}
}

/* The kernel enters here: argc, argv and the environment lie on the stack. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call run\n");
#else
__asm__(".globl _start\n_start: mov x29,#0\n mov x0,sp\n bl run\n");
#endif
