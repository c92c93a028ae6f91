#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The add-on: one small archive that is given to the kernel behind any initramfs with systemd, which nobody rebuilds for it.
#
#   dracut/initrd.sh PROGRAM OUTPUT       PROGRAM: build/modulus-boot
#
# In: the program, and the unit beside this file (the program brings the one for its network itself). Out: a cpio archive (newc), zstd-compressed. The same input gives the
# same bytes: SOURCE_DATE_EPOCH is the time of every file in it (0 where it is not set).
#
# What the kernel (init/initramfs.c) asks of such an archive, and what follows from it:
#   - a file whose directory is not there is left out without a word: every parent is in it, before what is in it;
#   - a directory that arrives replaces a link of that name: /lib, /bin, /sbin and /lib64, which are links in most
#     images, are never named;
#   - an archive that is not compressed must begin at a multiple of four, a compressed one anywhere: it may be put
#     behind another with a plain cat. A kernel takes zstd from 5.9 on (CONFIG_RD_ZSTD).
set -eu
umask 022

[ $# -eq 2 ] || { echo "usage: dracut/initrd.sh PROGRAM OUTPUT" >&2; exit 2; }
program=$1 output=$2
here=${0%/*}
units=usr/lib/systemd/system
wants=etc/systemd/system/initrd.target.wants

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree

install -d "$tree" "$tree/usr/bin" "$tree/$units" "$tree/$wants"
install -m 0755 "$program" "$tree/usr/bin/modulus"
install -m 0644 "$here/50modulus/modulus.service" "$tree/$units/"
ln -s "/$units/modulus.service" "$tree/$wants/modulus.service"

cd "$tree"
find . -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
# in two steps: sh sees only how the last command of a pipe ended
find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible > "$work/plain"
cd "$OLDPWD"
zstd -q -19 -f "$work/plain" -o "$output"
