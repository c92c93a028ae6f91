#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# dracut module: what 50modulus needs to fetch bundles over the network: systemd-networkd, the drivers of network
# cards, and the unit that is started only when no local source had a bundle. Asked for by name
# (--add "modulus modulus-net"), since it makes the image larger.
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # moddir, initdir and the systemd directories are dracut's

# called by dracut; 255: only when asked for by name
check() {
    return 255
}

# called by dracut; the second brings the cards' drivers
depends() {
    echo modulus systemd-networkd kernel-network-modules
}

# called by dracut, which ignores what this returns. rm and systemctl are what `modulus network down` runs
install() {
    if ! { inst_simple "$moddir/modulus-network.service" "$systemdsystemunitdir/modulus-network.service" \
        && inst_multiple rm systemctl; }; then
        dfatal "modulus-net: the unit or what it runs could not be put into the image"
        exit 1
    fi
    # dracut enables networkd by its socket, which any change of a link makes start it, on every boot. Where nobody but
    # us wants a network in this image, it starts when we say so.
    if ! dracut_module_included network; then
        rm -f "$initdir$systemdsystemconfdir/sockets.target.wants/systemd-networkd.socket" \
            "$initdir$systemdsystemconfdir/network-online.target.wants/systemd-networkd-wait-online.service"
    fi
}
