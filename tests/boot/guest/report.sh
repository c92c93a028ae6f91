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

# what a real root would find of a network: addresses, routes, settings of links, files
network() {
    $bb ip -o link
    $bb ip -o addr
    $bb ip route
    $bb ip -6 route
}
settings() {
    $bb grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2> /dev/null
}
# device and driver of each
virtio_drivers() {
    for device in /sys/bus/virtio/devices/*; do
        echo "${device##*/} $($bb basename "$($bb readlink "$device/driver")")"
    done
}
section virtio-drivers virtio_drivers
section modprobe.d $bb grep -r . /run/modprobe.d
section network network
# a thousand files, which takes half a second; the host says when a test compares them
if $bb grep -q modulus-test.network /proc/cmdline; then
    section network-settings settings
fi
section network-files $bb find /run/systemd/network /run/systemd/netif /run/NetworkManager /run/modulus/network
section hostname $bb hostname
section processes $bb ps -o comm
# whether it has a driver yet or not
has_card() {
    $bb grep -q 0x0001 /sys/bus/virtio/devices/*/device
}
# a unit that has ended is forgotten, the journal keeps what it said; that is large, and only here does somebody ask
if [ "$where" = initramfs ] && has_card; then
    section networkd $bb grep -rl _SYSTEMD_UNIT=systemd-networkd.service /run/log/journal
fi
section clock $bb date -u +%s
section cpu $bb grep -m 1 flags /proc/cpuinfo
section hardware-rng $bb cat /sys/class/misc/hw_random/rng_current
section vmcore $bb ls /proc/vmcore

section cmdline $bb cat /proc/cmdline
section uptime $bb cat /proc/uptime
section modules $bb cat /proc/modules
section taint $bb cat /proc/sys/kernel/tainted
section nodes $bb find /dev/dri
section nvidia-nodes $bb find /dev -name 'nvidia*' -type c -exec $bb stat -c '%n %t:%T %a %u:%g' {} +
section char-links $bb ls -l /dev/char
section mounts $bb cat /proc/mounts
section initrd $bb ls /etc/initrd-release
section status $bb cat /run/modulus/status.json
section run $bb find /run/modulus
trials() {
    $bb cat /sysroot/var/lib/modulus/trials/*/* /var/lib/modulus/trials/*/* 2> /dev/null
}
section trials trials

if [ "$where" = initramfs ]; then
    section unit systemctl show modulus.service -p FragmentPath -p ActiveState -p Result -p ExecMainStatus \
        -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic
    section failed-units systemctl list-units --failed --plain --no-legend
    section our-files $bb find / /run/systemd /sysroot/etc -xdev -name '*modulus*'
fi

# the machine goes down in good order before it has seen its real root
if [ "$where" = initramfs ] && $bb grep -q modulus-test.poweroff /proc/cmdline; then
    systemctl --no-block poweroff
fi
