#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# Test only: an ostree host that is told to stage an update, once; then it goes down in good order. Without an update it only
# reports.

bb=/usr/bin/busybox
report=/usr/bin/modulus-report
lock=/run/ostree/staged-deployment-locked
config=/etc/modulus/virtio-gpu.conf
updated=/var/lib/modulus-test-updated
# of a guest that is emulated; what takes longer is reported as it is then
patience_s=120

wait_for() {
    left=$patience_s
    until "$@" || [ "$left" = 0 ]; do
        $bb sleep 1
        left=$((left - 1))
    done
}
locked() { [ -e $lock ]; }
unlocked() { [ ! -e $lock ]; }
tried_again() { [ "$(systemctl show -P NRestarts modulus-gate.service)" -ge 2 ]; }

look() {
    $report real-root "$1-lock" $bb cat $lock
    $report real-root "$1-status" /run/modulus/bin/modulus status
    $report real-root "$1-inhibitors" systemd-inhibit --list --no-pager --no-legend
    $report real-root "$1-unit" systemctl show modulus-gate.service -p ActiveState -p SubState
}
gate() { $bb sed -i "s/^Gate=.*/Gate=$1/" $config; }

$report real-root
$report real-root release $bb uname -r
$report real-root ostree ostree admin status
$report real-root failed-units systemctl list-units --failed --plain --no-legend
$report real-root cache $bb find /var/lib/modulus/bundles -type f
if [ -e $updated ]; then
    $report real-root shutdown-journal journalctl --no-pager -o cat -b -1 -u modulus-gate-stop.service -u ostree-finalize-staged.service
else
    $bb touch $updated
    $report real-root stage ostree admin deploy --stage --os=stock test
    wait_for locked
    wait_for tried_again
    look held
    # its ExecStop= is what a shutdown runs
    systemctl stop ostree-finalize-staged.service
    $report real-root finalize-journal journalctl --no-pager -o cat -u ostree-finalize-staged.service
    $report real-root held-files $bb ls /run/ostree
    systemctl start ostree-finalize-staged.service

    gate 1s
    wait_for unlocked
    look deadline
    gate yes
    systemctl start --no-block modulus-gate.service
    wait_for locked
    look held-again

    # from now on only the shutdown looks
    systemctl stop modulus-gate.service
    $report real-root publish $bb wget -q -O - "$($bb sed -n 's/.*modulus-test.publish=\([^ ]*\).*/\1/p' /proc/cmdline)"
    $report real-root gate-journal journalctl --no-pager -o cat -u modulus-gate.service
fi
$report real-root end $bb true
systemctl --no-block poweroff
