#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# missing.sh CC LINKFLAGS LIBS PACKAGE...: can this machine build Modulus? Says what to install if not.
# Trying is better than asking the package manager: it holds on any distribution and for any compiler.
set -u

cc=$1 link=$2 libs=$3
shift 3
here=$(dirname "$0")
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT

# shellcheck disable=SC2086  # lists of words
if why=$($cc $link -o "$out/a" "$here/libraries.c" $libs 2>&1); then
	exit 0
fi

echo "modulus: this machine cannot build it yet: $(printf '%s\n' "$why" | head -n 1 | sed "s,^$0: [0-9]*: ,,")" >&2
if command -v dpkg-query > /dev/null && grep -q '^ID=debian' /etc/os-release; then
	missing=$("$here/install.sh" --list "$@")
	echo "modulus: run 'make deps' as root${missing:+, or install: $missing}" >&2
else
	cat >&2 <<-END
		modulus: needed: GNU make, gcc or clang, binutils, tar with xz, and the headers and static libraries of
		modulus: libblkid, libarchive, zstd, liblzma, zlib, jansson, inih, OpenSSL 3, libb2 and the C library
		modulus: (shared ones are enough, with libkmod and pkg-config, for 'make STATIC=0'),
		modulus: and for the static program KMOD_SRC= set to the directory of an unpacked kmod 30 source.
	END
fi
exit 1
