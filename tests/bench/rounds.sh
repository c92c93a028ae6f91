#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the guest of `make bench`: the same modules into the same kernel, round after round, by each contender.
# On the kernel command line: bench.rounds=, bench.port= (of the host's web server), bench.path=, bench.bytes=

bb=/usr/bin/busybox
for word in $($bb cat /proc/cmdline); do
    case $word in
        bench.rounds=*) rounds=${word#*=} ;;
        bench.port=*) port=${word#*=} ;;
        bench.path=*) path=${word#*=} ;;
        bench.bytes=*) bytes=${word#*=} ;;
    esac
done

exec > /dev/ttyS1 2>&1
for link in /sys/class/net/e*; do
    $bb ip link set "${link##*/}" up
    $bb ip addr add 10.0.2.15/24 dev "${link##*/}"
    $bb ip route add default via 10.0.2.2
done

# a kernel as if nobody had loaded anything, a cache as if nobody had fetched
forget() {
    for module in virtio_gpu virtio_dma_buf drm_shmem_helper drm_kms_helper drm; do
        [ ! -e "/sys/module/$module" ] || $bb rmmod "$module"
    done
    $bb rm -rf /var/lib/modulus /run/modulus
}

round=0
while [ "$round" -lt "$rounds" ]; do
    forget
    /bench/timed/timed miss /bench/modulus/modulus-boot boot
    $bb grep -m 1 '"source"' /run/modulus/status.json
    forget
    /bench/timed/timed floor /bench/floor/floor /bench/bundle/bundle.tar.zst insert
    /bench/timed/timed transfer /bench/transfer/transfer 10.0.2.2 "$port" "$path" "$bytes"
    round=$((round + 1))
done
/usr/bin/modulus-report real-root end $bb true
$bb sync
$bb poweroff -f
