#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# bundles.sh: NVIDIA's driver as signed bundles, from Debian's packages or from NVIDIA's own installer; what
# `make nvidia-bundles` runs. docs/nvidia.md says what each of these, from the environment, is for:
#
#   KEY, OUT        secret key; directory for the bundles
#   BUNDLES         which of them (default: modules firmware runtime)
#   KERNEL          release of the kernel (default: the running one)
#   FLAVOR          of the modules: open (default), proprietary, or both words
#   NVIDIA_VERSION  of the driver (default: the newest that was fetched before, or that Debian has)
#   RUN             NVIDIA's installer, NVIDIA-Linux-*.run, in the place of Debian's packages
#   KERNEL_DIR      the kernel's module directory (default: /lib/modules/KERNEL, or from Debian's packages)
#   KERNEL_BUILD    its build tree (default: KERNEL_DIR/build, or from Debian's packages)
#   KERNEL_IMAGE    its image (default: vmlinuz near KERNEL_DIR)
#   BUILD_ARGS      more words for `modulus build` of the modules
#   MODULUS         the program that makes bundles (default: build/modulus)
#
# Packages come from where this machine's apt takes Debian's own, with the components that NVIDIA's driver is in added in a
# directory of our own: apt's configuration is neither changed nor its lists. Nothing is installed. What was fetched and
# what was compiled stays in $MODULUS_CACHE/nvidia; interrupted, nothing half made is there under its name.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
modules="nvidia nvidia-uvm nvidia-modeset nvidia-drm nvidia-peermem"
# what computing, video and containers take of the rest, each named before its version or its ".so"; OpenGL, Vulkan and X are not among it
libraries="libcuda libcudadebugger libnvcuvid libnvidia-allocator libnvidia-cfg libnvidia-encode libnvidia-fbc libnvidia-ml
	libnvidia-nvvm libnvidia-opencl libnvidia-opticalflow libnvidia-pkcs11-openssl3 libnvidia-ptxjitcompiler"
programs="nvidia-smi nvidia-debugdump nvidia-persistenced nvidia-modprobe nvidia-cuda-mps-control nvidia-cuda-mps-server"
# Debian's packages of these, all of the driver's version
runtime_packages="libcuda1 libcudadebugger1 libnvcuvid1 libnvidia-allocator1 libnvidia-cfg1 libnvidia-encode1 libnvidia-fbc1
	libnvidia-ml1 libnvidia-nvvm4 nvidia-opencl-icd libnvidia-opticalflow1 libnvidia-pkcs11-openssl3 libnvidia-ptxjitcompiler1
	nvidia-smi nvidia-cuda-mps"
cache=${MODULUS_CACHE:-$HOME/.cache/modulus}/nvidia
BUNDLES=${BUNDLES:-modules firmware runtime}
FLAVOR=${FLAVOR:-open}
RUN=${RUN:-}
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
for word in $BUNDLES; do
	case $word in modules | firmware | runtime) ;; *) fail "BUNDLES= has '$word'; it takes modules, firmware and runtime" ;; esac
done
for word in $FLAVOR; do
	case $word in open | proprietary) ;; *) fail "FLAVOR= has '$word'; it takes open and proprietary" ;; esac
