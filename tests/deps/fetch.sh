#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fetch.sh FILE POOLDIR SHA256: one archive from the Debian mirrors that this machine's apt
# already uses, into $MODULUS_CACHE. apt's own downloader honours its proxies and credentials; the
# pinned digest makes the index of source packages (deb-src) unnecessary, and nothing of apt's
# configuration is read or written beyond that.
set -eu
# shellcheck source=tests/deps/own-apt.sh
. "$(dirname "$0")/own-apt.sh"

file=$1 pool=$2 sha256=$3
cache=$MODULUS_CACHE

if [ -f "$cache/$file" ] && echo "$sha256  $cache/$file" | sha256sum --check --status; then
	exit 0
fi

helper=/usr/lib/apt/apt-helper
if [ ! -x $helper ]; then
	echo "modulus: $file: cannot be fetched without apt: put it into $cache yourself" >&2
	exit 1
fi

need_archives
mkdir -p "$cache"
part=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
for mirror in $(archives | cut -d " " -f 1 | sort -u); do
	# as ourselves: apt's download user may not write to our cache
	if $helper -o APT::Sandbox::User="$(id -un)" -qq download-file "${mirror%/}/$pool/$file" "$part/$file" \
		"SHA256:$sha256" > "$part/log" 2>&1; then
		mv "$part/$file" "$cache/$file"
		exit 0
	fi
done

cat "$part/log" >&2 2> /dev/null || true
echo "modulus: $file: no Debian mirror of this machine has it: put it into $cache yourself" >&2
exit 1
