# The two small C programs that are embedded in the Go programs. They use no C
# library: what they need of the system they ask the kernel for.

EMBED := pkg/image/hello/hello.embed libpod/initbin/init.embed

FREESTANDING := -std=gnu11 -Os -Wall -Wextra -Werror -static -nostdlib -nostartfiles -ffreestanding \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-pie -no-pie $(if $(filter x86_64,$(shell uname -m)),-fcf-protection=none) -s \
	-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,noexecstack -Wl,-z,max-page-size=4096

.PHONY: embed
embed: $(EMBED)

%.embed: %.c
	$(CC) $(FREESTANDING) -o $@.tmp $<
	mv $@.tmp $@