done
[ -z "$RUN" ] || [ -f "$RUN" ] || fail "RUN=$RUN is no file"
[ -x "$MODULUS" ] || fail "$MODULUS is missing: run 'make', or name MODULUS="
PATH=$PATH:/usr/sbin:/sbin
for tool in make gcc patch strip flock ldconfig; do
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
	indexes | sed "s|^|deb $option|; s|\$| main contrib non-free non-free-firmware|" > "$work/sources.list"
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
	kept=$cache/$1
	shift
	[ ! -d "$kept" ] || return 0
	mkdir "$work/debs" "$work/tree"
	(cd "$work/debs" && apt get download "$@") > "$work/log" 2>&1 || { tail -n 15 "$work/log" >&2; fail "apt could not fetch $*"; }
	for deb in "$work"/debs/*.deb; do
		dpkg -x "$deb" "$work/tree"
	done
	# headers mean to lie in /usr/src, which is not where they are
	find "$work/tree" -maxdepth 4 -path '*/usr/src/*' -name Makefile -exec sed -i 's|^include /usr/src/|include ../|' {} +
	rm -r "$work/debs"
	mv -T "$work/tree" "$kept"
}

# --- the kernel ---

# Neither installed nor named: Debian's packages, unpacked.
fetch_kernel() {
	kept=$cache/kernel-$KERNEL
	if [ ! -d "$kept" ]; then
		echo "modulus: nvidia: fetching Debian's packages of kernel $KERNEL" >&2
		prepare_apt
		needs=$(apt cache depends "linux-headers-$KERNEL" 2> /dev/null | sed -n 's/^ *Depends: \(linux-\(headers\|kbuild\)-.*\)/\1/p')
		[ -n "$needs" ] || fail "Debian has no linux-headers-$KERNEL (any more): name KERNEL_DIR= and KERNEL_BUILD="
		# shellcheck disable=SC2086  # a list of words
		unpacked "kernel-$KERNEL" "linux-image-$KERNEL" "linux-headers-$KERNEL" $needs
	fi
	KERNEL_DIR=$kept/lib/modules/$KERNEL
	KERNEL_BUILD=$kept/usr/src/linux-headers-$KERNEL
	KERNEL_IMAGE=$kept/boot/vmlinuz-$KERNEL
}

find_kernel() {
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
}

# --- the driver ---

# NVIDIA's installer unpacks itself; .manifest has the version in its second line.
unpack_installer() {
	installer=$cache/run-$(sha256sum < "$RUN" | cut -c 1-16)
	if [ ! -d "$installer" ]; then
		echo "modulus: nvidia: unpacking $RUN" >&2
		sh "$RUN" --extract-only --target "$work/run" > "$work/log" 2>&1 < /dev/null ||
			{ tail -n 15 "$work/log" >&2; fail "$RUN does not unpack"; }
		mv -T "$work/run" "$installer"
	fi
	of_installer=$(sed -n 2p "$installer/.manifest" 2> /dev/null || :)
	[ -n "$of_installer" ] || fail "$RUN is no installer of NVIDIA's: it has no .manifest with a version"
	[ "${VERSION:-$of_installer}" = "$of_installer" ] || fail "$RUN is version $of_installer, not $VERSION"
	VERSION=$of_installer
}

# package_of FLAVOR: the modules' source, in Debian.
package_of() {
	case $1 in open) echo nvidia-open-kernel-dkms ;; *) echo nvidia-kernel-dkms ;; esac
}

newest_fetched() {
	find "$cache" -maxdepth 1 -name "${FLAVOR%% *}-*" | sed "s|.*/${FLAVOR%% *}-||" | sort -V | tail -n 1
}

# Without its revision (535.261.03-1): what this machine's package sources have and was asked for.
find_version() {
	[ -z "$VERSION" ] || return 0
	VERSION=$(newest_fetched)
	[ -z "$VERSION" ] || return 0
	prepare_apt
	package=$(package_of "${FLAVOR%% *}")
	VERSION=$(apt cache madison "$package" | sed 's/ //g' | cut -d '|' -f 2 | head -n 1)
	VERSION=${VERSION%-*}
	[ -n "$VERSION" ] || fail "this machine's package sources have no $package: it is in Debian's components contrib and non-free"
}

# packages NAME PACKAGE...: $cache/NAME-VERSION holds these packages of this version; what was fetched before needs no network.
packages() {
	name=$1-$VERSION
	shift
	[ ! -d "$cache/$name" ] || return 0
	prepare_apt
	for word in "$@"; do
		known=$(apt cache madison "$word" | sed 's/ //g' | cut -d '|' -f 2)
		revision=$(echo "$known" | grep -m 1 -e "^$(echo "$VERSION" | sed 's/\./\\./g')-") ||
			fail "Debian has no $word $VERSION${known:+, but $(echo "$known" | xargs)}"
		set -- "$@" "$word=$revision"
		shift
	done
	echo "modulus: nvidia: fetching $*" >&2
	unpacked "$name" "$@"
}

