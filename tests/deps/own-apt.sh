# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# To be sourced: apt in a directory of our own, with the Debian archives and the keys of this machine's apt. Neither
# its configuration nor its lists are changed, nor is anything installed.

# A line "URI SUITE COMPONENT" for each. The indexes name their origin: other people's repositories are left alone.
archives() {
	# shellcheck disable=SC2016  # the $(...) are apt's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' | sort -u
}

# A machine that never asked for its lists has none to go by.
need_archives() {
	if [ -z "$(archives)" ] && [ "$(id -u)" = 0 ]; then
		apt-get -qq update
	fi
}

# own_apt_begin DIR TYPE [ARCH]: lists of sources (deb-src) or of another architecture's packages (deb) go into DIR.
own_apt_begin() {
	own_apt=$1 own_arch=${3:-}
	mkdir -p "$own_apt/lists/partial" "$own_apt/archives/partial"
	: > "$own_apt/status" # of the other architecture nothing is installed
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	options="${own_arch:+arch=$own_arch }"
	[ ! -f $keyring ] || options="${options}signed-by=$keyring"
	archives | sed "s|^|$2 ${options:+[$options] }|" > "$own_apt/sources.list"
}

# own_apt WORD...: apt-get with these; as ourselves, since apt's download user may not write to our directory.
own_apt() {
	apt-get -q -o Dir::Etc::SourceList="$own_apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$own_apt/lists" -o Dir::Cache::Archives="$own_apt/archives" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User="$(id -un)" \
		${own_arch:+-o APT::Architecture="$own_arch" -o APT::Architectures="$own_arch" -o Dir::State::status="$own_apt/status"} "$@"
}
