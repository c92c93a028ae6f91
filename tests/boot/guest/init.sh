#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: PID 1 of the small real root. A true switch-root without the price of a second systemd: report, power off.

bb=/usr/bin/busybox
report=/usr/bin/modulus-report

# what ostree's generator does in a root with systemd
for var in /sysroot/ostree/deploy/*/var; do
    [ ! -d "$var" ] || $bb mount -o bind "$var" /var
done
$report real-root
if [ -x /run/modulus/bin/modulus ]; then
    $report real-root status-text /run/modulus/bin/modulus status
    $report real-root status-json /run/modulus/bin/modulus status --json
fi
$report real-root kernel-log $bb dmesg
$report real-root cache $bb find /var/lib/modulus -type f
# what modulus-finish.service does in a root with systemd; where nothing is kept it has nothing to write
[ ! -d /var/lib/modulus ] || $bb mount -o remount,rw /
if [ -x /run/modulus/bin/modulus ]; then
    $report real-root finish /run/modulus/bin/modulus finish
fi
# what somebody does to the machine before its next boot
if $bb grep -q modulus-test.forget /proc/cmdline; then
    $report real-root forget $bb rm -rf /var/lib/modulus/bundles
fi
if $bb grep -q modulus-test.remove /proc/cmdline; then
    $report real-root remove $bb rm -rf /etc/modulus
fi
$report real-root end $bb true
$bb mount -o remount,ro / 2> /dev/null
$bb sync
$bb poweroff -f
