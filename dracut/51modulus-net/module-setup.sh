#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# dracut module: what 50modulus needs to fetch bundles over the network: something that brings links up, the drivers of
# network cards, and the unit that is started only when no local source had a bundle. Asked for by name
# (--add "modulus modulus-net"), since it makes the image larger.
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # moddir, initdir and the systemd directories are dracut's

# called by dracut; 255: only when asked for by name
check() {
    return 255
}

# called by dracut. What brings links up is what the image has anyway (--add network-manager, say); else
# systemd-networkd, which costs least; else what dracut finds. kernel-network-modules brings the cards' drivers.
# Without systemd it has to be up before us, by rd.neednet=1 and ip= on the kernel command line.
depends() {
    echo modulus kernel-network-modules
    for handler in network-manager network-legacy; do
        if dracut_module_included "$handler"; then
            # "network" has the library that both source
            echo network "$handler"
            return 0
        fi
    done
    case " ${omit_dracutmodules:-} " in
        *" systemd "* | *" systemd-initrd "*) ;;
        *)
            if [ -x "${dracutsysrootdir:-}$systemdutildir/systemd-networkd" ]; then
                echo systemd-networkd
                return 0
            fi
            ;;
    esac
    echo network
}

# called by dracut, which ignores what this returns. systemctl is what `modulus network` runs
install() {
    dracut_module_included systemd || return 0
    if ! { inst_simple "$moddir/modulus-network.service" "$systemdsystemunitdir/modulus-network.service" \
        && inst_multiple systemctl; }; then
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
