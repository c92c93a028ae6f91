#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: prints facts about the running machine, for the host to judge. Runs in the initramfs and in the real root.
# Usage: modulus-report WHERE [SECTION COMMAND...]
# The second serial port carries nothing else, so that no kernel message can fall into the middle of a line.

bb=/usr/bin/busybox
where=$1
exec > /dev/ttyS1 2>&1

# section NAME COMMAND...: everything that the command says, and its exit code
section() {
    echo "@begin $where $1"
    shift
    "$@" < /dev/null
    code=$?
    echo
    echo "@end $code"
}

if [ $# -gt 1 ]; then
    shift
    section "$@"
    exit 0
fi

# every file of the initramfs itself, with size and time of change; /run, /dev, /proc, /sys and /sysroot are mounts
inventory() {
    $bb find / -xdev ! -type d -exec $bb stat -c '%n %s %Z' {} + | $bb sort
}

case $where in
    before)
        inventory > /run/inventory.before
        ;;
    initramfs)
        inventory > /run/inventory.after
        section changed $bb diff /run/inventory.before /run/inventory.after
        ;;
esac

section uptime $bb cat /proc/uptime
section modules $bb cat /proc/modules
section taint $bb cat /proc/sys/kernel/tainted
section nodes $bb find /dev/dri
section mounts $bb cat /proc/mounts
section initrd $bb ls /etc/initrd-release
section status $bb cat /run/modulus/status.json
section run $bb find /run/modulus
