# What the scripts of the lab share; sourced by them.
#
# Which package mirrors are asked, and how, is the machine's own setting of apt; no name of one and
# no credential is written here.
# shellcheck shell=bash
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin"
export PATH LC_ALL=C
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Logs, pids, sockets of what was started; and what is costly to make, which may be removed.
if [ "$(id -u)" = 0 ]; then run=/run/loom-lab; else run=${XDG_RUNTIME_DIR:-/tmp}/loom-lab; fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/loom/lab
docker_socket=/var/run/docker.sock
podman_socket=$run/podman.sock
# Ports on 127.0.0.1, and the lab's own user, which protects nothing.
registry_port=5100 registry_auth_port=5101 registry_user=lab registry_password=lab-pass
mkdir -p "$run" "$cache"

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)

say() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'error: lab: %s\n' "$*" >&2; exit 3; }
trap 'printf "error: lab: %s:%s: %s\n" "${0##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR
set -E

# The comment at the top of a script.
usage() { sed -n '2,/^[^#]/{s/^#$//p;s/^# //p}' "$0"; }

# One run of each script at a time.
lock() {
    exec 9>"$run/$1.lock"
    flock 9
}

# An engine's API: api SOCKET METHOD PATH [curl option…]
api() {
    local socket=$1 method=$2 path=$3
    shift 3
    curl -sS --max-time 600 --unix-socket "$socket" -X "$method" "$@" "http://engine$path"
}

answers() { [ "$(curl -s --max-time 10 --unix-socket "$1" http://engine/_ping)" = OK ]; }

# Installs packages where a program is missing: install PROGRAM:PACKAGE…
install_missing() {
    local pair packages=()
    for pair; do
        command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
    done
    [ ${#packages[@]} -gt 0 ] || return 0
    say "install ${packages[*]}"
    command -v apt-get >/dev/null || die "missing, and there is no apt-get: ${packages[*]}"
    exec 8>"$run/apt.lock"
    flock 8
    apt_install "${packages[@]}" || {
        "${as_root[@]}" apt-get update -qq 8>&- 9>&-
        apt_install "${packages[@]}"
    } || die "cannot install ${packages[*]}: $(tail -n 3 "$run/apt.log")"
    exec 8>&-
}

apt_install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >"$run/apt.log" 2>&1 8>&- 9>&-
}

# Starts a program that stays, as root: stay NAME PROGRAM ARGUMENT…
stay() {
    local name=$1
    shift
    rm -f "$run/$name.pid"
    "${as_root[@]}" setsid sh -c 'echo $$ >"$0.pid"; exec "$@" >>"$0.log" 2>&1' "$run/$name" "$@" \
        </dev/null >/dev/null 2>&1 8>&- 9>&- &
}

# A zombie does not live: where nothing reaps it, it stays in the table.
lives() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$(cat "$run/$1.pid" 2>/dev/null)/status"; }

# Waits until a condition holds; fails when what was started ends, or after 30 s.
await() {
    local name=$1
    shift
    for _ in {1..300}; do
        ! "$@" || return 0
        [ ! -s "$run/$name.pid" ] || lives "$name" || break
        sleep 0.1
    done
    tail -n 5 "$run/$name.log" >&2 || true
    die "$name does not answer; see $run/$name.log"
}

# Ends what was started, and waits for that: what is started next must not find it answering.
end() {
    ! lives "$1" || "${as_root[@]}" kill "$(cat "$run/$1.pid")" || true
    for _ in {1..200}; do
        lives "$1" || break
        sleep 0.1
    done
    rm -f "$run/$1.pid"
}
