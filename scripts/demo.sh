#!/bin/bash
# demo.sh - upstreamd, hubd and three emulated phones on loopback: a first request, followed to its
# end on hub and upstream, a kill -9 of the hub while it works, and a request to the upstream. Stays up until Ctrl-C; with
# ONCE=1 it ends by itself, with exit status 0 only if all of it was seen.
# Everything it makes is in one scratch directory, removed at the end; it ends what it started.
set -uo pipefail
cd "$(dirname "$0")/.."
umask 077

bin=$PWD/build/bin
hub=demo-hub
dir=$(mktemp -d)
upstreamd_pid='' hubd_pid='' phonesim_pid='' run_pid=''

say() { printf '\n== %s\n' "$*"; }

die() {
    printf '\ndemo: %s\n' "$*" >&2
    for log in "$dir"/*.log; do
        [[ -s $log ]] && { echo "--- the end of $(basename "$log"):"; tail -n 20 "$log"; } >&2
    done
    exit 1
}

# Ends a program that this script started, and waits for it.
end() {
    [[ -n $1 ]] || return 0
    kill "-${2:-TERM}" "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    return 0
}

clean_up() {
    local status=$?
    trap - EXIT INT TERM
    end "$run_pid"
    end "$hubd_pid"
    end "$upstreamd_pid"
    end "$phonesim_pid"
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Waits until the command succeeds: at most $1 seconds.
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "not within the time given: $what"
        sleep 0.1
    done
}

# A free port: nobody answers on it now.
used_ports=' '
free_port() { # NAME [COUNT]: sets NAME to the first of COUNT ports in a row
    local base port try
    for try in {1..200}; do
        base=$((20000 + RANDOM % 12000))
        for ((port = base; port < base + ${2:-1}; port++)); do
            [[ $used_ports == *" $port "* ]] && continue 2
            (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
        done
        for ((port = base; port < base + ${2:-1}; port++)); do
            used_ports+="$port "
        done
        printf -v "$1" %s "$base"
        return 0
    done
    die "no free port"
}

for program in upstreamd hubd phonesim hubctl; do
    [[ -x $bin/$program ]] || die "build/bin/$program is not there; run make first"
done
free_port phone_port 3
free_port hub_port
free_port up_port
free_port sync_port

# ---- certificates, tokens, configuration ----

bash scripts/demo-certs.sh "$dir/certs" 30 "$hub" || die "no certificates"
token=$(openssl rand -hex 16) || die "no token"
echo "demo submit,read,operate $token" >"$dir/tokens"
mkdir "$dir/capabilities"
cp capabilities/*.ini "$dir/capabilities/"
cat >"$dir/capabilities/slow-check.ini" <<CONF
; Long enough to pull the plug while it runs.
[capability]
name = slow-check
routing = direct, queue
attempts = 3
attempt_seconds = 60
backoff_ms = 200
retry_on = phone_lost, host_restarted
[action.look]
type = shell
command = cat /proc/uptime
timeout_seconds = 10
[action.wait]
type = shell
command = sleep 2
timeout_seconds = 20
CONF
cat >"$dir/upstreamd.ini" <<CONF
[api]
listen = tcp:127.0.0.1:$up_port
token_file = $dir/tokens
[sync]
listen = tcp:127.0.0.1:$sync_port
ca = $dir/certs/ca.crt
cert = $dir/certs/server.crt
key = $dir/certs/server.key
[store]
sqlite = $dir/fleet.db
[capabilities]
dir = $dir/capabilities
CONF
cat >"$dir/hubd.ini" <<CONF
[hub]
id = $hub
[store]
path = $dir/hub.store
size = 8MiB
[api]
listen = tcp:127.0.0.1:$hub_port
token_file = $dir/tokens
[phones]
usb = off
tcp = 127.0.0.1:$phone_port, 127.0.0.1:$((phone_port + 1)), 127.0.0.1:$((phone_port + 2))
adb_keys = $dir/adbkey
[capabilities]
dir = $dir/capabilities
[upstream]
url = https://127.0.0.1:$sync_port
ca = $dir/certs/ca.crt
cert = $dir/certs/$hub.crt
key = $dir/certs/$hub.key
CONF

# ---- the programs ----

hub_url=http://127.0.0.1:$hub_port
up_url=http://127.0.0.1:$up_port
on_hub() { "$bin/hubctl" --url "$hub_url" --token-file "$dir/tokens" "$@"; }
on_up() { "$bin/hubctl" --url "$up_url" --token-file "$dir/tokens" "$@"; }

start_hubd() {
    "$bin/hubd" --config "$dir/hubd.ini" >>"$dir/hubd.log" 2>&1 &
    hubd_pid=$!
    wait_until 20 "hubd is ready" on_hub health
}

# hub_or_upstream PROCESS STATUS: whether it is shown with that status.
has_status() { "$1" --json show "$2" | grep -q "\"status\":\"$3\""; }
# The process of a request: asking again with the same request id finds it.
id_of() { on_hub run "$1" --queue --request-id "$2" --no-wait | cut -d ' ' -f 1; }
phones_are_ready() { (($(on_hub phones | grep -c ' ready ') == 3)); }

say "starting an upstream, three emulated phones and a hub"
"$bin/upstreamd" --config "$dir/upstreamd.ini" >"$dir/upstreamd.log" 2>&1 &
upstreamd_pid=$!
"$bin/phonesim" --count 3 --adb-tcp "127.0.0.1:$phone_port" >"$dir/phonesim.log" 2>&1 &
phonesim_pid=$!
wait_until 20 "upstreamd is ready" on_up health
start_hubd
wait_until 30 "three phones are ready" phones_are_ready
on_hub phones

# ---- the first request ----

say "a first maintenance request: hubctl run maintenance --queue"
on_hub run maintenance --queue --request-id demo-1 || die "the first request did not complete"
first=$(id_of maintenance demo-1)
wait_until 20 "the upstream shows $first as completed" has_status on_up "$first" completed
say "the upstream has it, too: hubctl ps at $up_url"
on_up ps

# ---- a kill -9 in the middle ----

say "a second request, and kill -9 of hubd while it runs"
on_hub run slow-check --queue --request-id demo-2 >"$dir/second" 2>&1 &
run_pid=$!
wait_until 10 "the second request is running" grep -q ' started ' "$dir/second"
end "$hubd_pid" KILL
echo "hubd is dead; started again on the same store:"
start_hubd
wait "$run_pid"
status=$?
run_pid=''
cat "$dir/second"
((status == 0)) || die "the second request did not complete after the restart (hubctl: $status)"
second=$(id_of slow-check demo-2)
wait_until 20 "the upstream shows $second as completed" has_status on_up "$second" completed
say "it was tried again, ended once, and the upstream knows:"
on_up ps

# ---- through the upstream ----

say "a request of the fleet, to the upstream: hubctl --url $up_url run maintenance --queue"
on_up run maintenance --queue --request-id demo-3 || die "the fleet's request did not complete"
say "the hub ran it as its part: hubctl ps"
on_hub ps | grep '^up-1-' || die "the hub does not show its part of the fleet's request"

# ---- staying up ----

if [[ ${ONCE:-} == 1 ]]; then
    say "done: all requests completed on the hub and on the upstream"
    exit 0
fi
cat <<TEXT

The hub answers on $hub_url, the upstream on $up_url. In another terminal:

  export HUBCTL_TOKEN_FILE=$dir/tokens HUBCTL_URL=$hub_url
  build/bin/hubctl phones
  build/bin/hubctl run maintenance --phone SIM002
  build/bin/hubctl run maintenance --group SIM001,SIM002,SIM003
  build/bin/hubctl logs $second
  build/bin/hubctl --url $up_url hubs
  build/bin/hubctl --url $up_url run maintenance --queue
  curl -H "Authorization: Bearer $token" $hub_url/processes/$first

Logs are in $dir. Ctrl-C ends everything.
TEXT
while kill -0 "$hubd_pid" 2>/dev/null && kill -0 "$upstreamd_pid" 2>/dev/null; do
    sleep 1
done
die "a program ended by itself"