# fetch_source FLAVOR: the modules' source.
fetch_source() {
	flavor=$1
	package=$(package_of "$flavor")
	if [ -n "$RUN" ]; then
		driver=$installer/kernel
		[ "$flavor" = proprietary ] || driver=$installer/kernel-open
		set -- "$driver/Kbuild"
	else
		packages "$flavor" "$package"
		set -- "$cache/$flavor-$VERSION"/usr/src/*/Kbuild
	fi
	[ -f "$1" ] || fail "${RUN:-$package} $VERSION has no source of $flavor modules that we know"
	driver=${1%/Kbuild}
}

# --- which GPUs ---

# NVIDIA's list, supported-gpus.json: one line for each chip of this branch, its number and "open", "proprietary" or both.
installer_gpus() {
	tr -d '\n' < "$installer/supported-gpus/supported-gpus.json" | tr '}' '\n' | awk '
		match($0, /"devid" *: *"0x[0-9A-Fa-f]+"/) && !/"legacybranch"/ {
			id = substr($0, RSTART, RLENGTH - 1)
			sub(/.*0x/, "", id)
			open[n] = /"kernelopen"/
			both[n] = /"gsp_proprietary_supported"/
			known = known || both[n]
			chip[n++] = toupper(id)
		}
		# drivers before 560 do not tell them apart: their proprietary modules drive all
		END { for (i = 0; i < n; i++) print chip[i], open[i] ? "open" : "", !open[i] || both[i] || !known ? "proprietary" : "" }'
}

# The same from Debian: nvidia-detect has the list of all, and the README of the open modules that of theirs.
debian_gpus() {
	packages gpus nvidia-detect
	packages open nvidia-open-kernel-dkms
	lists=$cache/gpus-$VERSION/usr/share/nvidia
	{
		sed -n 's/^10DE\([0-9A-F]*\)$/\1 proprietary/p' "$lists/nvidia.ids"
		sed -n 's/^10DE\([0-9A-F]*\)$/\1 open/p' "$lists/nvidia-open.ids"
		gzip -dc "$cache/open-$VERSION/usr/share/doc/nvidia-open-kernel-dkms/README.md.gz" |
			sed -n 's/^|.*| *\([0-9A-F]\{4\}\)\( [0-9A-F ]*\)\{0,1\} *|$/\1 open/p'
	}
}

# $work/gpus: of each GPU that the lists name, its number and the flavours that drive it. "2330 open proprietary"
find_gpus() {
	[ ! -f "$work/gpus" ] || return 0
	if [ -n "$RUN" ]; then
		[ -f "$installer/supported-gpus/supported-gpus.json" ] || fail "$RUN has no supported-gpus.json: it is of a driver before 450"
		installer_gpus > "$work/listed"
	else
		debian_gpus > "$work/listed"
	fi
	awk '{ open[$1] = open[$1] || / open/; closed[$1] = closed[$1] || / proprietary/ }
		END { for (id in closed) print id, open[id] ? "open" : "", closed[id] ? "proprietary" : "" }' "$work/listed" |
		LC_ALL=C sort > "$work/gpus"
	for word in open proprietary; do
		grep -q " $word" "$work/gpus" || fail "the lists of $VERSION name no GPU that the $word modules drive"
	done
}

# Numbers of GPUs -> globs on the modalias, one for those that differ in the last digit only.
globs() {
	awk 'function out() { if (digits != "") printf "pci:v000010DEd0000%s%s*\n", first, (length(digits) > 1 ? "[" digits "]" : digits) }
		substr($1, 1, 3) != first { out(); first = substr($1, 1, 3); digits = "" }
		{ digits = digits substr($1, 4) }
		END { out() }'
}

# rules FLAVOR: what these modules drive. The proprietary ones what the lists say; the open ones all but what only the others
# drive, so that a GPU that no list knows yet gets these.
rules() {
	if [ "$1" = proprietary ]; then
		grep ' proprietary' "$work/gpus" | globs
	else
		echo 'pci:v000010DEd*bc03sc0[02]*'
		grep -v ' open' "$work/gpus" | globs | sed 's/^/!/'
	fi
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

# $built: the modules of $flavor, kept by everything that they are made from.
compile() {
	patched=$(patches)
	flags="-ffile-prefix-map=SOURCE=."
	key=$({
		echo "$KERNEL $flags"
		gcc --version | head -n 1
		(cd "$driver" && find . -type f -exec sha256sum {} + | LC_ALL=C sort)
		# shellcheck disable=SC2086  # a list of files
		cat "$KERNEL_BUILD/Module.symvers" "$KERNEL_BUILD/.config" $patched
	} | sha256sum | cut -c 1-16)
	built=$cache/modules-$VERSION-$flavor-$KERNEL-$key
	[ ! -d "$built" ] || return 0
	echo "modulus: nvidia: compiling $VERSION ($flavor) for $KERNEL, once: some minutes" >&2
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
	grep -aqF "version=$VERSION" "$work/source/nvidia.ko" || fail "the source of $VERSION made a driver of another version"
	mkdir "$work/modules"
	for module in $modules; do
		strip --strip-debug -o "$work/modules/$module.ko" "$work/source/$module.ko"
	done
	mv -T "$work/modules" "$built"
	rm -r "$work/source"
}

# --- the rest, which no kernel is bound to ---

# $tree: usr/lib/firmware/nvidia/VERSION, for the processor (GSP) that runs the driver's other half on the GPU.
collect_firmware() {
	to=$work/firmware/usr/lib/firmware/nvidia/$VERSION
	mkdir -p "$to"
	if [ -n "$RUN" ]; then
		from=$installer/firmware
	else
		packages firmware firmware-nvidia-gsp
		from=$cache/firmware-$VERSION/lib/firmware/nvidia/$VERSION
	fi
	cp "$from"/*.bin "$to" 2> /dev/null || fail "${RUN:-firmware-nvidia-gsp} $VERSION has no firmware in ${from#"$cache"/*/}"
	tree=$work/firmware
}

