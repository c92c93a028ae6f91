#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# As a system extension: a directory on the disk, unpacked before anything is timed, indexed (what is merged cannot be
# written to), merged into /usr, and its modules loaded. Nothing is verified.
# From the environment: release, and wanted, the modules' names.
set -e
export PATH=/usr/bin
: "${release:?}" "${wanted:?}"

/usr/bin/depmod -b /var/lib/extensions/bench/usr "$release" 2> /dev/null # warns of lists that a whole kernel has
/usr/bin/systemd-sysext merge
for module in $wanted; do
    /usr/bin/modprobe -i "$module"
done
