#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# analysed.sh "FILE..." COMMAND...: runs an analyser of one source file, unless the same has been found clean on this
# machine before. The same is: the FILEs, which are the digest of the source as preprocessed (with all headers, macros
# and comments), what the analyser is told to look for, and this script; its version; and COMMAND itself. Only a clean
# result is kept, as an empty file in $MODULUS_CACHE/analysed, until nobody has asked for it in KEPT_DAYS.
# What the analyser says is shown when it fails.
set -eu

KEPT_DAYS=30
store=$MODULUS_CACHE/analysed
files=$1
shift

version=$("$1" --version)
# shellcheck disable=SC2086  # a list of words
key=$({ printf '%s\n' "$version" "$@"; sha256sum $files; } | sha256sum | cut -c1-64)
if [ -e "$store/$key" ]; then
	touch "$store/$key"
	exit 0
fi

if ! said=$("$@" 2>&1); then
	printf '%s\n' "$said" >&2
	exit 1
fi
mkdir -p "$store"
: > "$store/$key"
find "$store" -ignore_readdir_race -type f -mtime +"$KEPT_DAYS" -delete
