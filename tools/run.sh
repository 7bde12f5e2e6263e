#!/usr/bin/env bash
# What `make run` does: starts the server on ./data, fills an empty one with sample events, shows
# what they cost and earn, and keeps serving until Ctrl-C.
# usage: tools/run.sh BUILD
set -euo pipefail

build=${1:-build}
data=${MARGIND_DATA_DIR:-./data}
http=${MARGIND_HTTP_LISTEN:-127.0.0.1:8080}
wire=${MARGIND_WIRE_LISTEN:-127.0.0.1:8081}
log=$build/run.log
ctl=("$build/marginctl" --server "$wire" --data-dir "$data")
server=

fail() {
    printf 'make run: %s\n' "$1" >&2
    exit 1
}

answers() { # answers HOST:PORT: somebody listens there
    (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null
}

ready() {
    local status
    exec 3<>"/dev/tcp/${http%:*}/${http##*:}" || return 1
    printf 'GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$http" >&3
    read -r -t 5 _ status _ <&3 || status=0
    exec 3>&-
    [ "$status" = 200 ]
}

for listen in "$http" "$wire"; do
    if answers "$listen"; then
        fail "something listens on $listen already. Is margind running? Stop it, or choose other \
ports: MARGIND_HTTP_LISTEN=127.0.0.1:9080 MARGIND_WIRE_LISTEN=127.0.0.1:9081 make run"
    fi
done

"$build/margind" --data-dir "$data" --http-listen "$http" --wire-listen "$wire" 2>"$log" &
server=$!
stop() {
    trap - INT TERM EXIT
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    printf '\nStopped. The data is in %s; `make run` goes on with it.\n' "$data"
}
trap stop EXIT
trap 'exit 0' INT TERM

printf 'Starting margind on %s ' "$data"
while ! ready 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { echo; cat "$log" >&2; fail "the server did not start"; }
    printf '.'
    sleep 0.2
done
echo ' ready.'

if "${ctl[@]}" stats | grep -qE '(^|[^_a-z])events[^0-9a-z]+0$'; then
    echo 'The log is empty: loading sample events of the last 30 days.'
    "$build/sample" | "${ctl[@]}" ingest -
fi

for dimension in customers features models; do
    printf '\nMargin by %s, last 30 days\n' "${dimension%s}"
    "${ctl[@]}" top "$dimension" --window 30d --by margin --limit 15
done

cat <<TEXT

API key (also in $data/api-key): $(cat "$data/api-key")

Send an event and read what each customer leaves:

  KEY=\$(cat $data/api-key)
  curl -s http://$http/api/events/ingest -H "Authorization: Bearer \$KEY" -d '{"events":[{
    "eventName":"chat.completion","customerReferenceId":"my-customer","featureKey":"chat",
    "model":"gpt-4o-mini","inputTokens":150,"outputTokens":80,"revenueAmount":0.01}]}'
  curl -s http://$http/api/events/by-customer -H "Authorization: Bearer \$KEY"

All endpoints: http://$http/docs

Serving: HTTP on $http, binary socket on $wire. Stop with Ctrl-C; the data stays in $data.
Log lines follow.

TEXT
tail -n +1 -f --pid="$server" "$log"
