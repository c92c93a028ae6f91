#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: the report of a real root that runs systemd.

bb=/usr/bin/busybox
report=/usr/bin/modulus-report

$report real-root
$report real-root status-text /run/modulus/bin/modulus status
$report real-root status-json /run/modulus/bin/modulus status --json
for unit in finish bless; do
    $report real-root $unit-unit systemctl show modulus-$unit.service \
        -p UnitFileState -p ActiveState -p Result -p ExecMainStatus -p ExecStart
done
$report real-root instances systemctl show 'modulus@*.service' -p Id -p ActiveState -p Result -p ExecMainStatus -p StatusText
$report real-root failed-units systemctl list-units --failed --plain --no-legend
# the same units, when a driver has failed; before that they were started by the boot
$report real-root ready systemctl show modulus-ready.target gpu-user.service -p Id -p ActiveState -p Result
systemctl stop gpu-user.service modulus-ready.target
$bb rm -f /run/modulus/ready
$report real-root start-unready $bb timeout 20 systemctl start gpu-user.service
$report real-root unready systemctl show modulus-ready.target gpu-user.service -p Id -p ActiveState -p Result
$report real-root still-failed systemctl list-units --failed --plain --no-legend
$report real-root boot-journal journalctl --no-pager -o cat -u modulus.service
$report real-root warnings journalctl --no-pager -o cat -p warning -t modulus
$report real-root finish-journal journalctl --no-pager -o cat -u modulus-finish.service
$report real-root switch-root systemctl show -p UserspaceTimestampMonotonic -p InitRDTimestampMonotonic
$report real-root copies $bb find / -xdev -name 'modulus*' -type f
$report real-root copies-usr $bb find /usr -xdev -name 'modulus*' -type f
$report real-root cache $bb find /var/lib/modulus -type f
# as rtnetlink asks the kernel for it, and the kernel modprobe
$report real-root probe-name /usr/sbin/modprobe dummy
$report real-root probed $bb cat /proc/modules
$report real-root unload /run/modulus/bin/modulus unload --module dummy
$report real-root unloaded $bb cat /proc/modules
$report real-root probe-alias /usr/sbin/modprobe rtnl-link-dummy numdummies=3
$report real-root probed-again $bb ls /sys/class/net
# the driver goes, its device stays: udev finds it by its modalias. A console on the screen would use the driver
unbind_consoles() {
    for bind in /sys/class/vtconsole/*/bind; do
        $bb grep -q 'frame buffer' "${bind%bind}name" && echo 0 > "$bind"
    done
}
unbind_consoles
$report real-root unload-driver /run/modulus/bin/modulus unload virtio-gpu
$report real-root unloaded-driver $bb cat /proc/modules
$report real-root unloaded-status /run/modulus/bin/modulus status --json
$report real-root trigger udevadm trigger --settle --action=add --subsystem-match=virtio
$report real-root triggered $bb cat /proc/modules
$report real-root triggered-nodes $bb find /dev/dri -type c
$report real-root triggered-status /run/modulus/bin/modulus status --json
$report real-root udev-journal journalctl --no-pager -o cat -u systemd-udevd.service
$report real-root end $bb true
systemctl --no-block poweroff
