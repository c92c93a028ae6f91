#!/usr/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# image.sh HOST:PORT/NAME:TAG: from a container image that a registry has, with the usual tools, into memory.
# From the environment: release, and wanted, the modules' names.
set -e
export PATH=/usr/bin HOME=/run TMPDIR=/run
: "${release:?}" "${wanted:?}"

/usr/bin/skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$1" oci:/run/image:1
/usr/bin/umoci unpack --image /run/image:1 /run/shell
/usr/bin/depmod -b /run/shell/rootfs/usr "$release" 2> /dev/null # warns of lists that a whole kernel has
for module in $wanted; do
    /usr/bin/modprobe -i -d /run/shell/rootfs/usr "$module"
done
