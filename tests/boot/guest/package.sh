#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: dpkg installs a kernel on a booted machine, which then goes down. The package asks for what makes an initramfs as
# well, which a hook beside ours would do: not here.

bb=/usr/bin/busybox
report=/usr/bin/modulus-report

$report real-root
$report real-root online systemctl start network-online.target
$report real-root dpkg /usr/bin/env DEBIAN_FRONTEND=noninteractive dpkg --force-depends --force-unsafe-io --install \
    /var/cache/apt/archives/*.deb
$report real-root installed dpkg --list 'linux-image-*'
$report real-root images $bb ls /boot
$report real-root cache $bb find /var/lib/modulus/bundles -type f
$report real-root next /run/modulus/bin/modulus check --next
$report real-root failed-units systemctl list-units --failed --plain --no-legend
$report real-root kernel-log $bb dmesg
$report real-root end $bb true
systemctl --no-block poweroff
