#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What modulus.service is where the initramfs has no systemd. dracut's init sources this file before it switches roots, when
# $NEWROOT and its /usr are mounted; whatever happens here, it goes on to the next one. So: return, and never exit.
#
# In: $NEWROOT. Out: what `modulus boot` leaves in /run, for the real root to finish, whatever its init is.
# shellcheck shell=sh
# shellcheck disable=SC2154  # NEWROOT is dracut's

# never in a crash kernel: it has little memory and must only save the dump
[ -e /proc/vmcore ] && return 0

# dracut mounts /run noexec, and in there is the program that the real root runs; this mount moves along with /run
mkdir -p /run/modulus/bin
mount -t tmpfs -o nosuid,nodev,mode=0755,size=16m modulus /run/modulus/bin

/usr/bin/modulus boot --root "$NEWROOT" < /dev/null

# Required=yes: the target that systemd would have been asked for (OnFailure=)
if [ -e /run/modulus/required ]; then
    read -r modulus_target < /run/modulus/required
    sync
    case $modulus_target in
        reboot.target) echo b > /proc/sysrq-trigger ;;
        poweroff.target) echo o > /proc/sysrq-trigger ;;
    esac
    # the kernel takes a moment, or has no sysrq
    [ "$modulus_target" = emergency.target ] || sleep 5
    emergency_shell -n modulus "modulus: a driver with Required=yes is not there ($modulus_target)"
fi
unset modulus_target
return 0
