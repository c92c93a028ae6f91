#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: what updaters do on a booted machine, one after another, and what the cache holds after each. What each brought is
# taken away again before the next; the last one's stays.

bb=/usr/bin/busybox
report=/usr/bin/modulus-report
cache=/var/lib/modulus/bundles
unit=modulus-fetch.service
mounted=/tmp/postinst
# the slot that the next boot has when the update is finished (disk.set_slot: priority 3, one try)
disk=/dev/vda number=2 next_slot=0013000000000000

# done_by NAME: what the cache holds, and away with what is for the next kernel
done_by() {
    $report real-root "$1-cache" $bb find $cache -type f
    [ "$1" = timer ] || $bb rm -rf "$cache/$next"
}

# the moment at which the service began to run last; 0: never
began() {
    systemctl show --value -p ExecMainStartTimestampMonotonic $unit
}

# ran_again BEGAN: waits until it has run once more and ended
ran_again() {
    for _ in $($bb seq 120); do
        [ "$(began)" != "$1" ] && [ "$(systemctl show --value -p ActiveState $unit)" = inactive ] && return
        $bb sleep 1
    done
}

# state NAME
state() {
    $report real-root "$1-service" systemctl show $unit -p Result -p ExecMainStatus -p ActiveState
    $report real-root "$1-journal" journalctl --no-pager -o cat -u $unit
}

$bb mkdir $mounted
$bb mount -t erofs -o ro /dev/disk/by-partlabel/USR-B $mounted
next=$($bb ls $mounted/lib/modules)
$report real-root units systemctl show modulus-fetch.path modulus-fetch.timer $unit -p Id -p ActiveState -p Triggers \
    -p ExecMainStartTimestampMonotonic -p NextElapseUSecRealtime
$report real-root online systemctl start network-online.target

# Flatcar: as flatcar-postinst does, the slot is not the next one yet
$report real-root slot-before /run/modulus/bin/modulus check --next --json
$report real-root flatcar-hook /oem/bin/oem-postinst B $mounted
$bb umount $mounted
done_by flatcar

# then it is, and somebody says so
$report real-root slot-change sgdisk -A "$number:=:$next_slot" $disk
before=$(began)
touch /run/reboot-required
ran_again "$before"
state path
done_by path

# Nobody says anything; a day later. After a jump of the clock systemd counts the timer's spread anew, from the start of the
# boot: without it no test would see the timer's time come.
$bb mkdir -p /run/systemd/system/modulus-fetch.timer.d
echo '[Timer]
RandomizedDelaySec=0' > /run/systemd/system/modulus-fetch.timer.d/test.conf
systemctl daemon-reload
systemctl restart modulus-fetch.timer
before=$(began)
$report real-root clock-set $bb date -s "@$(($($bb date +%s) + 90000))"
ran_again "$before"
state timer
done_by timer
$report real-root gate /run/modulus/bin/modulus check --next --gate
