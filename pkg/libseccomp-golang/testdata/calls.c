/* Loads the program that it finds on standard input, then makes the calls that its
 * arguments describe and prints what each returns: "64 NUMBER ARG ARG ARG", or 32 for
 * the machine's other way into the kernel. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static long call64(long n, long a, long b, long c)
{
	long r;
	asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static long call32(long n, long a, long b, long c)
{
	int r;
	asm volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
	return r;
}

int main(int argc, char **argv)
{
	static struct sock_filter code[4096];
	ssize_t size = read(0, code, sizeof code);
	struct sock_fprog prog = { size / sizeof code[0], code };

	setbuf(stdout, NULL);
	if (size <= 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		perror("loading");
		return 1;
	}
	for (int i = 1; i + 4 < argc; i += 5) {
		long v[5];
		for (int j = 0; j < 5; j++)
			v[j] = strtoul(argv[i + j], NULL, 0);
		printf("%ld\n", v[0] == 64 ? call64(v[1], v[2], v[3], v[4]) : call32(v[1], v[2], v[3], v[4]));
	}
	return 0;
}
