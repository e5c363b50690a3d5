_loom() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="loom"
                ;;
            loom,help)
                cmd="loom__subcmd__help"
                ;;
            loom,version)
                cmd="loom__subcmd__version"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        loom)
            opts="-C -q -v -h -V --list --quiet --verbose --color --help --version help version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                -C)
                    COMPREPLY=()
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o plusdirs
                    fi
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        loom__subcmd__help)
            opts="-q -v -h --quiet --verbose --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        loom__subcmd__version)
            opts="-q -v -h --quiet --verbose --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _loom -o nosort -o bashdefault -o default loom
else
    complete -F _loom -o bashdefault -o default loom
fi

# `loom NAME ...` completes as `loom-NAME ...` does; NAME is whatever `loom --list` knows.
_loom_folder=${BASH_SOURCE[0]%/*}

_loom_dispatch() {
    local at=1
    while [[ $at -lt $COMP_CWORD ]]; do
        # Readline splits `--color=never` into three words.
        case ${COMP_WORDS[at]},${COMP_WORDS[at + 1]} in
            --color,=) at=$((at + 3)) ;;
            -C,* | --color,*) at=$((at + 2)) ;;
            -*) at=$((at + 1)) ;;
            *) break ;;
        esac
    done
    local name=
    [[ $at -lt $COMP_CWORD ]] && name=${COMP_WORDS[at]}
    if [[ ( -z $name && $at -eq $COMP_CWORD || $name == help ) && $2 != -* ]]; then
        COMPREPLY=($(compgen -W "$("$1" --list 2>/dev/null | cut -d ' ' -f 1)" -- "$2"))
    elif [[ -z $name || $name == help || $name == version ]]; then
        _loom "$@"
    else
        COMPREPLY=()
        _loom_delegate "loom-$name" "$at" "$2" "$3"
    fi
}

_loom_delegate() {
    local name=$1 at=$2 spec
    complete -p "$name" &>/dev/null || source "$_loom_folder/$name.bash" 2>/dev/null
    complete -p "$name" &>/dev/null || _completion_loader "$name" &>/dev/null
    spec=$(complete -p "$name" 2>/dev/null) || return
    [[ $spec =~ \ -F\ ([^ ]+) ]] || return
    COMP_WORDS=("$name" "${COMP_WORDS[@]:at + 1}")
    COMP_CWORD=$((COMP_CWORD - at))
    "${BASH_REMATCH[1]}" "$name" "$3" "$4"
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _loom_dispatch -o nosort -o bashdefault -o default loom
else
    complete -F _loom_dispatch -o bashdefault -o default loom
fi
