#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# dracut module: what 50modulus needs to fetch bundles over the network: systemd-networkd, the drivers of network
# cards, and the unit that is started only when no local source had a bundle. Asked for by name
# (--add "modulus modulus-net"), since it makes the image larger.
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # moddir and systemdsystemunitdir are dracut's

# called by dracut; 255: only when asked for by name
check() {
    return 255
}

# called by dracut; the second brings the cards' drivers
depends() {
    echo modulus systemd-networkd kernel-network-modules
}

# called by dracut; rm and systemctl are what `modulus network down` runs
install() {
    inst_simple "$moddir/modulus-network.service" "$systemdsystemunitdir/modulus-network.service" || return 1
    inst_multiple rm systemctl
}
