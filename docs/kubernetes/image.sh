#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# An OCI image layout with one layer: the program and its licence. Made with tar, gzip and sha256sum alone, by anybody;
# the same program and EPOCH give the same bytes. Interrupted, it leaves a directory without index.json.
#
# Usage: image.sh PROGRAM LICENSE VERSION EPOCH DIR [SOURCE-URL]
set -eu

if [ $# -lt 5 ]; then
    echo "usage: image.sh PROGRAM LICENSE VERSION EPOCH DIR [SOURCE-URL]" >&2
    exit 2
fi
program=$1 license=$2 version=$3 epoch=$4 out=$5 source=${6:-}
export LC_ALL=C TZ=UTC

# e_machine of the ELF header: a program that was cross-compiled is for its own machine
case $(od -An -tu2 -j18 -N2 "$program" | tr -d ' ') in
    62) architecture=amd64 ;;
    183) architecture=arm64 ;;
    *) echo "image.sh: $program: neither for x86-64 nor for arm64" >&2; exit 1 ;;
esac

# an older one; anything else stays, and then this fails
[ ! -e "$out/oci-layout" ] || rm -rf "$out"
mkdir "$out"
printf '{"imageLayoutVersion":"1.0.0"}' > "$out/oci-layout"
mkdir -p "$out/blobs/sha256" "$out/root/usr/bin" "$out/root/usr/share/licenses/modulus"
cp "$program" "$out/root/usr/bin/modulus"
cp "$license" "$out/root/usr/share/licenses/modulus/LICENSE"
chmod 755 "$out/root/usr/bin/modulus"
tar -C "$out/root" --sort=name --format=ustar --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    -cf "$out/layer.tar" usr
rm -r "$out/root"

digest() {
    sha256sum < "$1" | cut -d ' ' -f 1
}

# blob FILE TYPE: the file becomes a blob; prints its descriptor
blob() {
    sum=$(digest "$1")
    size=$(wc -c < "$1")
    mv "$1" "$out/blobs/sha256/$sum"
    printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d' "$2" "$sum" "$size"
}

diff=$(digest "$out/layer.tar")
gzip -n -9 "$out/layer.tar"
layer=$(blob "$out/layer.tar.gz" layer.v1.tar+gzip)

created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
labels="\"org.opencontainers.image.title\":\"modulus\",\"org.opencontainers.image.version\":\"$version\""
# static: libkmod, libblkid and glibc are in the program
labels="$labels,\"org.opencontainers.image.licenses\":\"Apache-2.0 AND LGPL-2.1-or-later\""
[ -z "$source" ] || labels="$labels,\"org.opencontainers.image.source\":\"$source\""
printf '%s' "{\"created\":\"$created\",\"architecture\":\"$architecture\",\"os\":\"linux\"," \
    "\"config\":{\"Entrypoint\":[\"/usr/bin/modulus\"],\"Cmd\":[\"--help\"],\"Labels\":{$labels}}," \
    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$diff\"]}," \
    "\"history\":[{\"created\":\"$created\",\"comment\":\"modulus $version\"}]}" > "$out/config"
config=$(blob "$out/config" config.v1+json)

printf '%s' "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\"," \
    "\"config\":$config},\"layers\":[$layer}]}" > "$out/manifest"
manifest=$(blob "$out/manifest" manifest.v1+json)

printf '%s' "{\"schemaVersion\":2,\"manifests\":[$manifest," \
    "\"annotations\":{\"org.opencontainers.image.ref.name\":\"$version\"}}]}" > "$out/index.json.new"
mv "$out/index.json.new" "$out/index.json"
