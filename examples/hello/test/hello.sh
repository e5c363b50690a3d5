#!/bin/sh
# Tests of the script named by $1, one line each.
hello=$1
failed=0

expect() {
    what=$1 wanted=$2
    shift 2
    got=$("$@" 2>&1)
    if [ "$got" = "$wanted" ]; then
        echo "ok: $what"
    else
        echo "FAILED: $what: wanted '$wanted', got '$got'"
        failed=1
    fi
}

expect "a greeting in English" "Hello, Ada!" "$hello" en Ada
expect "a greeting in French" "Bonjour, Ada !" "$hello" fr Ada
expect "a name is not needed" "Hallo, world!" "$hello" de
expect "an unknown language is refused" 'hello: no greeting in "xx"' "$hello" xx
exit $failed
