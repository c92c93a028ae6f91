#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# only-prefix.sh PREFIX ARCHIVE: every global name that a static library defines begins with PREFIX.
set -eu

names=$(nm -g --defined-only "$2" | awk 'NF == 3 { print $3 }')
foreign=$(printf '%s\n' "$names" | grep -v "^$1" || true)
if [ -z "$names" ]; then
	echo "modulus: $2: defines nothing" >&2
	exit 1
fi
if [ -n "$foreign" ]; then
	printf 'modulus: %s: a name that may collide with ours: %s\n' "$2" "$(printf '%s' "$foreign" | tr '\n' ' ')" >&2
	exit 1
fi
