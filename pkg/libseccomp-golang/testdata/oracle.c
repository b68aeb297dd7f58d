/* The real libseccomp, for the tests to compare with. Reads lines:
 *   begin ACTION | arch NAME | optimize LEVEL | end
 *   rule ACTION CALL COUNT [ARG OP A B]...     (ACTION, A, B in hex; OP as in enum scmp_compare)
 *   number ARCH CALL | name ARCH NUMBER
 * and answers each with one line: 0 or a negative errno, the number or name, or at
 * "end" the program as hex. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <seccomp.h>

static scmp_filter_ctx ctx;

static int rule(void)
{
	struct scmp_arg_cmp args[6];
	unsigned int action, n, i;
	char call[64];

	if (scanf("%x %63s %u", &action, call, &n) != 3 || n > 6)
		exit(2);
	for (i = 0; i < n; i++) {
		unsigned int arg, op;
		unsigned long long a, b;
		if (scanf("%u %u %llx %llx", &arg, &op, &a, &b) != 4)
			exit(2);
		args[i] = (struct scmp_arg_cmp){ arg, op, a, b };
	}
	int number = seccomp_syscall_resolve_name(call);
	if (number == __NR_SCMP_ERROR)
		return -ENOENT;
	return seccomp_rule_add_array(ctx, action, number, n, args);
}

static void end(void)
{
	FILE *f = tmpfile();
	int c;

	if (!f || seccomp_export_bpf(ctx, fileno(f)))
		exit(3);
	rewind(f);
	while ((c = fgetc(f)) != EOF)
		printf("%02x", c);
	printf("\n");
	fclose(f);
	seccomp_release(ctx);
}

int main(void)
{
	char word[64], name[64];
	unsigned int action;

	while (scanf("%63s", word) == 1) {
		if (!strcmp(word, "begin")) {
			if (scanf("%x", &action) != 1)
				exit(2);
			ctx = seccomp_init(action);
			printf("%d\n", ctx ? 0 : -EINVAL);
		} else if (!strcmp(word, "arch")) {
			if (scanf("%63s", name) != 1)
				exit(2);
			printf("%d\n", seccomp_arch_add(ctx, seccomp_arch_resolve_name(name)));
		} else if (!strcmp(word, "optimize")) {
			if (scanf("%u", &action) != 1)
				exit(2);
			printf("%d\n", seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, action));
		} else if (!strcmp(word, "rule")) {
			printf("%d\n", rule());
		} else if (!strcmp(word, "number")) {
			char arch[64];
			if (scanf("%63s %63s", arch, name) != 2)
				exit(2);
			printf("%d\n", seccomp_syscall_resolve_name_arch(seccomp_arch_resolve_name(arch), name));
		} else if (!strcmp(word, "name")) {
			if (scanf("%63s %u", name, &action) != 2)
				exit(2);
			char *call = seccomp_syscall_resolve_num_arch(seccomp_arch_resolve_name(name), action);
			printf("%s\n", call ? call : "-");
			free(call);
		} else if (!strcmp(word, "end")) {
			end();
		} else {
			exit(2);
		}
		fflush(stdout);
	}
	return 0;
}
