#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# dracut module: puts the static binary `modulus` and its unit into a systemd initramfs.
#
# dracut sources this file and calls the functions below; it runs while an image is built, never at boot.
# In: the binary, from $moddir/modulus, $MODULUS_BINARY or the host's /usr/bin/modulus, in that order.
# Out: /usr/bin/modulus, modulus.service wanted by initrd.target, the file systems a /usr partition may have.
# Nothing of a GPU goes in (drivers come from bundles) and nothing secret: the public keys are read from the real root.
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # moddir, initdir, systemdsystemunitdir, SYSTEMCTL and dracutsysrootdir are dracut's

modulus_binary() {
    for candidate in "$moddir/modulus" "${MODULUS_BINARY:-}" "${dracutsysrootdir:-}/usr/bin/modulus"; do
        if [ -n "$candidate" ] && [ -f "$candidate" ] && [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# called by dracut; 255: only when asked for by name (--add modulus)
check() {
    if ! modulus_binary > /dev/null; then
        derror "modulus: no executable at $moddir/modulus, \$MODULUS_BINARY or /usr/bin/modulus"
        return 1
    fi
    return 255
}

# called by dracut; systemd-initrd brings initrd.target and /sysroot, udev is part of every systemd image
depends() {
    echo systemd-initrd
}

# called by dracut; the disk's own driver is in the image anyway, since the root is on the same disk
installkernel() {
    hostonly='' instmods erofs squashfs ext4 xfs btrfs
}

# called by dracut; a missing part ends the build rather than making an image that silently does nothing
install() {
    binary=$(modulus_binary) || return 1
    inst_simple "$binary" /usr/bin/modulus || return 1
    inst_simple "$moddir/modulus.service" "$systemdsystemunitdir/modulus.service" || return 1
    # shellcheck disable=SC2086  # SYSTEMCTL may carry arguments
    $SYSTEMCTL -q --root "$initdir" add-wants initrd.target modulus.service || return 1
}
