#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Test only: Debian builds Ignition with SELinux relabelling on, so that its files stage fails where setfiles is absent,
# even with selinux=0. The guest has no SELinux: a setfiles that does nothing lets that stage end.
# shellcheck shell=sh
# shellcheck disable=SC2154  # dracut's variables

check() {
    return 255
}

depends() {
    return 0
}

install() {
    printf '#!/bin/sh\nexit 0\n' > "$initdir/usr/sbin/setfiles" && chmod 0755 "$initdir/usr/sbin/setfiles"
}
