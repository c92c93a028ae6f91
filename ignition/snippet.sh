#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes the two Ignition snippets for a stock host, whose initramfs nobody can rebuild (docs/stock-hosts.md). Run by an
# operator, anywhere; asks no network.
#
# In: driver files, public keys, the program and the address where machines will find it. Out: modulus-injected.ign
# (files), and modulus-injected-kargs.ign (kernel arguments that give systemd our unit as a credential); or, on standard
# output, what somebody else has to set. The unit is made from dracut/50modulus/modulus.service, so that there is one.

set -eu
here=$(cd "$(dirname "$0")" && pwd)

UNIT=modulus.service
# those of the real root, and which of them start without being asked: as in modulus.bu
ENABLED="modulus-finish.service modulus-bless.service modulus-fetch.path modulus-fetch.timer"
UNITS="$ENABLED modulus-runtime.service modulus-fetch.service modulus-ready.target"
PROGRAM=/etc/modulus/modulus
# COMMAND_LINE_SIZE of x86 and arm64, less its NUL
COMMAND_LINE=2047
# What a machine has on it already: Fedora CoreOS's own is about 470 characters at the first boot, Flatcar's 360;
# modulus-kargs.ign adds 75
PRESENT=640

usage() {
    cat << EOF
usage: snippet.sh --driver FILE... --key FILE... --binary FILE --url URL [--cmdline FILE] [--output DIR]
       snippet.sh --driver FILE... --key FILE... --oem PATH [--cmdline FILE] [--output DIR]
       snippet.sh --arguments | --smbios [--oem PATH]

Makes modulus-injected.ign and modulus-injected-kargs.ign: with both merged into its Ignition config, a
stock Fedora CoreOS, Flatcar or other host with systemd 256 or later in its initramfs runs Modulus
there, on the first boot and on all later ones. Nothing is fetched.

  --driver FILE   a driver file, NAME.conf; may be given more than once
  --key FILE      a public key that bundles are signed with, NAME.pub; may be given more than once
  --binary FILE   build/modulus-boot, to take its SHA-512 from
  --url URL       where machines find that file at their first boot
  --oem PATH      the program is in the initramfs already, as /oem of an archive behind Flatcar's is;
                  takes the place of --binary and --url
  --cmdline FILE  /proc/cmdline of such a machine, to count what is there already (without: $PRESENT characters)
  --output DIR    where the two snippets go (default: here)
  --arguments     only print the kernel arguments, for a PXE server or a boot loader's configuration
  --smbios        only print the two strings of SMBIOS type 11 that do the same for a virtual machine
  --help          this text

exit: 0 done, 1 what was given cannot be used, 2 usage
EOF
}

fail() {
    echo "snippet.sh: $*" >&2
    exit 1
}

wrong_usage() {
    echo "snippet.sh: $* (--help lists the options)" >&2
    exit 2
}

encoded() {
    base64 < "$1" | tr -d '\n'
}

