#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# bundles.sh: NVIDIA's open kernel modules as a signed bundle for one kernel, from Debian's package of their source; what
# `make nvidia-bundles` runs. docs/nvidia.md says what each of these, from the environment, is for:
#
#   KERNEL          release of the kernel (default: the running one)
#   KEY, OUT        secret key; directory for the bundle
#   NVIDIA_VERSION  of the driver (default: the newest that was fetched before, or that Debian has)
#   KERNEL_DIR      the kernel's module directory (default: /lib/modules/KERNEL, or from Debian's packages)
#   KERNEL_BUILD    its build tree (default: KERNEL_DIR/build, or from Debian's packages)
#   KERNEL_IMAGE    its image (default: vmlinuz near KERNEL_DIR)
#   BUILD_ARGS      more words for `modulus build`
#   MODULUS         the program that makes bundles (default: build/modulus)
#
# Packages come from where this machine's apt takes Debian's own, with the components contrib and non-free added in a
# directory of our own: apt's configuration is neither changed nor its lists. Nothing is installed. What was fetched and
# what was compiled stays in $MODULUS_CACHE/nvidia; interrupted, nothing half made is there under its name.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
package=nvidia-open-kernel-dkms
modules="nvidia nvidia-uvm nvidia-modeset nvidia-drm nvidia-peermem"
cache=${MODULUS_CACHE:-$HOME/.cache/modulus}/nvidia
KERNEL=${KERNEL:-$(uname -r)}
KERNEL_DIR=${KERNEL_DIR:-} KERNEL_BUILD=${KERNEL_BUILD:-} KERNEL_IMAGE=${KERNEL_IMAGE:-} VERSION=${NVIDIA_VERSION:-}
MODULUS=${MODULUS:-$here/../../../build/modulus}
# a make that runs this means its own options for itself
unset MAKEFLAGS MFLAGS MAKELEVEL

fail() {
	echo "modulus: nvidia: $*" >&2
	exit 1
}

[ -n "${KEY:-}" ] || fail "KEY= is missing: the secret key that signs the bundle, by 'modulus keygen'"
[ -f "$KEY" ] || fail "KEY=$KEY is no file"
[ -n "${OUT:-}" ] || fail "OUT= is missing: the directory for the bundle"
[ -x "$MODULUS" ] || fail "$MODULUS is missing: run 'make', or name MODULUS="
for tool in make gcc patch strip flock; do
	command -v $tool > /dev/null || fail "$tool is missing: on Debian, apt-get install make gcc patch binutils util-linux libelf1"
done
mkdir -p "$cache" "$OUT"
# one at a time: nobody makes what another is making, and what lies about is of a run that was killed
exec 9> "$cache/.lock"
flock 9
rm -rf "$cache"/.work.*
work=$(mktemp -d "$cache/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# --- apt ---

indexes() {
	# the indexes name their origin: other people's repositories are left alone
	# shellcheck disable=SC2016  # the $(...) are apt's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' | sort -u
}

# Once: an index of Debian's own sources with the components that the driver is in.
prepare_apt() {
	[ ! -f "$work/sources.list" ] || return 0
	command -v apt-get > /dev/null || fail "nothing can be fetched without apt: a Debian 12 machine is needed"
	[ -n "$(indexes)" ] || fail "apt knows no package source of Debian; run 'apt-get update' first"
	mkdir -p "$work/lists/partial" "$work/archives/partial"
	option=
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f $keyring ] && option="[signed-by=$keyring] "
	indexes | sed "s|^|deb $option|; s|\$| main contrib non-free|" > "$work/sources.list"
	apt get update > "$work/log" 2>&1 || { tail -n 15 "$work/log" >&2; fail "apt-get update failed"; }
}

# apt PROGRAM WORD...: apt-get or apt-cache over these sources.
apt() {
	program=$1
	shift
	"apt-$program" -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$work/lists" -o Dir::Cache::Archives="$work/archives" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User="$(id -un)" "$@" < /dev/null
}

