
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