# Everything of the unit that says when it runs and how it ends. Left out are lines that only make a bug of ours worth
# less, and names that follow: Ignition's files stage is after its mount stage and that after the remount,
# ostree-prepare-root.service is before initrd-root-fs.target, initrd-cleanup.service is after initrd.target.
unit() {
    awk -v program="$1" '
        BEGIN {
            n = split("Description Documentation StandardInput StandardError NoNewPrivileges LimitCORE LimitDATA " \
                "SystemCallArchitectures SystemCallFilter SystemCallErrorNumber RestrictAddressFamilies RestrictRealtime " \
                "LockPersonality MemoryDenyWriteExecute", words, " ")
            for (i = 1; i <= n; i++) dropped[words[i]]
            n = split("ostree-prepare-root.service ignition-remount-sysroot.service ignition-mount.service " \
                "initrd-cleanup.service", words, " ")
            for (i = 1; i <= n; i++) implied[words[i]]
        }
        /^#/ || /^$/ { next }
        /^\[/ { order(); print; next }
        {
            key = substr($0, 1, index($0, "=") - 1)
            if (key in dropped) next
            if (key == "After" || key == "Before") {
                n = split(substr($0, length(key) + 2), words, " ")
                for (i = 1; i <= n; i++) if (!(words[i] in implied)) names[key] = names[key] " " words[i]
                next
            }
            gsub("/usr/bin/modulus", program)
            print
        }
        function order() {
            if ("After" in names) print "After=" substr(names["After"], 2)
            if ("Before" in names) print "Before=" substr(names["Before"], 2)
            split("", names)
        }' "$here/../dracut/50modulus/$UNIT"
}

# Both are read by systemd itself: the first by PID 1, the second by systemd-debug-generator
arguments() {
    printf 'systemd.set_credential_binary=systemd.extra-unit.%s:%s\n' "$UNIT" "$(unit "$1" | base64 | tr -d '\n')"
    printf 'rd.systemd.wants=%s\n' "$UNIT"
}

# there is no command line in these: a drop-in of initrd.target wants the unit
smbios() {
    printf 'io.systemd.credential.binary:systemd.extra-unit.%s=%s\n' "$UNIT" "$(unit "$1" | base64 | tr -d '\n')"
    printf 'io.systemd.credential.binary:systemd.unit-dropin.initrd.target=%s\n' \
        "$(printf '[Unit]\nWants=%s\n' "$UNIT" | base64 | tr -d '\n')"
}

# --- what was given --------------------------------------------------------------------------------

name_of() {
    case ${1##*/} in
        *[!A-Za-z0-9._-]* | .* | "$2") fail "$1: the name of this file may have letters, digits, '.', '_' and '-'" ;;
        *"$2") printf '%s\n' "${1##*/}" ;;
        *) fail "$1: its name has to end in $2" ;;
    esac
}

readable() {
    if [ ! -f "$1" ] || [ ! -r "$1" ]; then
        fail "$1: no such file, or it cannot be read"
    fi
}

check_driver() {
    readable "$1"
    name_of "$1" .conf > /dev/null
    grep -q '^\[Driver\]' "$1" || [ "${1##*/}" = modulus.conf ] || fail "$1: no driver file, it has no [Driver] section"
}

# minisign's public key: a line of comment, then 42 bytes in base64. Its secret key has 158.
check_key() {
    readable "$1"
    name_of "$1" .pub > /dev/null
    sed -n 2p "$1" | grep -Eq '^RW[A-Za-z0-9+/]{54}$' || fail "$1: not a public key of minisign or modulus keygen"
}

drivers='' keys='' binary='' url='' oem='' cmdline='' output=. mode=snippets
while [ $# -gt 0 ]; do
    case $1 in
        --arguments) mode=arguments ;;
        --smbios) mode=smbios ;;
        --help | -h)
            usage
            exit 0
            ;;
        --driver | --key | --binary | --url | --oem | --cmdline | --output)
            [ $# -gt 1 ] || wrong_usage "$1 needs a value"
            case $2 in *'
'*) fail "$1: a name with a line break" ;; esac
            case $1 in
                --driver) check_driver "$2" && drivers="$drivers$2
" ;;
                --key) check_key "$2" && keys="$keys$2
" ;;
                --binary) readable "$2" && binary=$2 ;;
                --url) url=$2 ;;
                --oem) oem=$2 ;;
                --cmdline) readable "$2" && cmdline=$2 ;;
                --output) output=$2 ;;
            esac
            shift
            ;;
        *) wrong_usage "$1: unknown" ;;
    esac
    shift
done

readable "$here/../dracut/50modulus/$UNIT"
for real in $UNITS; do
    readable "$here/units/$real"
done
case $oem in
    '') program=/sysroot$PROGRAM ;;
    *[!A-Za-z0-9._/-]* | [!/]*) fail "--oem $oem: not an absolute path of letters, digits, '.', '_', '-' and '/'" ;;
    *) program=$oem ;;
esac
if [ "$mode" != snippets ]; then
    "$mode" "$program"
    exit 0
fi

