#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# dracut module: puts the static binary `modulus` into an initramfs, with a unit, or with a hook where there is no systemd.
#
# dracut sources this file and calls the functions below; it runs while an image is built, never at boot.
# In: the binary, from $moddir/modulus, $MODULUS_BINARY or the host's /usr/bin/modulus, in that order.
# Out: /usr/bin/modulus, modulus.service wanted by initrd.target (or a pre-pivot hook), the file systems a /usr partition may
# have, and `blacklist` lines for the rivals that dracut.conf names (modulus_evict="nouveau nova_core").
# Nothing of a GPU goes in (drivers come from bundles) and nothing secret: the public keys are read from the real root.
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # moddir, initdir, systemdsystemunitdir, SYSTEMCTL, dracutsysrootdir and others are dracut's

# a subshell, so that no variable of ours stays behind in dracut
modulus_binary() (
    for candidate in "$moddir/modulus" "${MODULUS_BINARY:-}" "${dracutsysrootdir:-}/usr/bin/modulus"; do
        if [ -n "$candidate" ] && [ -f "$candidate" ] && [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            exit 0
        fi
    done
    exit 1
)

# called by dracut; 255: only when asked for by name (--add modulus)
check() {
    if ! modulus_binary > /dev/null; then
        derror "modulus: no executable at $moddir/modulus, \$MODULUS_BINARY or /usr/bin/modulus"
        return 1
    fi
    return 255
}

# called by dracut; systemd-initrd brings initrd.target and /sysroot, udev is part of every systemd image. dracut asks
# before it knows whether systemd will be in the image, so: where the system has one that is not omitted by name. The hook
# needs what mounts /usr.
depends() {
    case " ${omit_dracutmodules:-} " in
        *" systemd "* | *" systemd-initrd "*) ;;
        *)
            if [ -x "${dracutsysrootdir:-}$systemdutildir/systemd" ]; then
                echo systemd-initrd
                return 0
            fi
            ;;
    esac
    echo usrmount
}

# called by dracut; the disk's own driver is in the image anyway, since the root is on the same disk
installkernel() {
    hostonly='' instmods erofs squashfs ext4 xfs btrfs
}

# what runs the program; 55 is behind the hook that mounts /usr (50)
modulus_start() {
    if dracut_module_included systemd; then
        # shellcheck disable=SC2086  # SYSTEMCTL may carry arguments
        inst_simple "$moddir/modulus.service" "$systemdsystemunitdir/modulus.service" \
            && $SYSTEMCTL -q --root "$initdir" add-wants initrd.target modulus.service
        return
    fi
    inst_hook pre-pivot 55 "$moddir/modulus-pre-pivot.sh"
}

# called by dracut. It ignores what install() returns (059), so a missing part has to end the build here: otherwise
# the image would be made, and silently do nothing.
install() {
    if ! { inst_simple "$(modulus_binary)" /usr/bin/modulus && modulus_start; }; then
        dfatal "modulus: the program or what starts it could not be put into the image"
        exit 1
    fi
    # a rival that never binds need not be unbound: the image's udev does not load it for a device
    for rival in ${modulus_evict:-}; do
        mkdir -p "$initdir/etc/modprobe.d"
        printf 'blacklist %s\n' "$rival" >> "$initdir/etc/modprobe.d/modulus-evict.conf"
    done
}
