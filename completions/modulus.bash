# SPDX-License-Identifier: Apache-2.0
# Made by `make completions` of what `modulus COMMAND --help` says.
_modulus() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options='' words='' names=''
    local files='' dirs='' others=''
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'boot finish bless load unload check fetch rebuild cache uninstall network status verify inspect unpack build sign keygen --help --version' -- "$cur")
        return
    fi
    case ${COMP_WORDS[1]} in
        boot)
            options='--root --help'
            dirs='--root'
            ;;
        finish)
            options='--driver --runtime --shutdown --root --help'
            dirs='--root'
            others='--driver'
            ;;
        bless)
            options='--root --help'
            dirs='--root'
            ;;
        load)
            options='--module --quiet --root --help'
            dirs='--root'
            names='yes'
            ;;
        unload)
            options='--module --quiet --root --help'
            dirs='--root'
            names='yes'
            ;;
        check)
            options='--kernel --next --next-usr --gate --lock --config --keys --json --root --help'
            files='--config'
            dirs='--next-usr --keys --root'
            others='--kernel'
            ;;
        fetch)
            options='--kernel --next --next-usr --all --present --refresh --every --root --help'
            dirs='--next-usr --root'
            others='--kernel --every'
            names='yes'
            ;;
        rebuild)
            options='--kernel --all --root --help'
            dirs='--root'
            others='--kernel'
            names='yes'
            ;;
        cache)
            options='--json --dry-run --root --help'
            words='list verify prune import unblock'
            dirs='--root'
            names='yes'
            ;;
        uninstall)
            options='--dry-run --root --help'
            dirs='--root'
            names='yes'
            ;;
        network)
            options='--help'
            words='up down'
            ;;
        status)
            options='--json --timeline --root --help'
            dirs='--root'
            ;;
        verify)
            options='--keys --root --help'
            dirs='--keys --root'
            ;;
        inspect)
            options='--json --help'
            ;;
        unpack)
            options='--keys --root --help'
            dirs='--keys --root'
            ;;
        build)
            options='--name --version --flavor --kind --tree --kernel --kernel-dir --kernel-image --build-id --symvers --modules --source --kernel-build --from-kernel --with-deps --firmware --load --option --match --serial --strip --module-key --module-cert --key --output --oci-layout --help'
            files='--kernel-image --symvers --module-key --module-cert --key --output'
            dirs='--tree --kernel-dir --modules --source --kernel-build --firmware --oci-layout'
            others='--name --version --flavor --kind --kernel --build-id --load --match --serial --strip'
            ;;
        sign)
            options='--key --add --help'
            files='--key'
            ;;
        keygen)
            options='--help'
            ;;
    esac
    case " $files " in *" $prev "*) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;; esac
    case " $dirs " in *" $prev "*) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;; esac
    case " $others " in *" $prev "*) COMPREPLY=(); return ;; esac
    case $cur in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur") ;;
        *)
            if [ -n "$names" ]; then
                words="$words $(for file in /etc/modulus/*.conf /usr/lib/modulus/*.conf; do
                    file=${file##*/}
                    case $file in modulus.conf | '*.conf') ;; *) echo "${file%.conf}" ;; esac
                done)"
            fi
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
            [ -n "$names$words" ] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
    esac
}
complete -F _modulus modulus