[ -n "$drivers" ] || wrong_usage "--driver is needed"
[ -n "$keys" ] || wrong_usage "--key is needed"
if [ -n "$oem" ]; then
    [ -z "$binary$url" ] || wrong_usage "--oem takes the place of --binary and --url"
else
    if [ -z "$binary" ] || [ -z "$url" ]; then
        wrong_usage "--binary and --url are needed, or --oem"
    fi
    case $url in
        *[!A-Za-z0-9._~:/?#@!\$\&\(\)*+,\;=%-]*) fail "--url $url: has a character that no URL has" ;;
        http://?* | https://?* | s3://?* | gs://?* | tftp://?*) ;;
        *) fail "--url $url: Ignition fetches from http, https, tftp, s3 and gs" ;;
    esac
fi
[ -d "$output" ] || fail "$output: no such directory"

# --- the two snippets ------------------------------------------------------------------------------

separator=
# file PATH MODE SOURCE [MORE]; commas go between entries, not behind the last
file() {
    printf '%s      {"path": "%s", "mode": %d, "overwrite": true, "contents": {"source": "%s"%s}}' \
        "$separator" "$1" "$2" "$3" "${4:-}"
    separator=',
'
}

# each_file DIRECTORY LIST
each_file() {
    while IFS= read -r given; do
        [ -z "$given" ] || file "$1/${given##*/}" 420 "data:;base64,$(encoded "$given")"
    done << EOF
$2
EOF
}

# the same units, links and presets as modulus.bu
files_snippet() {
    printf '{\n  "ignition": {"version": "3.3.0"},\n  "storage": {\n    "files": [\n'
    each_file /etc/modulus "$drivers"
    each_file /etc/modulus/keys "$keys"
    for real in $UNITS; do
        file "/etc/systemd/system/$real" 420 "data:;base64,$(encoded "$here/units/$real")"
    done
    [ -n "$oem" ] || file "$PROGRAM" 493 "$url" ", \"verification\": {\"hash\": \"sha512-$digest\"}"
    printf '\n    ],\n    "links": [\n'
    separator=
    for real in $ENABLED; do
        printf '%s      {"path": "/etc/systemd/system/multi-user.target.wants/%s", ' "$separator" "$real"
        printf '"target": "/etc/systemd/system/%s", "overwrite": true}' "$real"
        separator=',
'
    done
    printf '\n    ]\n  },\n  "systemd": {\n    "units": [\n'
    separator=
    for real in $ENABLED; do
        printf '%s      {"name": "%s", "enabled": true}' "$separator" "$real"
        separator=',
'
    done
    printf '\n    ]\n  }\n}\n'
}

kargs_snippet() {
    printf '{\n  "ignition": {"version": "3.3.0"},\n  "kernelArguments": {\n    "shouldExist": [\n'
    arguments "$program" | sed -e 's/.*/      "&"/' -e '$!s/$/,/'
    printf '    ]\n  }\n}\n'
}

# put FILE FUNCTION: whole or not at all
put() {
    if ! "$2" > "$output/.$1.new" || ! mv "$output/.$1.new" "$output/$1"; then
        rm -f "$output/.$1.new"
        fail "$output/$1: cannot be written"
    fi
}

present=$PRESENT
[ -z "$cmdline" ] || present=$(($(tr -d '\n' < "$cmdline" | wc -c) + 0))
own=$(arguments "$program" | tr '\n' ' ' | wc -c)
[ $((present + own)) -le $COMMAND_LINE ] ||
    fail "the arguments take $own characters, the machine has $present already, and the kernel takes $COMMAND_LINE"

[ -n "$oem" ] || digest=$(sha512sum < "$binary" | cut -d ' ' -f 1)
put modulus-injected.ign files_snippet
put modulus-injected-kargs.ign kargs_snippet
echo "$output/modulus-injected.ign: driver files, keys and units${url:+; the program comes from $url}"
echo "$output/modulus-injected-kargs.ign: $own of $COMMAND_LINE characters of the kernel command line;" \
    "$((COMMAND_LINE - own)) are left for all else"
