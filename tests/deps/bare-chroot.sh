#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# bare-chroot.sh [COMMAND]: runs COMMAND (make deps && make) on a copy of this tree in a fresh Debian 12
# that holds nothing but git and make. As root, with network; the system is thrown away afterwards.
# Its mirrors are those of this machine's apt. BARE_CACHE=DIR: what is slow to make is taken from there, and left there.
set -eu
# shellcheck source=tests/deps/own-apt.sh
. "$(dirname "$0")/own-apt.sh"

command=${1:-make deps && make}
tree=$(cd "$(dirname "$0")/../.." && pwd)

if [ "${MODULUS_BARE:-}" != inside ]; then
	# a mount name space of our own: whatever happens, nothing stays mounted
	MODULUS_BARE=inside exec unshare --mount --fork "$0" "$command"
fi

work=$(mktemp -d)
cache=$work/root/root/.cache/modulus
# the lent cache is on the same file system as the rest, perhaps: nothing is removed while it can be reached
trap 'umount -l "$cache" "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root" 2> /dev/null || true
	mountpoint -q "$cache" || rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' HUP INT TERM

archives | grep -E ' bookworm[a-z-]* main$' | sed 's/^/deb /' > "$work/sources.list"
mmdebstrap --quiet --variant=minbase --include=git,make,ca-certificates bookworm "$work/root" - < "$work/sources.list"

mkdir "$work/root/src"
git -C "$tree" ls-files -z --cached --others --exclude-standard |
	tar -C "$tree" --null --ignore-failed-read -T - -cf - | tar -C "$work/root/src" --no-same-owner -xf -
cp /etc/resolv.conf "$work/root/etc/resolv.conf"
# a mount of its own, as a root is: unshare(1) inside wants that
mount --bind "$work/root" "$work/root"
mount -t proc proc "$work/root/proc"
mount --rbind /sys "$work/root/sys"
mount --rbind /dev "$work/root/dev"
if [ -n "${BARE_CACHE:-}" ]; then
	mkdir -p "$cache"
	mount --bind "$BARE_CACHE" "$cache"
fi

env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 ${CI:+CI=$CI} \
	chroot "$work/root" sh -c "cd /src && $command" < /dev/null