# unpacked NAME PACKAGE...: $cache/NAME holds the packages' files, as if it were /.
unpacked() {
	tree=$cache/$1
	shift
	[ ! -d "$tree" ] || return 0
	mkdir "$work/debs" "$work/tree"
	(cd "$work/debs" && apt get download "$@") > "$work/log" 2>&1 || { tail -n 15 "$work/log" >&2; fail "apt could not fetch $*"; }
	for deb in "$work"/debs/*.deb; do
		dpkg -x "$deb" "$work/tree"
	done
	# headers mean to lie in /usr/src, which is not where they are
	find "$work/tree/usr/src" -maxdepth 2 -name Makefile -exec sed -i 's|^include /usr/src/|include ../|' {} +
	rm -r "$work/debs"
	mv -T "$work/tree" "$tree"
}

# --- the kernel ---

# Neither installed nor named: Debian's packages, unpacked.
fetch_kernel() {
	tree=$cache/kernel-$KERNEL
	if [ ! -d "$tree" ]; then
		echo "modulus: nvidia: fetching Debian's packages of kernel $KERNEL" >&2
		prepare_apt
		needs=$(apt cache depends "linux-headers-$KERNEL" 2> /dev/null | sed -n 's/^ *Depends: \(linux-\(headers\|kbuild\)-.*\)/\1/p')
		[ -n "$needs" ] || fail "Debian has no linux-headers-$KERNEL (any more): name KERNEL_DIR= and KERNEL_BUILD="
		# shellcheck disable=SC2086  # a list of words
		unpacked "kernel-$KERNEL" "linux-image-$KERNEL" "linux-headers-$KERNEL" $needs
	fi
	KERNEL_DIR=$tree/lib/modules/$KERNEL
	KERNEL_BUILD=$tree/usr/src/linux-headers-$KERNEL
	KERNEL_IMAGE=$tree/boot/vmlinuz-$KERNEL
}

if [ -z "$KERNEL_DIR$KERNEL_BUILD" ] && [ ! -e "/lib/modules/$KERNEL/build/Makefile" ]; then
	fetch_kernel
fi
KERNEL_DIR=${KERNEL_DIR:-/lib/modules/$KERNEL}
KERNEL_BUILD=${KERNEL_BUILD:-$KERNEL_DIR/build}
[ -f "$KERNEL_BUILD/Makefile" ] || fail "$KERNEL_BUILD is no build tree of kernel $KERNEL"
[ -f "$KERNEL_BUILD/Module.symvers" ] || fail "$KERNEL_BUILD has no Module.symvers"
KERNEL_BUILD=$(cd "$KERNEL_BUILD" && pwd -P)
# Debian's build tree only includes the Makefile of its source tree
source=$(sed -n 's|^include \(.*\)/Makefile$|\1|p' "$KERNEL_BUILD/Makefile" | head -n 1)
source=$(cd "$KERNEL_BUILD" && cd "${source:-.}" && pwd -P)

# --- the driver ---

newest_fetched() {
	find "$cache" -maxdepth 1 -name 'source-*' | sed 's|.*/source-||' | sort -V | tail -n 1
}

# Debian's revision of a version (535.261.03-1); what was fetched before needs no network.
fetch_driver() {
	if [ -z "$VERSION" ]; then
		VERSION=$(newest_fetched)
	fi
	if [ -z "$VERSION" ] || [ ! -d "$cache/source-$VERSION" ]; then
		prepare_apt
		known=$(apt cache madison $package | sed 's/ //g' | cut -d '|' -f 2)
		[ -n "$known" ] || fail "this machine's package sources have no $package: it is in Debian's component contrib"
		revision=$(echo "$known" | grep -m 1 "^${VERSION:-.*}-") ||
			fail "Debian has no $package $VERSION, but $(echo "$known" | xargs)"
		VERSION=${revision%-*}
		echo "modulus: nvidia: fetching $package $revision" >&2
		unpacked "source-$VERSION" "$package=$revision"
	fi
	set -- "$cache/source-$VERSION"/usr/src/*/Kbuild
	[ -f "$1" ] || fail "$package $VERSION has no source that we know"
	driver=${1%/Kbuild}
}

# The patches that this kernel asks for: those of which a line "Only-if: FILE: REGEX" holds in its source tree.
patches() {
	for patch in "$here"/*.patch; do
		condition=$(sed -n 's/^Only-if: //p' "$patch")
		if grep -qs -e "${condition#*: }" "$source/${condition%%: *}"; then
			echo "$patch"
		fi
	done
}

fetch_driver
patched=$(patches)
flags="-ffile-prefix-map=SOURCE=."

# By everything that the modules are made from.
key=$({
	echo "$VERSION $KERNEL $flags"
	gcc --version | head -n 1
	# shellcheck disable=SC2086  # a list of files
	cat "$KERNEL_BUILD/Module.symvers" "$KERNEL_BUILD/.config" $patched
} | sha256sum | cut -c 1-16)
built=$cache/modules-$VERSION-$KERNEL-$key

if [ ! -d "$built" ]; then
	echo "modulus: nvidia: compiling $VERSION for $KERNEL, once: some minutes" >&2
	cp -a "$driver" "$work/source"
	for patch in $patched; do
		# a newer driver may have it; whether all is well the compiler says
		patch -s -p1 --forward --dry-run -d "$work/source" < "$patch" > /dev/null ||
			{ echo "modulus: nvidia: ${patch##*/} does not fit $VERSION: left out" >&2; continue; }
		patch -s -p1 -d "$work/source" < "$patch"
	done
	make -C "$work/source" -j"$(nproc)" modules NV_KERNEL_MODULES="$modules" KERNEL_UNAME="$KERNEL" SYSSRC="$source" \
		SYSOUT="$KERNEL_BUILD" KCFLAGS="$(echo "$flags" | sed "s|SOURCE|$work/source|")" > "$work/log" 2>&1 < /dev/null ||
		{ grep -e 'rror' "$work/log" | tail -n 15 >&2; fail "$VERSION does not compile for $KERNEL"; }
	mkdir "$work/modules"
	for module in $modules; do
		strip --strip-debug -o "$work/modules/$module.ko" "$work/source/$module.ko"
	done
	mv -T "$work/modules" "$built"
fi

# --- the bundle ---

output=$OUT/nvidia-$VERSION-$KERNEL.tar.zst
set -- --name nvidia --version "$VERSION" --kernel "$KERNEL" --kernel-dir "$KERNEL_DIR" \
	--symvers "$KERNEL_BUILD/Module.symvers" --modules "$built" --match 'pci:v000010DEd*bc03sc0[02]*' \
	--load nvidia --load nvidia-uvm --load nvidia-modeset --load nvidia-drm --key "$KEY" --output "$output"
[ -z "$KERNEL_IMAGE" ] || set -- "$@" --kernel-image "$KERNEL_IMAGE"
# shellcheck disable=SC2086  # a list of words
"$MODULUS" build "$@" ${BUILD_ARGS:-}
echo "$output"
