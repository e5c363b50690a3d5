#!/bin/sh
# Writes a script to $1 that holds the greetings itself.
set -eu

{
    echo '#!/bin/sh'
    echo '# usage: hello LANGUAGE NAME'
    # shellcheck disable=SC2016
    echo 'case ${1-} in'
    while read -r language format; do
        printf '    %s) printf "%s\\n" "${2-world}" ;;\n' "$language" "$format"
    done <"$(dirname "$0")/greetings.txt"
    # shellcheck disable=SC2016
    echo '    *) echo "hello: no greeting in \"${1-}\"" >&2; exit 2 ;;'
    echo 'esac'
} >"$1"
chmod +x "$1"
echo "built $1"
