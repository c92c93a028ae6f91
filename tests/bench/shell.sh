#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# What people would write: the bundle unpacked into memory, its modules indexed and loaded. Nothing is verified.
# From the environment: release, and wanted, the modules' names.
set -e
# whole paths: busybox prefers its own
export PATH=/usr/bin
: "${release:?}" "${wanted:?}"

/usr/bin/busybox mkdir /run/shell
/usr/bin/tar --zstd -xf "$1" -C /run/shell
/usr/bin/depmod -b /run/shell/usr "$release" 2> /dev/null # warns of lists that a whole kernel has
for module in $wanted; do
    # -i: this guest's configuration keeps the driver out of the kernel until it is asked for like this
    /usr/bin/modprobe -i -d /run/shell/usr "$module"
done
