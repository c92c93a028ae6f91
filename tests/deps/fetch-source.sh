#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fetch-source.sh PACKAGE BINARY: the newest Debian revision of a source package, patched, in
# $MODULUS_CACHE/PACKAGE-VERSION, to which the link $MODULUS_CACHE/PACKAGE points; BINARY is a package
# built from it, whose version says what is newest without an index of sources. For sources whose
# security fixes are Debian's patches, so that no digest can be pinned: apt checks them against the
# archive's signed index instead. The deb-src lines are derived from the binary ones that this
# machine's apt uses, in a directory of our own; apt's configuration is neither changed nor its lists.
set -eu
# shellcheck source=tests/deps/own-apt.sh
. "$(dirname "$0")/own-apt.sh"

package=$1 binary=$2
link=$MODULUS_CACHE/$package

if ! command -v apt-get > /dev/null || ! command -v dpkg-source > /dev/null; then
	echo "modulus: the source of $package can be fetched on Debian only: see 'make help' for CURL_SRC=" >&2
	[ -d "$link" ] && exit 0
	exit 1
fi

version=$(apt-cache policy "$binary" | sed -n 's/^  Candidate: //p')
target=$link-$version
if [ -n "$version" ] && [ -d "$target" ]; then
	ln -sfn "${target##*/}" "$link"
	exit 0
fi

need_archives
target=$link-$(apt-cache policy "$binary" | sed -n 's/^  Candidate: //p')
mkdir -p "$(dirname "$target")"
part=$(mktemp -d "$(dirname "$target")/.source.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$part/out"
own_apt_begin "$part" deb-src

if ! { own_apt update && cd "$part/out" && own_apt source "$package"; } > "$part/log" 2>&1 < /dev/null; then
	tail -n 15 "$part/log" >&2
	echo "modulus: apt could not fetch the source of $package" >&2
	exit 1
fi
for dir in "$part"/out/*/; do
	rm -rf "$target"
	mv "$dir" "$target"
	ln -sfn "${target##*/}" "$link"
	exit 0
done
