#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: in the initramfs, before the root or /usr is mounted. Waits for a line on the third serial port and does what
# it says: the host stops the guest here, and goes on from here as often as it likes, each time with another disk.

bb=/usr/bin/busybox
# nothing of the disk that is in the machine now may be remembered
$bb sync
echo 3 > /proc/sys/vm/drop_caches
# open first: opening throws away what has arrived
exec 3< /dev/ttyS2
# nobody reads an echo: on close the kernel would wait half a minute for one of more than 256 characters to be gone
$bb stty -echo <&3
echo "@paused" > /dev/ttyS1
read -r words <&3
exec 3<&-
eval "$words"
