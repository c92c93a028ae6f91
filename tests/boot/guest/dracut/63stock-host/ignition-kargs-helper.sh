#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Test only: what Ignition's kargs stage runs, `--should-exist ARGUMENT` for each. As Flatcar's: what is missing goes to
# `set linux_append=` in grub.cfg of the OEM partition, then the machine starts again and it is still its first boot.
# Without such a partition it is an error, as on live systems.
set -eu

append=
while [ $# -gt 0 ]; do
    [ "$1" = --should-exist ]
    case " $(cat /proc/cmdline) " in
        *" $2 "*) ;;
        *) append="$append $2" ;;
    esac
    shift 2
done
[ -n "$append" ] || exit 0

udevadm settle
mkdir -p /run/oem
mount /dev/disk/by-label/OEM /run/oem
sed -i "s|^set linux_append=\"\(.*\)\"\$|set linux_append=\"\1$append\"|" /run/oem/grub.cfg
umount /run/oem
systemctl reboot --force
exec busybox sleep 60
