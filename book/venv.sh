#!/bin/sh
# Make a virtual environment: venv.sh FOLDER [PYTHON]. Where none is named, the newest Python that the book was made for is
# taken. It says in one line what is missing, and then leaves no folder behind. One that is there and works is kept.
set -u
folder=$1
named=${2-}
need_gb=4 # 2.2 GB stay; the rest is for downloads

fail() {
    echo "$folder was not made: $1" >&2
    exit 1
}

# A program of that name may be a shim that does not run: ask it.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_too_old() {
    case $1 in 2.* | 3.? | 3.10) return 0 ;; *) return 1 ;; esac
}

has_venv() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null
}

python_missing() {
    fail "Python $2 ($1) has no modules venv and ensurepip; on Debian and Ubuntu: sudo apt install python$2-venv"
}

check_named() {
    version=$(version_of "$named") || fail "PYTHON=$named does not run; name a Python from 3.11 to 3.13, or none"
    is_too_old "$version" &&
        fail "PYTHON=$named is Python $version, and 3.11 is needed; name a Python from 3.11 to 3.13, or none"
    has_venv "$named" || python_missing "$named" "$version"
    python=$named
}

find_newest() {
    python=""
    without=""
    for name in python3.13 python3.12 python3.11 python3; do
        found=$(version_of "$name") || continue
        case $found in
        3.11 | 3.12 | 3.13)
            has_venv "$name" && python=$name && version=$found && return
            without="${without:-$name $found}"
            ;;
        esac
    done
    # shellcheck disable=SC2086  # the two words are two arguments
    [ -z "$without" ] || python_missing $without
    fail "no Python from 3.11 to 3.13 was found; install one, or name one by PYTHON=path/to/python3"
}

is_whole() {
    there=$(version_of "$folder/bin/python") || return 1
    is_too_old "$there" && return 1
    "$folder/bin/python" -m pip --version >/dev/null 2>&1 || return 1
    [ -z "$named" ] || [ "$there" = "$(version_of "$named")" ]
}

is_whole && exit 0
if [ -n "$named" ]; then check_named; else find_newest; fi
free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "${free_kb:-$((need_gb * 1000000))}" -ge $((need_gb * 1000000)) ] ||
    fail "$((free_kb / 1000)) MB are free here, and it needs $need_gb GB; free some, or move this folder to a larger disk"
echo "$folder is made with Python $version; this happens once and takes some minutes"
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
said=$("$python" -m venv --clear "$folder" 2>&1) || fail "$(echo "$said" | tail -n 1)"
trap - EXIT