# $tree: usr/bin and usr/lib64, where a driver's libraries lie together, as on hosts without directories by architecture.
collect_runtime() {
	tree=$work/runtime from=$RUN
	mkdir -p "$tree/usr/bin" "$tree/usr/lib64"
	if [ -n "$RUN" ]; then
		from=$installer
	else
		# shellcheck disable=SC2086  # a list of words
		packages runtime $runtime_packages
		from=$cache/runtime-$VERSION
	fi
	for library in $libraries; do
		# the installer has those for 32 bits in 32/
		find "$from" -name 32 -prune -o -type f -name "$library.so.$VERSION" -exec cp -t "$tree/usr/lib64" {} +
	done
	for program in $programs; do
		find "$from" -type f -perm -u+x -name "$program" -exec cp -t "$tree/usr/bin" {} +
	done
	for file in usr/lib64/libcuda.so.$VERSION usr/lib64/libnvidia-ml.so.$VERSION usr/bin/nvidia-smi; do
		[ -f "$tree/$file" ] || fail "${RUN:-the packages fetched} of $VERSION: ${file##*/} is missing"
	done
	grep -aqF "$VERSION" "$tree/usr/bin/nvidia-smi" || fail "${RUN:-the packages fetched}: nvidia-smi is not of version $VERSION"
	# libcuda.so.1 by the name that is in the library, libcuda.so for those who link against it
	ldconfig -n "$tree/usr/lib64"
	find "$tree/usr/lib64" -type l | while read -r link; do
		ln -s "${link##*/}" "${link%.so.*}.so"
	done
}

# --- the bundles ---

# finished WORD...: one bundle, of what the words say.
finished() {
	"$MODULUS" build --name nvidia --version "$VERSION" --key "$KEY" --output "$output" "$@"
	echo "$output"
}

if [ -n "$RUN" ]; then
	unpack_installer
fi
find_version
for bundle in $BUNDLES; do
	case $bundle in
	modules)
		find_kernel
		for flavor in $FLAVOR; do
			fetch_source "$flavor"
			find_gpus
			compile
			rules "$flavor" > "$work/rules"
			output=$OUT/nvidia-$VERSION-$flavor-$KERNEL.tar.zst
			set -- --flavor "$flavor" --kernel "$KERNEL" --kernel-dir "$KERNEL_DIR" --symvers "$KERNEL_BUILD/Module.symvers" \
				--modules "$built" --load nvidia --load nvidia-uvm --load nvidia-modeset --load nvidia-drm
			while read -r glob; do
				set -- "$@" --match "$glob"
			done < "$work/rules"
			[ -z "$KERNEL_IMAGE" ] || set -- "$@" --kernel-image "$KERNEL_IMAGE"
			# shellcheck disable=SC2086  # a list of words
			finished "$@" ${BUILD_ARGS:-}
		done
		;;
	firmware | runtime)
		collect_"$bundle"
		output=$OUT/nvidia-$VERSION-$bundle.tar.zst
		finished --kind "$bundle" --tree "$tree"
		rm -r "$tree"
		;;
	esac
done
