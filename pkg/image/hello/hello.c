//go:build ignore

/*
 * The program of the built-in image: says where it runs and what to try next.
 *
 * It has no C library, so that the image is this one file of a few kilobytes;
 * everything it tells it asks the kernel for.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/utsname.h>

static long syscall3(long n, long a, long b, long c)
{
#if defined(__x86_64__)
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
#else
#error "hello.c knows the system calls of x86_64 and aarch64 only"
#endif
}

#define openat(path) syscall3(__NR_openat, AT_FDCWD, (long)(path), O_RDONLY | O_CLOEXEC)

static char out[4096];
static size_t used;

static void put(const char *s)
{
	while (*s && used < sizeof(out))
		out[used++] = *s++;
}

static void put_number(unsigned long n)
{
	char digits[24];
	size_t i = sizeof(digits);

	digits[--i] = 0;
	do {
		digits[--i] = '0' + n % 10;
		n /= 10;
	} while (n);
	put(digits + i);
}

/* put_id_map prints each line of a uid_map as "inside 0 = outside 1000 (1 id)". */
static void put_id_map(const char *path)
{
	char text[1024];
	long n = -1, fd = openat(path);

	if (fd >= 0) {
		n = syscall3(__NR_read, fd, (long)text, sizeof(text));
		syscall3(__NR_close, fd, 0, 0);
	}
	if (n <= 0) {
		put("  user ids   unknown: /proc is not mounted\n");
		return;
	}
	unsigned long field[3] = {0, 0, 0};
	int at = -1, in_number = 0;
	for (long i = 0; i < n; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			if (!in_number && ++at < 3)
				field[at] = 0;
			if (at < 3)
				field[at] = field[at] * 10 + (text[i] - '0');
			in_number = 1;
			continue;
		}
		in_number = 0;
		if (text[i] != '\n')
			continue;
		put("  user ids   ");
		put_number(field[0]);
		if (field[2] > 1) {
			put("-");
			put_number(field[0] + field[2] - 1);
		}
		put(" here = ");
		put_number(field[1]);
		if (field[2] > 1) {
			put("-");
			put_number(field[1] + field[2] - 1);
		}
		put(" outside\n");
		at = -1;
	}
}

void greet(void)
{
	struct utsname host;
	long uid = syscall3(__NR_getuid, 0, 0, 0), pid = syscall3(__NR_getpid, 0, 0, 0);

	put("\nHello from a container!\n\n"
	    "ctr started this program: no daemon, no root, no network was needed.\n\n");
	if (syscall3(__NR_uname, (long)&host, 0, 0) == 0) {
		put("  hostname   ");
		put(host.nodename);
		put("\n  kernel     ");
		put(host.sysname);
		put(" ");
		put(host.release);
		put(" ");
		put(host.machine);
	}
	put("\n  process    pid ");
	put_number(pid);
	put(", uid ");
	put_number(uid);
	put("\n");
	put_id_map("/proc/self/uid_map");
	put("\nTry next:\n"
	    "  ctr run -it debian bash    a shell in a Debian system\n"
	    "  ctr ps -a                  this container, now exited\n"
	    "  ctr --help                 everything else\n\n");

	long code = 0;
	for (size_t done = 0; done < used;) {
		long n = syscall3(__NR_write, 1, (long)(out + done), used - done);
		if (n <= 0) {
			code = 1;
			break;
		}
		done += n;
	}
	syscall3(__NR_exit_group, code, 0, 0);
	__builtin_unreachable();
}

/* The kernel enters here with the stack aligned as no function expects it. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp,%ebp\n and $-16,%rsp\n call greet\n");
#else
__asm__(".globl _start\n_start: mov x29,#0\n bl greet\n");
#endif
