# SPDX-License-Identifier: Apache-2.0
#
# Modulus: GPU drivers on immutable hosts before the real root starts.
#
#   make               build/modulus (all commands) and build/modulus-boot (for the initramfs:
#                      without build, sign and keygen)
#   make demo          install what is missing, build, boot a machine twice, say what happened
#   make check         all tests: lint, analyse, check-unit, coverage, check-fuzz, check-cli, check-boot (each is a
#                      target too), and check-arm64-some
#   make analyse       look for bugs without running anything: tidy (clang-tidy), cppcheck, analyzer (gcc -fanalyzer),
#                      each a target too. A file that did not change is not looked at again
#   make coverage      check-unit, then which lines of stage/ ran: build/coverage.txt. Fails below COVERAGE_FLOOR
#   make check-powercut  200 power cuts, 1,000 crash images of a boot and of a prefetch each; make check: 10, 200 and 200
#   make bench         how long it takes, against the least that anybody could do: a table, build/bench.json
#   make performance   put the figures of the last `make bench` into docs/performance.md again, and its chart
#   make fleet         what an update costs the web server of 1,000 nodes: a table, build/fleet.json
#   make fuzz          look for inputs that break a parser; those known are part of make check
#   make deps          install the Debian packages and fetch kmod's source (as root; Debian 12);
#                      deps-build: only what a plain `make` needs
#   make install       the program, dracut modules, units, snippets, documents, man pages and completions, below
#                      DESTDIR
#   make deb           build/modulus_VERSION_ARCH.deb, a Debian package of the same (Debian 12)
#   make dist          build/modulus-VERSION.tar.gz of what is committed
#   make initrd        build/modulus-initrd.cpio.zst: what any systemd initramfs can be given in addition
#   make nvidia-bundles  NVIDIA's driver as signed bundles: docs/nvidia.md has its variables
#   make image         the program as a container image, an OCI layout in build/image: docs/kubernetes
#   make check-gpu     what the program makes of this machine's NVIDIA GPUs, against what the driver and its tools
#                      say; looks only. Not part of make check: it needs a GPU
#   make sbom          build/modulus.spdx.json: what is linked in, by digest and version (SPDX 2.3; Debian)
#   make completions   make completions/ again of what --help says
#   make ignition      render ignition/*.bu to *.ign again
#   make operations    put the table of reasons into docs/operations.md again
#   make check-arm64   unit tests, those of the command line and a boot with the program for arm64, under emulation
#   make check-bare    `make deps && make` in a fresh minimal Debian system (network, 600 MB of disk)
#   make clean         remove build/
#   make help          this text
#
# Variables, on the command line or in the environment:
#
#   V=1                show whole commands
#   ARCH=arm64         cross-build into build/arm64, with Debian's compiler and Debian's libraries for arm64 in the
#                      cache; with deps, deps-build, all, install, initrd, image, check-unit, check-cli
#   CC, AR, OBJCOPY    the tools (gcc, ar, objcopy); CLANG for the second compiler of `make lint`;
#                      CLANG_TIDY, CPPCHECK
#   CFLAGS             optimisation and debugging (-O2 -g0); warnings and hardening are added
#   CPPFLAGS, LDFLAGS  added to every compilation, to every link
#   WERROR=            let warnings pass, for compilers newer than those we know
#   STATIC=0           link the distribution's shared libraries, libkmod too (default 1: one static
#                      file that needs nothing from the system it runs on)
#   STRIP_LINK=        keep the symbols (default -s), for a debugger
#   DESTDIR, prefix    where `make install` puts things (prefix: /usr)
#   KMOD_SRC=DIR       an unpacked kmod 30 source tree to build libkmod from, instead of the archive
#                      that `make deps` fetches
#   CURL_SRC=DIR       an unpacked curl source tree to build libcurl from, likewise
#   SOURCE_URL         where the source is, for the label of `make image`
#   MODULUS_CACHE      what is slow to make or to fetch (~/.cache/modulus)
#   SOURCE_DATE_EPOCH  nothing of ours holds a time; handed on to tools that would write one
#   FUZZ_TIME, FUZZ    for `make fuzz`: seconds for each fuzzer (60); their names, and `mutations`: 20,000
#                      changed bundles for `modulus verify` (all)
#   COVERAGE_FLOOR     how much of stage/ tests must run, in percent of its lines (85)
#   PYTEST_ARGS        handed to pytest, for example PYTEST_ARGS='-k usr -x'
#
# The same compiler, libraries and flags give the same bytes, in any directory: build/linked lists the
# static libraries that went in, by digest.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.SUFFIXES:
.DELETE_ON_ERROR:
export LC_ALL := C
export TZ := UTC

# --- what is built ---------------------------------------------------------------------------------

# For this machine in build/, for another in a directory below.
ARCH ?=
MACHINE := $(shell uname -m)
CROSS := $(filter-out $(MACHINE) $(patsubst x86_64,amd64,$(MACHINE:aarch64=arm64)),$(ARCH))
ifneq ($(filter-out arm64,$(CROSS)),)
$(error ARCH=$(ARCH): this is $(MACHINE), for which ARCH= is left empty; the one other that can be built for is arm64)
endif
B := build$(CROSS:%=/%)
ifneq ($(and $(CROSS),$(filter demo bench fleet check check-fuzz fuzz check-boot check-powercut check-gpu nvidia-bundles,$(MAKECMDGOALS))),)
$(error ARCH=$(ARCH): what $(MAKECMDGOALS) runs is for this machine; see check-arm64)
endif

VERSION := 0.1.0
# Certificates are not judged by a clock that is before this: SOURCE_DATE_EPOCH, or the release.
RELEASED := 1795392000
EPOCH := $(or $(SOURCE_DATE_EPOCH),$(RELEASED))

# Only the program that makes bundles has these; the one in the initramfs does not.
BUILDER_SRC := build.c modlist.c modsource.c modimage.c kbuild.c modsign.c tarwrite.c manifestwrite.c minisignkey.c ocilayout.c cmd_build.c

