#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sysroot.sh ARCH PACKAGE...: Debian's packages of headers and libraries for another architecture, unpacked in
# $MODULUS_CACHE/sysroot-ARCH-VERSIONS, to which the link sysroot-ARCH points; VERSIONS is a digest of those of the
# packages, so that an update is seen. For a cross compiler's --sysroot. The machine's own dpkg hears nothing of the
# architecture: whether the libraries of two can be installed side by side, and stay so over updates, is no question.
set -eu
# shellcheck source=tests/deps/own-apt.sh
. "$(dirname "$0")/own-apt.sh"

arch=$1
shift
link=$MODULUS_CACHE/sysroot-$arch

if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
	echo "modulus: libraries for $arch can be fetched on Debian only: see 'make help' for CC=" >&2
	[ -d "$link" ] && exit 0
	exit 1
fi

# those of this machine's architecture, which Debian releases together with the other
newest() {
	echo "$link-$(apt-cache policy "$@" | grep '^[a-z]\|Candidate:' | sha256sum | cut -c 1-16)"
}

target=$(newest "$@")
if [ -d "$target" ]; then
	ln -sfn "${target##*/}" "$link"
	exit 0
fi

need_archives
target=$(newest "$@")
mkdir -p "$MODULUS_CACHE"
part=$(mktemp -d "$MODULUS_CACHE/.sysroot.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$part/out" "$part/debs"
own_apt_begin "$part" deb "$arch"

if ! { own_apt update && cd "$part/debs" && own_apt download "$@"; } > "$part/log" 2>&1 < /dev/null; then
	tail -n 15 "$part/log" >&2
	echo "modulus: apt could not fetch for $arch: $*" >&2
	exit 1
fi
for deb in "$part"/debs/*.deb; do
	dpkg-deb --extract "$deb" "$part/out"
done
chmod 0755 "$part/out"
rm -rf "$target"
mv "$part/out" "$target"
ln -sfn "${target##*/}" "$link"
