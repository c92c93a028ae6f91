#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Test only: two units, or hooks, that tell the host what the initramfs looks like just before and just after Modulus.
# shellcheck shell=sh
# shellcheck disable=SC2154  # dracut's variables

check() {
    return 255
}

# systemd is named by whoever builds the image, or left out by him
depends() {
    return 0
}

install() {
    inst_simple /usr/bin/busybox /usr/bin/busybox || return 1
    inst_simple "$moddir/report.sh" /usr/bin/modulus-report || return 1
    if ! dracut_module_included systemd; then
        inst_hook pre-pivot 54 "$moddir/modulus-probe-before.sh"
        inst_hook pre-pivot 56 "$moddir/modulus-probe-after.sh"
        return 0
    fi
    for unit in modulus-probe-before.service modulus-probe-after.service; do
        inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit" || return 1
        # shellcheck disable=SC2086
        $SYSTEMCTL -q --root "$initdir" add-wants initrd.target "$unit" || return 1
    done
}
