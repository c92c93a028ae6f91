#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the guest of `make bench`: the same modules into the same kernel, round after round, by each contender.
# /bench/settings says which, and how often.

bb=/usr/bin/busybox
# shellcheck source=/dev/null
. /bench/settings
: "${rounds:?}" "${port:?}" "${path:?}" "${bytes:?}" "${name:?}" "${unload:?}" "${floor:?}" "${needs?}" "${release:?}" \
    "${image:?}" "${firmware?}"
export wanted release

exec > /dev/ttyS1 2>&1
for link in /sys/class/net/e*; do
    $bb ip link set "${link##*/}" up
    $bb ip addr add 10.0.2.15/24 dev "${link##*/}"
    $bb ip route add default via 10.0.2.2
done
for module in $needs; do
    /usr/bin/modprobe "$module"
done
bring_device
# as systemd leaves it: what systemd-sysext merges in a namespace of its own is to be seen here
$bb mount --make-rshared /

# a kernel as if nobody had loaded anything
forget() {
    for module in $unload; do
        [ ! -e "/sys/module/$module" ] || $bb rmmod "$module"
    done
    [ ! -e /usr/lib/extension-release.d ] || /usr/bin/systemd-sysext unmerge
    $bb rm -rf /run/modulus /run/modprobe.d /run/shell /run/image
}

# CONTENDER CONF: ours, with that driver file
ours() {
    forget
    $bb cp "/bench/conf/$2.conf" "/etc/modulus/$name.conf"
    /bench/timed/timed "$1" /bench/modulus/modulus-boot boot
    echo "status $1 $($bb tr -d '\n' < /run/modulus/status.json)"
}

# the same, with firmware of that version in the cache as well; and the least that firmware can take
with_firmware() {
    $bb mkdir /var/lib/modulus/bundles/any
    $bb ln "/bench/firmware/$firmware" /var/lib/modulus/bundles/any/
    ours firmware net
    $bb rm -r /var/lib/modulus/bundles/any
    forget
    /bench/timed/timed unpack /bench/floor/floor "/bench/firmware/$firmware"
}

round=0
while [ "$round" -lt "$rounds" ]; do
    $bb rm -rf /var/lib/modulus
    ours miss net
    $bb sync # a boot that finds the cache full is a later one
    /bench/timed/timed transfer /bench/transfer/transfer 10.0.2.2 "$port" "$path" "$bytes"
    ours hit net
    forget
    # shellcheck disable=SC2086 # modules, each a word
    /bench/timed/timed floor /bench/floor/floor /bench/bundle/bundle.tar.zst $floor
    ours usr usr
    forget
    /bench/timed/timed shell /bench/shell/shell.sh /bench/bundle/bundle.tar.zst
    forget
    /bench/timed/timed sysext /bench/sysext/sysext.sh
    forget
    /bench/timed/timed image /bench/image/image.sh "$image"
    [ -z "$firmware" ] || with_firmware
    ours none none
    round=$((round + 1))
done
/usr/bin/modulus-report real-root end $bb true
$bb sync
$bb poweroff -f
