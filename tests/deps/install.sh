#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install.sh [--list|--auto] PACKAGE...: installs those Debian packages that are missing.
# --list only names them; --auto goes on where it cannot install (not root, not Debian), having said so.
# When all are there nothing is run, so that it costs no time and needs no network.
set -eu

mode=install
case ${1:-} in
--*)
	mode=${1#--}
	shift
	;;
esac

cannot() {
	echo "modulus: $*" >&2
	[ "$mode" = auto ] && exit 0
	exit 1
}

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
	cannot "packages can be installed for you on Debian 12 only; here you need the counterparts of: $*"
fi

# shellcheck disable=SC2016  # the ${...} are dpkg-query's
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} \n' "$@" 2> /dev/null | sed -n 's/^installed//p')
missing=
for package in "$@"; do
	case $installed in
	*" $package "*) ;;
	*) missing="$missing${missing:+ }$package" ;;
	esac
done

if [ "$mode" = list ]; then
	echo "$missing"
	exit 0
fi
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || cannot "run 'make deps' as root, or install: $missing"

# Debian's Ignition comes with a dracut module that has no check(), so that every image made by dracut
# from then on holds it. Harmless where only our tests run dracut; not where the machine's own
# initramfs is made by it (package dracut, not just dracut-core).
case " $missing " in
*" ignition "*)
	if dpkg-query -W -f '${db:Status-Status}' dracut 2> /dev/null | grep -qx installed; then
		omit=/etc/dracut.conf.d/90-modulus-omit-ignition.conf
		echo 'omit_dracutmodules+=" ignition "' > $omit
		echo "modulus: $omit keeps Ignition, installed for the tests, out of this machine's initramfs"
	fi
	;;
esac

echo "modulus: installing: $missing"
log=$(mktemp)
policy=/usr/sbin/policy-rc.d made=
trap 'rm -f "$log" ${made:+"$policy"}' EXIT
trap 'exit 1' HUP INT TERM # else dash ends without the one above
# Servers come for the tests (a registry, nginx), which run their own, and NetworkManager for images: none is started
# here, nor at the next boot.
if [ ! -e $policy ]; then
	made=yes
	printf '#!/bin/sh\nexit 101\n' > $policy
	chmod 0755 $policy
fi
# shellcheck disable=SC2086  # a list of words
if ! { apt-get -q update &&
	DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing; } > "$log" 2>&1 < /dev/null; then
	tail -n 30 "$log" >&2
	echo "modulus: apt-get could not install: $missing" >&2
	exit 1
fi
for server in docker-registry:docker-registry nginx:nginx network-manager:NetworkManager; do
	case " $missing" in
	*" ${server%:*}"*) systemctl --quiet disable "${server#*:}.service" > /dev/null 2>&1 || : ;;
	esac
done
