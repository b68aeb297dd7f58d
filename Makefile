# make            the programs, in bin/
# make try        build, then run the built-in image as an ordinary user
# make test       every test (installs what it needs when run as root)
# make bench      the table of figures, beside the peers that are installed
# make install    PREFIX=/usr/local, DESTDIR=
# make lint       formatting, vet, architecture and documentation checks
# make clean
# make help       this list

comma := ,
PREFIX ?= /usr/local
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Static programs: glibc and libseccomp are linked in, names and addresses are resolved by Go.
TAGS := containers_image_openpgp,exclude_graphdriver_btrfs,seccomp,netgo,osusergo,urfave_cli_no_docs
export CGO_ENABLED := 1
export GOFLAGS := -tags=$(TAGS) -buildvcs=false -trimpath
# The linker warns of dlopen in a library that ctr-full never calls.
QUIET := $(if $(findstring --no-warnings,$(shell ld --help 2>/dev/null)),-Wl$(comma)--no-warnings)
LDFLAGS := -s -w -linkmode external -extldflags "-static $(QUIET)" -X ctr/pkg/version.Version=$(VERSION)

include mk/embed.mk

.DEFAULT_GOAL := all
.PHONY: all
all: bin/ctr bin/ctr-full

SOURCES := $(shell find cmd libpod storage netns cgroups pkg -name '*.go' -o -name '*.[ch]') go.mod go.sum

bin/ctr: $(SOURCES) $(EMBED)
	$(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/ctr

bin/ctr-full: $(SOURCES) $(EMBED)
	$(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/ctr-full

.PHONY: try test gotest bench lint install clean help
try:
	script/try

test:
	script/test

# The tests as Go runs them; script/test sets the machine up for them first.
gotest: all
	$(GO) test -count=1 -p 1 -timeout 25m ./... github.com/seccomp/libseccomp-golang

bench: all
	tests/bench/run

lint: $(EMBED)
	@test -z "$$(gofmt -l cmd libpod storage netns cgroups pkg tests)" || { gofmt -l cmd libpod storage netns cgroups pkg tests; exit 1; }
	$(GO) vet ./...

install: all
	install -D -m 755 bin/ctr $(DESTDIR)$(PREFIX)/bin/ctr
	install -D -m 755 bin/ctr-full $(DESTDIR)$(PREFIX)/libexec/ctr/ctr-full

clean:
	rm -rf bin $(EMBED)

help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile
