#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Test only: what the distributions that ship Ignition add to it, and Debian does not: a network for the first boot
# (systemd-networkd, as Flatcar has it), a helper that sets kernel arguments, and what forgets that it was the first boot.
# shellcheck shell=sh
# shellcheck disable=SC2154  # dracut's variables

check() {
    return 255
}

depends() {
    echo ignition
}

install() {
    inst_multiple busybox systemctl udevadm mount umount sed cat mkdir rm "$systemdutildir/systemd-networkd" || return 1
    # the group of /run/systemd/netif
    grep '^systemd-network:' "${dracutsysrootdir:-}/etc/passwd" >> "$initdir/etc/passwd"
    for unit in systemd-networkd.service systemd-networkd.socket; do
        inst_simple "$systemdsystemunitdir/$unit" || return 1
    done
    inst_simple "$moddir/zz-default.network" /usr/lib/systemd/network/zz-default.network || return 1
    for unit in stock-network.service stock-quench.service; do
        inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit" || return 1
        # shellcheck disable=SC2086
        $SYSTEMCTL -q --root "$initdir" add-wants ignition-complete.target "$unit" || return 1
    done
    # Debian's own only says that there is none
    cp -f "$moddir/ignition-kargs-helper.sh" "$initdir/usr/sbin/ignition-kargs-helper" &&
        chmod 0755 "$initdir/usr/sbin/ignition-kargs-helper"
}