SRC := $(sort $(wildcard stage/*.c))
BUILDER := $(addprefix stage/,$(BUILDER_SRC))
UNIT := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELPER := $(filter-out $(UNIT),$(sort $(wildcard tests/unit/*.c)))

# Static archives want this order: users before what they use. OpenSSL gives Ed25519 and SHA-256.
# Only the builder reads and writes archives; libb2 is for minisign's secret keys (a 32-byte BLAKE2b,
# which OpenSSL 3.0 lacks).
LIBS_BOOT := -lblkid -lzstd -llzma -lz -ljansson -linih -lssl -lcrypto
LIBS_ALL := -larchive $(LIBS_BOOT) -lb2

# --- packages (Debian 12) --------------------------------------------------------------------------

BUILD_PACKAGES := gcc libc6-dev binutils make dpkg-dev ca-certificates xz-utils \
	libblkid-dev libarchive-dev libzstd-dev liblzma-dev zlib1g-dev libjansson-dev libinih-dev libssl-dev libb2-dev
TEST_PACKAGES := build-essential ccache clang clang-tidy cppcheck libclang-rt-14-dev libcmocka-dev pkg-config libkmod-dev libcurl4-openssl-dev shellcheck file \
	patch python3 python3-pytest python3-yaml python3-jsonschema python3-kubernetes python3-cryptography python3-zstandard \
	man-db zsh fish jq minisign strace valgrind openssl kmod systemd cpio zstd lz4 \
	qemu-system-x86 qemu-utils ovmf grub-common grub-efi-amd64-bin mmdebstrap dracut-core dracut-network ignition busybox-static \
	gdisk cryptsetup-bin dmsetup mtools dosfstools e2fsprogs erofs-utils squashfs-tools sbsigntool libelf1 \
	docker-registry skopeo umoci nginx-light apache2-utils ostree network-manager isc-dhcp-client iputils-arping debhelper lintian buildah

KMOD_VERSION := 30+20221128
KMOD_SHA256 := 00bc9ae4f1f9e1bbc1266d838452865bc7c24271d0853939edbe3029ad22af4e

# The JSON schema of container engines' device specifications, for the tests. Only in a package of Go sources that
# depends on 60 others: fetched, never installed.
CDI_PACKAGE := golang-github-container-orchestrated-devices-container-device-interface
CDI_SHA256 := afb0e01c0c98e8398cdb3b4b731efd98816e6e81ef43db8673bcb7774dd27628
CDI_FETCH := tests/deps/fetch.sh $(CDI_PACKAGE)-dev_0.5.2-2_all.deb pool/main/g/$(CDI_PACKAGE) $(CDI_SHA256)

# For ARCH=arm64: the compiler is a package, the libraries are unpacked beside the system.
SYSROOT_PACKAGES := $(filter lib%-dev zlib1g-dev,$(BUILD_PACKAGES)) linux-libc-dev libc6 libcmocka-dev libcmocka0
ARM64_PACKAGES := gcc-aarch64-linux-gnu qemu-user-static
TEST_PACKAGES += $(ARM64_PACKAGES) qemu-system-arm

# --- settings --------------------------------------------------------------------------------------

, := ,
V ?= 0
STATIC ?= 1
MODULUS_CACHE ?= $(HOME)/.cache/modulus
export MODULUS_CACHE
SYSROOT := $(MODULUS_CACHE)/sysroot-$(CROSS)
TOOL := $(if $(CROSS),aarch64-linux-gnu-)
CC := $(if $(filter default undefined,$(origin CC)),$(TOOL)gcc$(if $(CROSS), --sysroot=$(SYSROOT)),$(CC))
AR := $(if $(filter default undefined,$(origin AR)),$(TOOL)ar,$(AR))
OBJCOPY ?= $(TOOL)objcopy
EMULATOR := $(if $(CROSS),qemu-aarch64-static)
CLANG ?= clang$(if $(CROSS), --target=aarch64-linux-gnu --sysroot=$(SYSROOT))
CLANG_TIDY ?= clang-tidy
CPPCHECK ?= cppcheck
PYTHON ?= /usr/bin/python3
CFLAGS ?= -O2 -g0
WERROR ?= -Werror
STRIP_LINK ?= -s
PYTEST_ARGS ?=
COVERAGE_FLOOR ?= 85
SOURCE_URL ?=

prefix ?= /usr
bindir ?= $(prefix)/bin
datadir ?= $(prefix)/share
mandir ?= $(datadir)/man
docdir ?= $(datadir)/doc/modulus
hookdir ?= $(datadir)/modulus/hooks
snippetdir ?= $(datadir)/modulus/ignition
zshdir ?= $(datadir)/zsh/site-functions
# read by dracut and systemd at these places only
dracutdir ?= /usr/lib/dracut/modules.d
unitdir ?= /usr/lib/systemd/system

WARN := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wvla -Wformat=2 -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings -Wredundant-decls -Wdate-time \
	-Wimplicit-fallthrough
# the fortified libc functions need an optimising compiler
FORTIFY := -U_FORTIFY_SOURCE $(if $(filter -O0,$(CFLAGS)),,-D_FORTIFY_SOURCE=2)
HARDEN := $(FORTIFY) -fstack-protector-strong
# Nothing unwinds the stack of C at run time: 90 KB less in the initramfs. A debugger has -g's own tables.
SMALL := -fno-unwind-tables -fno-asynchronous-unwind-tables
PLACE := $(SMALL) -ffile-prefix-map=$(CURDIR)=. -ffunction-sections -fdata-sections
LANGUAGE = -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DMODULUS_VERSION='"$(VERSION)"' -DMODULUS_EPOCH=$(EPOCH) -Istage $(SOURCE_CFLAGS)

BASE_FLAGS = $(LANGUAGE) $(WARN) $(CPPFLAGS)
OBJ_FLAGS = $(BASE_FLAGS) $(PLACE) $(HARDEN) $(CFLAGS)
SAN_FLAGS = $(BASE_FLAGS) -Itests/unit -DBUILDER=1 -DUNIT_TEST -U_FORTIFY_SOURCE -O1 -g -fno-omit-frame-pointer \
	-fsanitize=$(SANITIZERS) -fno-sanitize-recover=all
# Those that need no library at run time, where that would run under qemu.
SANITIZERS := $(if $(CROSS),undefined -fsanitize-undefined-trap-on-error,address$(,)undefined)
CLANG_FLAGS = $(OBJ_FLAGS) -Itests/unit
# for stage/ in unit programs: which lines ran
COUNTED = $(if $(CROSS),,--coverage -include counted.h)

ifeq ($(STATIC),1)
KMOD_LIB := $B/libkmod.a
CURL_LIB := $B/libcurl.a
SOURCE_HEADER := $B/kmod/libkmod/libkmod.h $B/curl/include/curl/curl.h
SOURCE_CFLAGS := -isystem $B/kmod/libkmod -isystem $B/curl/include -DCURL_STATICLIB
LINK_FLAGS := -static
else
$(if $(CROSS),$(error ARCH=$(CROSS): static only))
KMOD_LIB = $(shell pkg-config --libs libkmod)
CURL_LIB = $(shell pkg-config --libs libcurl)
SOURCE_HEADER :=
SOURCE_CFLAGS = $(shell pkg-config --cflags libkmod libcurl)
LINK_FLAGS := -pie -Wl,-z,now
OBJ_FLAGS += -fPIE
endif
LINK_FLAGS += $(STRIP_LINK) -Wl,--gc-sections,--build-id=none,-z,relro,-z,noexecstack $(LDFLAGS)

# Quiet by default: "  CC    build/obj/main.o".
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-6s %s\n' $1 $2)
# A link's words are shown when it fails: glibc's notices about dlopen and getaddrinfo in libcrypto, which we never call,
# are no news. (--no-warnings would also hide symbols that are nowhere, and link them as address 0.)
or_say = > $@.log 2>&1 || { cat $@.log >&2; exit 1; }

.PHONY: all help deps deps-build deps-auto demo bench performance fleet check check-unit check-fuzz fuzz check-cli check-boot check-powercut check-gpu check-bare check-arm64-some check-arm64 lint analyse tidy cppcheck analyzer coverage ignition image nvidia-bundles initrd install clean operations completions dist deb sbom FORCE

all: $B/modulus $B/modulus-boot

help:
	@sed -n -e '1,2d' -e '/^#/!q' -e 's/^# \{0,1\}//p' Makefile

# --- packages and sources --------------------------------------------------------------------------

# The demo and the tests install what is missing before anything is compiled, where they can (as root
# on Debian); nothing else changes the machine without being asked.
AUTO_DEPS := $(if $(filter demo bench fleet check check-unit check-fuzz fuzz check-cli check-boot check-powercut check-arm64 check-arm64-some lint analyse tidy cppcheck analyzer coverage,$(MAKECMDGOALS)),deps-auto)
KMOD_FETCH := :
CURL_FETCH := :
SYSROOT_FETCH := tests/deps/sysroot.sh arm64 $(SYSROOT_PACKAGES)
ifneq ($(KMOD_SRC),)
KMOD_ORIGIN := $(KMOD_SRC)/libkmod/libkmod.c
else
KMOD_ORIGIN := $(MODULUS_CACHE)/kmod_$(KMOD_VERSION).orig.tar.xz
ifeq ($(STATIC),1)
KMOD_FETCH := tests/deps/fetch.sh kmod_$(KMOD_VERSION).orig.tar.xz pool/main/k/kmod $(KMOD_SHA256)
endif
endif

ifneq ($(CURL_SRC),)
CURL_ORIGIN := $(CURL_SRC)/configure
else
CURL_ORIGIN := $(MODULUS_CACHE)/curl/configure
ifeq ($(STATIC),1)
CURL_FETCH := tests/deps/fetch-source.sh curl libcurl4-openssl-dev
endif
endif

deps-build:
	@tests/deps/install.sh $(BUILD_PACKAGES) $(if $(CROSS),$(ARM64_PACKAGES))
	@$(KMOD_FETCH)
	@$(CURL_FETCH)
	@$(if $(CROSS),$(SYSROOT_FETCH))

deps:
	@tests/deps/install.sh $(BUILD_PACKAGES) $(TEST_PACKAGES)
	@$(KMOD_FETCH)
	@$(CURL_FETCH)
	@$(CDI_FETCH)
	@$(SYSROOT_FETCH)

deps-auto:
	@tests/deps/install.sh --auto $(BUILD_PACKAGES) $(TEST_PACKAGES)
	@$(KMOD_FETCH) || true
	@$(CDI_FETCH) || true
	@test -d $(MODULUS_CACHE)/curl || $(CURL_FETCH) || true
	@test -d $(MODULUS_CACHE)/sysroot-arm64 || $(SYSROOT_FETCH) || true

$(CURL_ORIGIN): | $(AUTO_DEPS)
	@test -e $@ || { echo "modulus: $@ is missing: run 'make deps' (Debian), or set CURL_SRC= to the" \
		"directory of an unpacked curl source" >&2; exit 1; }

$(KMOD_ORIGIN): | $(AUTO_DEPS)
	@test -e $@ || { echo "modulus: $@ is missing: run 'make deps' (Debian), or set KMOD_SRC= to the" \
		"directory of an unpacked kmod 30 source" >&2; exit 1; }

# Compiles and links a program that names every header and library, so that what is missing is said in
# one line instead of by the compiler.
$B/ready: $B/config tests/deps/libraries.c tests/deps/missing.sh | $(AUTO_DEPS)
	@tests/deps/missing.sh '$(CC)' '$(if $(filter 1,$(STATIC)),-static -Wl$(,)--no-warnings)' \
		'$(LIBS_ALL) $(if $(filter 1,$(STATIC)),,-lkmod)' $(BUILD_PACKAGES) $(if $(CROSS),$(ARM64_PACKAGES)) $(if $(filter 1,$(STATIC)),,libkmod-dev pkg-config)
	@touch $@

# --- what a change of which rebuilds everything ----------------------------------------------------

# Written only when the text differs, so that the time stamp is that of the last change.
$B/config: FORCE | $(AUTO_DEPS)
	$(shell mkdir -p $B)$(file >$B/config.new,$(CC) $(shell ( $(CC) --version | head -n 1 ) 2>/dev/null) $(AR) $(OBJCOPY) $(STATIC) $(OBJ_FLAGS) $(COUNTED) $(KMOD_ORIGIN) $(CURL_ORIGIN))
	@cmp -s $B/config.new $@ && rm $B/config.new || mv $B/config.new $@

# Also names the objects, since removing a source file makes nothing newer.
$B/linked: FORCE $B/ready | $(AUTO_DEPS)
	@{ echo '# $(LINK_FLAGS) $(notdir $(SRC))'; $(if $(filter 1,$(STATIC)), \
		for lib in $(LIBS_ALL:-l%=%) c; do \
			printf '%s  %s\n' "$$(sha256sum < "$$($(CC) -print-file-name=lib$$lib.a)" | cut -c1-64)" "lib$$lib.a"; \
		done) } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# --- libkmod ---------------------------------------------------------------------------------------

# No distribution has a libkmod.a, and its configure refuses to make one: its names collide with those
# of programs. The compiler alone is enough; objcopy hides all but kmod_*. HAVE_FINIT_MODULE stays
# undefined: libkmod then makes the system call itself, for which glibc has no prototype.
KMOD_DEFS := -std=gnu99 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DPACKAGE='"kmod"' -DVERSION='"30"' \
	-DSYSCONFDIR='"/etc"' -DENABLE_LOGGING -DENABLE_ZSTD -DENABLE_XZ -DENABLE_ZLIB -DHAVE_LINUX_MODULE_H \
	-DHAVE_SECURE_GETENV -DHAVE_STATIC_ASSERT -DHAVE_NORETURN -DHAVE_STRUCT_STAT_ST_MTIM \
	-DHAVE_DECL_STRNDUPA=1 -DHAVE_DECL_BE32TOH=1 -DHAVE___BUILTIN_UADDL_OVERFLOW=1 \
	-DHAVE___BUILTIN_UADDLL_OVERFLOW=1

$B/kmod/libkmod/libkmod.h: $B/config $(KMOD_ORIGIN) | $(AUTO_DEPS)
	@rm -rf $B/kmod && mkdir -p $B/kmod
	$(Q)$(if $(KMOD_SRC),cp -R $(KMOD_SRC)/libkmod $(KMOD_SRC)/shared $B/kmod/, \
		tar -xf $(KMOD_ORIGIN) -C $B/kmod --strip-components=1 --wildcards '*/libkmod' '*/shared')
	@touch $@

$B/libkmod.a: $B/kmod/libkmod/libkmod.h $B/ready Makefile
	$(call say,LIB,$@)
	$(Q)rm -f $@ && cd $B/kmod && rm -f *.o && $(CC) $(KMOD_DEFS) $(filter-out -Wl%,$(CFLAGS)) $(HARDEN) $(SMALL) \
		-ffile-prefix-map=$(CURDIR)/$B/kmod=kmod -ffunction-sections -fdata-sections -w -I. \
		-c libkmod/*.c shared/*.c && \
	$(CC) -r -nostdlib -o ../libkmod.o *.o && cd .. && \
	$(OBJCOPY) --wildcard --keep-global-symbol='kmod_*' libkmod.o && \
	$(AR) rcsD libkmod.a libkmod.o && rm libkmod.o

# --- libcurl ---------------------------------------------------------------------------------------

# Debian's libcurl.a wants sixteen libraries more than HTTP and TLS do; this one wants OpenSSL alone.
# The threaded resolver stays: without it a name server that does not answer holds us up for as long as
# it likes.
CURL_OPTIONS := --disable-shared --enable-static --disable-dependency-tracking --with-openssl --enable-ipv6 \
	$(addprefix --without-,zlib brotli zstd libpsl libidn2 nghttp2 librtmp libssh2 libssh gssapi libgsasl \
		ca-bundle ca-path) \
	$(addprefix --disable-,ftp file ldap ldaps rtsp dict telnet tftp pop3 imap smb smtp gopher mqtt ares \
		cookies ntlm ntlm-wb tls-srp unix-sockets alt-svc hsts doh mime netrc progress-meter \
		dateparse headers-api get-easy-options dnsshuffle socketpair libcurl-option \
		openssl-auto-load-config verbose manual)

CURL_CFLAGS = $(filter-out -Wl%,$(CFLAGS)) $(HARDEN) $(SMALL) -ffunction-sections -fdata-sections -w \
	-ffile-prefix-map=$(dir $(CURL_ORIGIN))=curl/ -ffile-prefix-map=$(CURDIR)/$B/curl=curl

$B/curl/include/curl/curl.h: $B/config $(CURL_ORIGIN) $B/ready | $(AUTO_DEPS)
	@rm -rf $B/curl && mkdir -p $B/curl/include
	$(Q)cp -R $(dir $(CURL_ORIGIN))include/curl $B/curl/include/ && touch $@

$B/libcurl.a: $B/curl/include/curl/curl.h Makefile
	$(call say,LIB,$@)
	$(Q)cd $B/curl && CC='$(CC)' CFLAGS='$(CURL_CFLAGS)' $(dir $(CURL_ORIGIN))configure -q $(if $(CROSS),--host=aarch64-linux-gnu) $(CURL_OPTIONS) \
		> configure.log 2>&1 || { tail -n 20 configure.log >&2; exit 1; }
	$(Q)$(MAKE) -s -C $B/curl/lib V=0 libcurl.la > $B/curl/make.log 2>&1 || { tail -n 20 $B/curl/make.log >&2; exit 1; }
	$(Q)cp $B/curl/lib/.libs/libcurl.a $@

# --- the programs ----------------------------------------------------------------------------------

OBJ := $(SRC:stage/%.c=$B/obj/%.o)
OBJ_BOOT := $(filter-out $(BUILDER:stage/%.c=$B/obj/%.o) $B/obj/main.o,$(OBJ)) $B/obj/main-boot.o

# The directories of all objects, once, instead of a mkdir per object.
DIRS := $B/obj $B/san/stage $B/san/unit $B/clang/stage $B/clang/unit
$(DIRS):
	@mkdir -p $@

$B/obj/%.o: stage/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/obj
	$(call say,CC,$@)
	$(Q)$(CC) $(OBJ_FLAGS) -DBUILDER=1 -MMD -MP -c -o $@ $<

$B/obj/main-boot.o: stage/main.c $B/config $B/ready $(SOURCE_HEADER) | $B/obj
	$(call say,CC,$@)
	$(Q)$(CC) $(OBJ_FLAGS) -DBUILDER=0 -MMD -MP -c -o $@ $<

# network.c holds a copy of the unit
$(addsuffix /network.o,$B/obj $B/san/stage $B/clang/stage $B/fuzz/stage): dracut/51modulus-net/modulus-network.service

$B/modulus: $(OBJ) $(filter %.a,$(KMOD_LIB) $(CURL_LIB)) $B/linked
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LINK_FLAGS) -o $@ $(OBJ) $(KMOD_LIB) $(CURL_LIB) $(LIBS_ALL) $(or_say)

$B/modulus-boot: $(OBJ_BOOT) $(filter %.a,$(KMOD_LIB) $(CURL_LIB)) $B/linked
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LINK_FLAGS) -o $@ $(OBJ_BOOT) $(KMOD_LIB) $(CURL_LIB) $(LIBS_BOOT) $(or_say)

initrd: $B/modulus-initrd.cpio.zst

$B/modulus-initrd.cpio.zst: $B/modulus-boot dracut/initrd.sh $(wildcard dracut/*/*.service)
	$(if $(filter 1,$(STATIC)),,$(error an initramfs that knows nothing of us has no libraries for us: STATIC=1))
	$(call say,CPIO,$@)
	$(Q)SOURCE_DATE_EPOCH=$(EPOCH) dracut/initrd.sh $B/modulus-boot $@

# For packagers: with DESTDIR= and prefix= everything is below these, but for what dracut and systemd read at one place
# only. Nothing is enabled. Units and hooks are whatever is in their directories. Three links let snippet.sh find the unit
# of the initramfs, the sources of the snippets the hooks, and README.md the snippets, as in the source tree.
install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(unitdir) $(DESTDIR)$(docdir) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man5
	install -m 0755 $B/modulus $(DESTDIR)$(bindir)/modulus
	for m in 50modulus 51modulus-net; do \
		install -d $(DESTDIR)$(dracutdir)/$$m && \
		install -m 0755 dracut/$$m/*.sh $(DESTDIR)$(dracutdir)/$$m/ && \
		install -m 0644 dracut/$$m/*.service $(DESTDIR)$(dracutdir)/$$m/ || exit 1; \
	done
	install -m 0755 $B/modulus-boot $(DESTDIR)$(dracutdir)/50modulus/modulus
	install -m 0644 $(wildcard ignition/units/*) $(DESTDIR)$(unitdir)/
	$(if $(wildcard ignition/hooks/*),install -d $(DESTDIR)$(hookdir) && \
		install -m 0755 $(wildcard ignition/hooks/*) $(DESTDIR)$(hookdir)/)
	install -m 0644 $(wildcard docs/*.1) $(DESTDIR)$(mandir)/man1/
	install -m 0644 $(wildcard docs/*.5) $(DESTDIR)$(mandir)/man5/
	$(if $(wildcard docs/*.8),install -d $(DESTDIR)$(mandir)/man8 && install -m 0644 $(wildcard docs/*.8) $(DESTDIR)$(mandir)/man8/)
	install -d $(DESTDIR)$(docdir)/docs/kubernetes $(addprefix $(DESTDIR)$(snippetdir)/,drivers examples keys units)
	install -m 0644 LICENSE README.md $(DESTDIR)$(docdir)/
	install -m 0644 $(wildcard docs/*.md docs/*.svg) $(DESTDIR)$(docdir)/docs/
	install -m 0644 $(wildcard docs/kubernetes/*.md docs/kubernetes/*.yaml) $(DESTDIR)$(docdir)/docs/kubernetes/
	install -m 0644 $(wildcard ignition/*.bu ignition/*.ign) $(DESTDIR)$(snippetdir)/
	install -m 0755 ignition/snippet.sh $(DESTDIR)$(snippetdir)/
	for d in drivers examples keys units; do \
		install -m 0644 $$(find ignition/$$d -maxdepth 1 -type f) $(DESTDIR)$(snippetdir)/$$d/ || exit 1; \
	done
	ln -sfn $$(realpath -m --relative-to=$(snippetdir)/.. $(dracutdir)) $(DESTDIR)$(snippetdir)/../dracut
	ln -sfn $$(realpath -m --relative-to=$(snippetdir) $(hookdir)) $(DESTDIR)$(snippetdir)/hooks
	ln -sfn $$(realpath -m --relative-to=$(docdir) $(snippetdir)) $(DESTDIR)$(docdir)/ignition
	install -D -m 0644 completions/modulus.bash $(DESTDIR)$(datadir)/bash-completion/completions/modulus
	install -D -m 0644 completions/_modulus $(DESTDIR)$(zshdir)/_modulus
	install -D -m 0644 completions/modulus.fish $(DESTDIR)$(datadir)/fish/vendor_completions.d/modulus.fish

# What is committed and nothing else; the same bytes from the same commit, anywhere: no name, owner or time of this machine.
dist:
	@mkdir -p $B
	$(call say,DIST,$B/modulus-$(VERSION).tar.gz)
	$(Q)git archive --format=tar --prefix=modulus-$(VERSION)/ HEAD | gzip -9 -n > $B/modulus-$(VERSION).tar.gz

# docs/debian is where a package has debian/. What dpkg-buildpackage leaves beside the package is in build/deb; flags are
# handed on because debhelper has its own where there are none, with which everything would be compiled again.
DEB_ENVIRONMENT = TREE=$(CURDIR) SOURCE_DATE_EPOCH=$(EPOCH) CFLAGS='$(CFLAGS)' CPPFLAGS='$(CPPFLAGS)' LDFLAGS='$(LDFLAGS)'

deb: all sbom
	$(call say,DEB,$B/modulus_$(VERSION)_*.deb)
	$(Q)rm -rf $B/deb $B/modulus_*.deb && mkdir -p $B/deb/modulus-$(VERSION)
	$(Q)cp -R docs/debian $B/deb/modulus-$(VERSION)/debian
	$(Q)cd $B/deb/modulus-$(VERSION) && env $(DEB_ENVIRONMENT) dpkg-buildpackage --build=binary --no-sign \
		> ../log 2>&1 || { tail -n 20 ../log >&2; exit 1; }
	$(Q)mv $B/deb/modulus_*.deb $B/

sbom: $B/modulus.spdx.json

$B/modulus.spdx.json: $B/modulus $B/modulus-boot tests/tools/sbom.py
	$(if $(filter 1,$(STATIC)),,$(error nothing is linked in: STATIC=1))
	$(if $(CROSS),$(error the versions of libraries are those of installed packages: without ARCH=))
	$(call say,SBOM,$@)
	$(Q)$(PYTHON) tests/tools/sbom.py '$(VERSION)' '$(EPOCH)' '$(CC)' '$(KMOD_VERSION)' '$(CURL_ORIGIN)' '$(LIBS_BOOT)' '$(LIBS_ALL)' $B > $@

# --- tests -----------------------------------------------------------------------------------------

check: lint analyse check-unit coverage check-fuzz check-cli check-boot $(if $(filter aarch64,$(MACHINE)),,check-arm64-some)
	@echo "modulus: all tests passed"

# Unit tests: one cmocka program per file, with everything but main.c under ASan and UBSan, linked
# against shared libraries (a static program cannot have a sanitizer).
SAN_OBJ := $(patsubst stage/%.c,$B/san/stage/%.o,$(filter-out stage/main.c,$(SRC)))
SAN_HELPER := $(UNIT_HELPER:tests/unit/%.c=$B/san/unit/%.o)
# cmocka is a shared library, and so is then the C library
UNIT_LINK := $(if $(CROSS),-Wl$(,)--gc-sections -Wl$(,)--dynamic-linker=$(SYSROOT)/lib/ld-linux-aarch64.so.1 \
	$(foreach lib,usr/lib lib,-Wl$(,)-rpath$(,)$(SYSROOT)/$(lib)/aarch64-linux-gnu),-fsanitize=$(SANITIZERS) --coverage)
UNIT_PROGRAMS := $(UNIT:tests/unit/%.c=$B/san/%)

$B/san/stage/%.o: stage/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/san/stage
	$(call say,CC,$@)
	$(Q)$(CC) $(SAN_FLAGS) $(COUNTED) -MMD -MP -c -o $@ $<

$B/san/unit/%.o: tests/unit/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/san/unit
	$(call say,CC,$@)
	$(Q)$(CC) $(SAN_FLAGS) -MMD -MP -c -o $@ $<

$B/san/libstage.a: $(SAN_OBJ) $B/linked
	$(Q)rm -f $@ && $(AR) rcsD $@ $(SAN_OBJ)

$(UNIT_PROGRAMS): $B/san/%: $B/san/unit/%.o $(SAN_HELPER) $B/san/libstage.a $(filter %.a,$(KMOD_LIB) $(CURL_LIB))
	$(call say,LINK,$@)
	$(Q)$(CC) $(UNIT_LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) $B/san/libstage.a $(KMOD_LIB) $(CURL_LIB) $(LIBS_ALL) -lcmocka

# The whole program built like them, for tests of the command line: MODULUS_BUILD=build/san.
$B/san/modulus: $B/san/stage/main.o $B/san/libstage.a $(filter %.a,$(KMOD_LIB) $(CURL_LIB))
	$(call say,LINK,$@)
	$(Q)$(CC) $(UNIT_LINK) $(LDFLAGS) -o $@ $< $B/san/libstage.a $(KMOD_LIB) $(CURL_LIB) $(LIBS_ALL)

# The last lines of each program that passed, everything of one that did not.
check-unit: $(UNIT_PROGRAMS)
	@rm -f $B/san/stage/*.gcda
	@failed=; for t in $(UNIT_PROGRAMS); do \
		if $(EMULATOR) "$$t" > "$$t.log" 2>&1; then \
			printf '%-28s %s\n' "$${t##*/}" "$$(grep -a 'PASSED' "$$t.log" | tail -n 1)"; \
		else \
			code=$$?; cat "$$t.log"; echo "$${t##*/}: FAILED, exit $$code"; failed="$$failed $${t##*/}"; \
		fi; \
	done; \
	if [ -n "$$failed" ]; then echo "modulus: unit tests failed:$$failed" >&2; exit 1; fi

# (what a test makes has nothing to do with the make that runs it)
PYTEST = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -p no:cacheprovider -q $(PYTEST_ARGS)

# Which lines of stage/ ran in the unit programs, just now, and in that part of tests/cli that reaches the commands which
# unit tests do not: by a program that is built like them, so that the commands meet the sanitizers too.
COUNTED_TESTS := build build_places cache check hold instance load look next rebuild sign status uninstall updates
coverage: check-unit $B/san/modulus
	$(call say,TEST,tests/cli with $B/san/modulus)
	$(Q)MODULUS_BUILD=$B/san $(PYTEST) -k 'not the_program_of_the_initramfs' $(COUNTED_TESTS:%=tests/cli/test_%.py)
	$(call say,GCOV,$B/coverage.txt)
	$(Q)$(PYTHON) tests/tools/coverage.py $(COVERAGE_FLOOR) $B/coverage.txt $(SAN_OBJ) $B/san/stage/main.o

# Under an emulator not those whose subject is a machine's own build, the calls that strace sees, mounts, or time.
EMULATED_CLI ?= build cache cdi check config corpus firmware hold keep keys machine_config network_oci network_server \
	other_architecture sign status
EMULATED := $(if $(CROSS),MODULUS_BUILD=$B/emulated MODULUS_MACHINE=aarch64)

check-cli: all $(if $(CROSS),$B/emulated/modulus $B/emulated/modulus-boot,$B/gpu/plan)
	$(call say,TEST,tests/cli)
	$(Q)$(EMULATED) $(PYTEST) $(if $(CROSS),$(EMULATED_CLI:%=tests/cli/test_%.py),tests/cli)

# Something that a test can start, without the kernel being told how to (binfmt_misc).
$B/emulated/%: Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nexec $(EMULATOR) $(CURDIR)/$B/%s "$$@"\n' $* > $@ && chmod 0755 $@

# The other program needs another compiler, so another make; tests hold what both make against each other. make check
# leaves the cache and the network out, where nothing depends on the architecture.
check-arm64-some: EMULATED_CLI := build other_architecture sign
check-arm64 check-arm64-some: all
	$(Q)$(MAKE) ARCH=arm64 EMULATED_CLI='$(EMULATED_CLI)' check-unit check-cli
	$(call say,TEST,tests/arm64)
	$(Q)$(PYTEST) tests/arm64

check-boot: all
	$(call say,TEST,tests/boot)
	$(Q)$(PYTEST) tests/boot

check-powercut: all
	$(call say,TEST,tests/boot/test_boot_powercut.py)
	$(Q)MODULUS_CUTS=200 MODULUS_CRASH_IMAGES=1000 $(PYTEST) tests/boot/test_boot_powercut.py

# What the program would make of a GPU, for check-gpu; check-cli has the comparison itself.
$B/gpu:
	@mkdir -p $@

$B/gpu/plan: tests/gpu/plan.c $(filter-out $B/obj/main.o,$(OBJ)) $(filter %.a,$(KMOD_LIB) $(CURL_LIB)) $B/linked | $B/gpu
	$(call say,LINK,$@)
	$(Q)$(CC) $(OBJ_FLAGS) $(LINK_FLAGS) -o $@ $< $(filter %.o,$^) $(KMOD_LIB) $(CURL_LIB) $(LIBS_ALL) $(or_say)

check-gpu: all $B/gpu/plan
	$(call say,TEST,tests/gpu)
	$(Q)$(PYTEST) -rs tests/gpu

check-bare:
	tests/deps/bare-chroot.sh 'make deps && make'

demo: all
	@$(PYTHON) tests/boot/demo.py

# --- figures --------------------------------------------------------------------------------------

$B/bench:
	@mkdir -p $@

# what ours is held against: static like ours, with the same library and flags
$B/bench/%: tests/bench/%.c $B/config $B/ready | $B/bench
	$(call say,CC,$@)
	$(Q)$(CC) $(OBJ_FLAGS) $(LINK_FLAGS) -o $@ $< -lzstd $(or_say)

bench: all initrd $B/bench/floor $B/bench/transfer $B/bench/timed
	@$(PYTHON) tests/bench/bench.py

performance:
	@$(PYTHON) tests/bench/page.py

fleet: all
	@$(PYTHON) tests/bench/fleet.py

# --- fuzz ------------------------------------------------------------------------------------------

# One libFuzzer program for each parser: tests/fuzz/fuzz_NAME.c, what is known to be interesting in
# tests/fuzz/corpus/NAME. check-fuzz runs these as plain tests; fuzz looks for more, and tries all of the
# mutations of which check-cli tries a slice.
FUZZ_TIME ?= 60
FUZZ_ALL := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ ?= $(FUZZ_ALL) mutations
FUZZ_PROGRAMS = $(filter-out mutations,$(FUZZ))
FUZZ_FLAGS = $(SAN_FLAGS) -Itests/fuzz -include smaller.h -fsanitize=fuzzer-no-link
FUZZ_OBJ := $(patsubst stage/%.c,$B/fuzz/stage/%.o,$(filter-out stage/main.c,$(SRC))) $B/fuzz/tests/fuzz.o

$B/fuzz/stage $B/fuzz/tests:
	@mkdir -p $@

$B/fuzz/stage/%.o: stage/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/fuzz/stage
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$B/fuzz/tests/%.o: tests/fuzz/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/fuzz/tests
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$B/fuzz/libstage.a: $(FUZZ_OBJ) $B/linked
	$(Q)rm -f $@ && $(AR) rcsD $@ $(FUZZ_OBJ)

$B/fuzz/fuzz_%: $B/fuzz/tests/fuzz_%.o $B/fuzz/libstage.a $(filter %.a,$(KMOD_LIB) $(CURL_LIB))
	$(call say,LINK,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined $(LDFLAGS) -o $@ $< $B/fuzz/libstage.a $(KMOD_LIB) $(CURL_LIB) $(LIBS_ALL)

.SECONDARY: $(FUZZ_ALL:%=$B/fuzz/tests/fuzz_%.o)

check-fuzz: $(FUZZ_ALL:%=$B/fuzz/fuzz_%)
	$(Q)tests/fuzz/run.sh $B/fuzz 0 $(FUZZ_ALL)

fuzz: $(FUZZ_PROGRAMS:%=$B/fuzz/fuzz_%) $(if $(filter mutations,$(FUZZ)),all)
	$(if $(FUZZ_PROGRAMS),$(Q)tests/fuzz/run.sh $B/fuzz $(FUZZ_TIME) $(FUZZ_PROGRAMS))
	$(if $(filter mutations,$(FUZZ)),$(Q)MODULUS_MUTATIONS=20000 $(PYTEST) tests/cli/test_mutations.py)

# The second compiler sees all C with the same warnings; shellcheck sees all shell (SC2187 only says that
# it takes busybox sh for dash); libkmod.a shows nothing but its own names.
SCRIPTS = $(sort .ci/run docs/debian/postrm completions/modulus.bash $(wildcard ignition/hooks/*) $(shell find docs dracut ignition tests -name "*.sh"))
CLANG_OBJ := $(SRC:stage/%.c=$B/clang/stage/%.o) $(patsubst tests/unit/%.c,$B/clang/unit/%.o,$(UNIT) $(UNIT_HELPER))

$B/clang/stage/%.o: stage/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/clang/stage
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(CLANG_FLAGS) -DBUILDER=1 -MMD -MP -c -o $@ $<

$B/clang/stage/main-boot.o: stage/main.c $B/config $B/ready $(SOURCE_HEADER) | $B/clang/stage
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(CLANG_FLAGS) -DBUILDER=0 -MMD -MP -c -o $@ $<

$B/clang/unit/%.o: tests/unit/%.c $B/config $B/ready $(SOURCE_HEADER) | $B/clang/unit
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(CLANG_FLAGS) -DUNIT_TEST -MMD -MP -c -o $@ $<

lint: $(CLANG_OBJ) $B/clang/stage/main-boot.o $(filter %.a,$(KMOD_LIB) $(CURL_LIB)) | $(AUTO_DEPS)
	$(Q)shellcheck --exclude=SC2187 $(SCRIPTS)
	$(Q)$(if $(filter %.a,$(KMOD_LIB) $(CURL_LIB)),tests/deps/only-prefix.sh kmod_ $(KMOD_LIB))
	@echo "modulus: lint passed"

# Analysers look at each file by itself, once: a stamp for each, and what was clean is remembered in MODULUS_CACHE by the
# digest of the source as preprocessed, so that a fresh clone costs that digest. Why a check is off is said beside it:
# in tests/tools/clang-tidy.yaml, tests/tools/cppcheck.txt and, for gcc, here.
#
#   malloc-leak                        gcc 12 does not follow what the cleanup attribute frees, nor strings in a list;
#                                      leaks are found by ASan, which the unit programs and fuzzers have
#   use-of-uninitialized-value,        it merges the states after `if (r == 0) r = f(&x);`, and then takes x for unset
#   null-argument                      where r is 0; clang's counterpart of the first is on
ANALYZER_WARN := -fanalyzer -Werror $(addprefix -Wno-analyzer-,malloc-leak use-of-uninitialized-value null-argument)
ANALYSE_FLAGS = $(LANGUAGE) $(CPPFLAGS) -DBUILDER=1
# what a file by itself does not show; the two that define it have no use for it
PROMISES = $(if $(filter stage/err.c stage/base.c,$*.c),,-include tests/tools/analysed.h)
CPPCHECK_FLAGS = -q --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	--suppressions-list=tests/tools/cppcheck.txt --include=tests/tools/cppcheck.h -Istage -Itests/unit -Itests/fuzz \
	$(filter -D%,$(ANALYSE_FLAGS))

TEST_C := $(sort $(wildcard tests/unit/*.c tests/fuzz/*.c tests/bench/*.c tests/gpu/*.c))
TIDY_OK := $(SRC:%.c=$B/tidy/%.ok)
CPPCHECK_OK := $(SRC:%.c=$B/cppcheck/%.ok) $(TEST_C:%.c=$B/cppcheck/%.ok)
ANALYZER_OK := $(SRC:%.c=$B/analyzer/%.ok)

$B/sum/%.sum: %.c $B/config $B/ready $(SOURCE_HEADER)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ANALYSE_FLAGS) -Itests/unit -Itests/fuzz -E -C -dD -MMD -MP -MF $(@:.sum=.d) -MT $@ -o $@.new $<
	$(Q)sha256sum < $@.new > $@ && rm $@.new
.SECONDARY: $(CPPCHECK_OK:$B/cppcheck/%.ok=$B/sum/%.sum)

$B/tidy/%.ok: $B/sum/%.sum tests/tools/clang-tidy.yaml tests/tools/analysed.h tests/tools/analysed.sh
	$(call say,TIDY,$*.c)
	$(Q)tests/tools/analysed.sh '$^' $(CLANG_TIDY) --quiet --config-file=tests/tools/clang-tidy.yaml $*.c -- $(ANALYSE_FLAGS) $(PROMISES)
	@mkdir -p $(@D) && touch $@

$B/cppcheck/%.ok: $B/sum/%.sum tests/tools/cppcheck.txt tests/tools/cppcheck.h tests/tools/analysed.sh
	$(call say,CPPCHK,$*.c)
	$(Q)tests/tools/analysed.sh '$^' $(CPPCHECK) $(CPPCHECK_FLAGS) $*.c
	@mkdir -p $(@D) && touch $@

$B/analyzer/%.ok: $B/sum/%.sum tests/tools/analysed.h tests/tools/analysed.sh
	$(call say,ANALYZ,$*.c)
	$(Q)tests/tools/analysed.sh '$^' $(CC) $(ANALYSE_FLAGS) $(PROMISES) $(ANALYZER_WARN) -S -o /dev/null $*.c
	@mkdir -p $(@D) && touch $@

tidy: $(TIDY_OK)
cppcheck: $(CPPCHECK_OK)
analyzer: $(ANALYZER_OK)
analyse: tidy cppcheck analyzer
	@echo "modulus: analysers found nothing"

# The one of the initramfs: what a node needs, and no more.
image: $B/modulus-boot
	$(call say,IMAGE,$B/image)
	$(Q)docs/kubernetes/image.sh $B/modulus-boot LICENSE $(VERSION) $(EPOCH) $B/image $(SOURCE_URL)

nvidia-bundles: all
	@ignition/drivers/nvidia/bundles.sh

completions: $B/modulus
	$(Q)$(PYTHON) tests/tools/completions.py $B/modulus

operations: FORCE
	$(Q)$(PYTHON) tests/tools/reasons.py > docs/operations.md.new && mv docs/operations.md.new docs/operations.md

ignition: $(patsubst %.bu,%.ign,$(wildcard ignition/*.bu ignition/examples/*.bu))

# the list of arguments is its last part
ignition/modulus-injected-kargs.bu: FORCE
	$(Q){ sed '/^    - /d' $@ && ignition/snippet.sh --arguments | sed 's/^/    - /'; } > $@.new && mv $@.new $@

ignition/modulus-injected-kargs.ign: ignition/modulus-injected-kargs.bu
ignition/modulus-injected.ign: ignition/modulus.ign

ignition/%.ign: FORCE
	$(Q)$(PYTHON) tests/tools/butane.py --files-dir ignition ignition/$*.bu > $@.new && mv $@.new $@

clean:
	rm -rf build

-include $(wildcard $B/obj/*.d $B/san/*/*.d $B/clang/*/*.d $B/fuzz/*/*.d $B/sum/*/*.d $B/sum/*/*/*.d)
