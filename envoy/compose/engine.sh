#!/usr/bin/env bash
# Runs a command with a Docker engine: envoy/compose/engine.sh COMMAND [ARGUMENT...]. Ends as the command does, or with 69
# and a line that says why where there is no engine and none can be had.
#
# Where an engine answers, that is used. Otherwise, for root, one is brought up for the command alone and taken down after
# it, also on Ctrl-C; what is missing for that is installed from Debian's packages, and stays. The engine has a socket, a
# directory and mounts of its own, reads no configuration of the machine, and changes neither its bridges, nor its packet
# filter, nor its forwarding. Its images stay in target/engine.
set -euo pipefail

NO_ENGINE=69
UP_SECONDS=60
DOWN_SECONDS=30

home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/engine

say() {
    echo "engine: $*" >&2
}

give_up() {
    say "$*"
    exit "$NO_ENGINE"
}

answers() {
    timeout 20 docker version >/dev/null 2>&1
}

has_compose() {
    timeout 20 docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null
}

has() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null
}

# Installs what is missing of what was named, as PROGRAM:PACKAGE.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        has "${pair%:*}" || packages+=("${pair#*:}")
    done
    has_compose || packages+=(docker-compose)
    [ ${#packages[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || give_up "missing, and only root can install it: ${packages[*]}"
    has apt-get || give_up "missing, and this is not Debian: ${packages[*]}"
    say "installing ${packages[*]}"
    { timeout 120 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 300 \
        apt-get install --yes --no-install-recommends "${packages[@]}"; } >"$home/install.log" 2>&1 ||
        give_up "apt-get cannot install ${packages[*]}: see $home/install.log"
}

engine= directory= child= signal=
# Where dockerd writes a key and makes directories, whatever it is told, and where nothing was before.
fresh=()

start() {
    [ "$(id -u)" = 0 ] || give_up "no Docker engine answers, and only root can bring one up"
    # Of two in one clone, the second waits for the end of the first.
    exec 9>"$home/lock"
    timeout 900 flock 9 || give_up "another run has had the engine of this clone for too long"
    # Short: the path of a socket has 108 bytes at most.
    directory=$(mktemp -d /tmp/svidgate-engine.XXXXXX)
    export DOCKER_HOST=unix://$directory/docker.sock
    unset DOCKER_CONTEXT
    echo '{}' >"$directory/daemon.json"
    [ -e /etc/docker ] || fresh+=(/etc/docker)
    [ -e /run/docker ] || fresh+=(/run/docker)
    # A session of its own, so that Ctrl-C ends what runs in it first. If this script is killed, it ends too. A namespace
    # for its mounts, so that none are left however it ends.
    PATH=$PATH:/usr/sbin:/sbin setsid unshare --mount setpriv --pdeathsig TERM \
        dockerd --config-file "$directory/daemon.json" --host "$DOCKER_HOST" --pidfile "$directory/docker.pid" \
        --data-root "$home/data" --exec-root "$directory/exec" \
        --bridge none --iptables=false --ip-forward=false >"$home/dockerd.log" 2>&1 9>&- &
    engine=$!
    local deadline=$((SECONDS + UP_SECONDS))
    until answers; do
        kill -0 "$engine" 2>/dev/null || give_up "dockerd does not run here: $(tail -n 1 "$home/dockerd.log")"
        [ "$SECONDS" -lt "$deadline" ] || give_up "dockerd does not answer within $UP_SECONDS s: see $home/dockerd.log"
        [ -z "$signal" ] || exit 130
        sleep 0.5
    done
    say "none answered; brought one up (process $engine, log in $home/dockerd.log)"
}

stop() {
    if [ -n "$engine" ] && kill -TERM "$engine" 2>/dev/null; then
        local deadline=$((SECONDS + DOWN_SECONDS))
        while kill -0 "$engine" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do
            sleep 0.2
        done
        kill -KILL "$engine" 2>/dev/null && say "process $engine did not end within $DOWN_SECONDS s and was killed"
        say "took down process $engine"
    fi
    rm -rf ${directory:+"$directory"} ${fresh[@]+"${fresh[@]}"}
}

interrupt() {
    signal=$1
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}

mkdir -p "$home"
if has docker && answers; then
    install_missing
    exec "$@"
fi
[ -z "${DOCKER_HOST:-}" ] || give_up "no Docker engine answers at $DOCKER_HOST"
trap stop EXIT
trap 'interrupt 2' INT
trap 'interrupt 15' TERM
trap 'interrupt 1' HUP
install_missing docker:docker.io dockerd:docker.io iptables:iptables fuse-overlayfs:fuse-overlayfs
if answers; then
    say "the one of the machine answers now"
else
    start
fi
# In the background, because a signal is not seen before a command in the foreground ends.
"$@" 9>&- &
child=$!
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do
    wait "$child" || status=$?
done
exit "$status"
