#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: PID 1 of a real root whose power may be cut at any moment. It writes what is done to an unused sector of the
# disk as well, so that the log of all writes has it in its place.

bb=/usr/bin/busybox
report=/usr/bin/modulus-report
disk=/dev/vda
unused_sector=1024

# flushed as well, behind the mark: an image of the moment between the two has what was durable without it
mark() {
    echo "MARK $1" | $bb dd of=$disk bs=512 count=1 conv=fsync seek=$unused_sector 2> /dev/null
}

# linger: time for the file system to write what nobody asked it to (root is mounted with commit=1)
linger() {
    [ -e /run/test-linger ] && $bb sleep 3
}

# prefetch NAME: what a trigger does. Then somebody syncs a file of his own, and with it what the journal has: without that
# the file system may write the bundle before its name, also where nobody asked for it.
prefetch() {
    $report real-root "$1" $without_sync /run/modulus/bin/modulus fetch --next --present --refresh
    echo "$1" | $bb dd of=/var/lib/neighbour conv=fsync 2> /dev/null
    mark "$1"
}

mark booted
$report real-root finish /run/modulus/bin/modulus finish
$report real-root
if [ -e /run/test-rebuild ]; then
    $report real-root rebuild /run/modulus/bin/modulus rebuild
    mark rebuilt
fi
linger
mark lingered
if [ -e /run/test-prefetch ]; then
    # an update has come; nobody looks into the older kernel's folder any more
    $bb mount -t tmpfs none /usr/lib/modules
    $bb mkdir "/usr/lib/modules/$($bb cat /run/test-prefetch)"
    without_sync=
    [ -e /run/test-without-sync ] && without_sync=/usr/bin/without-sync
    prefetch prefetched
    prefetch refreshed
    linger
fi
$report real-root trials $bb find /var/lib/modulus/trials -type f -exec $bb cat {} +
$report real-root cache $bb find /var/lib/modulus -type f
$report real-root kernel-log $bb dmesg
$report real-root end $bb true
# no sync: what was not made durable by now is lost
$bb poweroff -nf
