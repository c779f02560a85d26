#!/usr/bin/env bash
# Builds real peers from the modules that tests/peers/PEER/go.mod pins, into target/peers/bin. What is built is skipped.
#
#   tests/peers/build.sh [PEER[/PROGRAM]...]            all, or those: folders beside this file with a go.mod
#   tests/peers/build.sh --there [PEER[/PROGRAM]...]    builds nothing; succeeds when all is there
#
# tests/peers/PEER/programs has a line for each program: NAME PACKAGE [VARIABLE=VALUE...]. A package of our own (./...) is
# always handed to Go, which knows whether it has changed. Needs Go 1.26, and gcc where a program has C in it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$here/../../target/peers

fail() {
    echo "peers: $*" >&2
    exit 1
}

look=
if [ "${1-}" = --there ]; then
    look=1
    shift
fi
peers=("$@")
if [ $# = 0 ]; then
    for module in "$here"/*/go.mod; do
        peers+=("$(basename "$(dirname "$module")")")
    done
fi

# What a binary was made of: the pins, how it is built, and by which Go.
made_of() {
    { cat "$here/$1/go.mod" "$here/$1/go.sum"; echo "$2"; go env GOVERSION; } | sha256sum
}

# Builds one program of a peer, unless it is there.
program() {
    local peer=$1 name=$2 package=$3 wanted
    shift 3
    wanted=$(made_of "$peer" "$name $package $*")
    if [[ $package != ./* && -x $target/bin/$name && $(cat "$target/bin/$name.made-of" 2>/dev/null) = "$wanted" ]]; then
        return
    fi
    if [ -n "$look" ]; then
        [[ $package == ./* && -x $target/bin/$name ]] && return
        echo "peers: $name is not built" >&2
        return 1
    fi
    [[ $package == ./* && -x $target/bin/$name ]] || from_nothing=1
    [[ $package == ./* ]] || echo "peers: building $name, with downloads, which takes minutes from nothing, seconds where Go's caches have it" >&2
    (cd "$here/$peer" && env "$@" go build -trimpath -ldflags "-s -w" -p 2 -o "$target/bin/$name.new" "$package")
    mv "$target/bin/$name.new" "$target/bin/$name"
    echo "$wanted" >"$target/bin/$name.made-of"
}

# A virtual environment for clients in Python. A suite says so where it could not be had.
clients_in_python() {
    local peer=$1 home=$target/$1.python
    cmp -s "$here/$peer/requirements.txt" "$home/requirements.txt" && return
    echo "peers: a virtual environment with tests/peers/$peer/requirements.txt" >&2
    rm -rf "$home"
    if python3 -m venv "$home" && "$home/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$peer/requirements.txt"; then
        cp "$here/$peer/requirements.txt" "$home/requirements.txt"
    else
        echo "peers: clients of $peer in Python could not be had and will not be run" >&2
    fi
}

if ! command -v go >/dev/null; then
    fail "Go 1.26 builds them and is not here: https://go.dev/dl"
fi
[[ $(go env GOVERSION) =~ ^go1\.([0-9]+) && ${BASH_REMATCH[1]} -ge 26 ]] || fail "Go 1.26 or later is needed, not $(go env GOVERSION)"
mkdir -p "$target/bin"

for wanted in "${peers[@]}"; do
    peer=${wanted%%/*} only=
    [ "$peer" = "$wanted" ] || only=${wanted#*/}
    [ -f "$here/$peer/programs" ] || fail "there is no peer \`$peer\`; there are: $(cd "$here" && echo */programs | sed 's:/programs::g')"
    start=$SECONDS from_nothing=
    found=
    while read -r name package variables; do
        [ -z "$only" ] || [ "$only" = "$name" ] || continue
        found=1
        # shellcheck disable=SC2086 # one word a variable
        program "$peer" "$name" "$package" $variables
    done < <(grep -v '^#' "$here/$peer/programs")
    [ -n "$found" ] || fail "\`$peer\` has no program \`$only\`"
    # The rest is for the peer as a whole.
    [ -z "$only" ] || continue
    if [ -z "$look" ] && [ -f "$here/$peer/requirements.txt" ]; then
        clients_in_python "$peer"
    fi
    # How long it took from nothing, for the record of its suite; not from Go's caches.
    if [ -n "$from_nothing" ] && [ $((SECONDS - start)) -gt 30 ]; then
        echo $((SECONDS - start)) >"$target/$peer.seconds"
    fi
done
