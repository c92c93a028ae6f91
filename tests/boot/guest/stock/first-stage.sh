#!/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: /init of a first stage like Flatcar's since 2025. The initramfs that systemd knows is a squashfs in here, with a
# layer of memory over it; what came as /oem behind the kernel's image is carried over, and nothing else is.

bb=/busybox
$bb mkdir -p /dev /lower /memory /second
$bb mount -t devtmpfs devtmpfs /dev
for module in loop squashfs overlay; do
    $bb insmod "/$module.ko"
done
$bb mount -t squashfs -o ro,loop /second.squashfs /lower
$bb mount -t tmpfs tmpfs /memory
$bb mkdir /memory/upper /memory/work
$bb mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work overlay /second
[ ! -d /oem ] || $bb cp -a /oem /second/
$bb umount /dev
exec $bb switch_root /second /init
