
# `loom NAME ...` completes as `loom-NAME ...` does; NAME is whatever `loom --list` knows.
_loom_dispatch() {
    local at=2
    while (( at < CURRENT )); do
        case $words[at] in
            (-C|--color) (( at += 2 )) ;;
            (-*) (( at += 1 )) ;;
            (*) break ;;
        esac
    done
    local name=loom-${words[at]}
    if (( at < CURRENT )) && (( $+_comps[$name] )); then
        words=("$name" "${(@)words[at+1,-1]}")
        (( CURRENT -= at - 1 ))
        _normal
    elif (( at == CURRENT )) && [[ $words[at] != -* ]] ||
        { (( at + 1 == CURRENT )) && [[ $words[at] == help ]] }; then
        local -a names
        names=(${${(f)"$(_call_program commands $words[1] --list 2>/dev/null)"}/ ##/:})
        _describe -t commands command names
    else
        _loom "$@"
    fi
}

# Loading this file replaced the function that zsh had noted down for `loom`.
compdef _loom_dispatch loom
if [ "$funcstack[1]" = "_loom" ]; then
    _loom_dispatch "$@"
fi
