#!/usr/bin/env bash
# What `make bench` does: measures the figures the design promises, each against its reference in
# the same round, and prints it with its floor and its goal. A figure is the median of its rounds;
# beside it stand the least and the most. bench/README.md says what each row means.
# Nothing here passes or fails: a benchmark is read by people.
#
# usage: bench/run.sh BUILD [ROW...]     rows: decode http wire single point query disk dedup age
#                                        reading tls
#
# BENCH_RUNS     rounds (3)
# BENCH_SECONDS  seconds a figure takes in each (5)
# BENCH_AGE      events between the first and the last of `age` (100000000: a minute, 10 GB of disk)
# BENCH_READING_EVENTS, BENCH_READING_RATES, BENCH_READING_ROUNDS: see reading.py
# BENCH_DIR      where the data directories go: a real disk, not tmpfs (/var/tmp)
set -euo pipefail

build=$(realpath "${1:-build}")
shift || true
rows=" ${*:-decode http wire single point query disk dedup age reading tls} "
runs=${BENCH_RUNS:-3}
seconds=${BENCH_SECONDS:-5}
age=${BENCH_AGE:-100000000}
work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/margin-bench.XXXXXX")
server=
server_options=()
client_options=()
nginx=

stop_server() {
    [ -n "$server" ] || return 0
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}

cleanup() {
    stop_server
    [ -z "$nginx" ] || kill "$nginx" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# --- figures --------------------------------------------------------------------------------------

wants() { [[ $rows == *" $1 "* ]]; }

# take NAME COMMAND...: adds what the command prints to the values of that name. Not in a subshell,
# for the commands start and stop servers that this shell must know.
take() {
    local name=$1
    shift
    "$@" >>"$work/values.$name"
}

rounds() { # rounds FUNCTION: calls it once a round
    local i
    for ((i = 0; i < runs; i++)); do "$1"; done
}

# Of the numbers on stdin: the median, and the least and the most; both empty if there is none.
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }
spread() { # spread UNIT
    sort -g | awk -v unit="$1" '{ v[NR] = $1 } END {
        if (NR > 1) printf "%.3g to %.3g%s", v[1], v[NR], unit }'
}

values() { cat "$work/values.$1" 2>/dev/null || true; }
value() { values "$1" | median; }

# Round by round, the one figure over the other.
ratios() {
    paste <(values "$1") <(values "$2") | awk 'NF == 2 && $2 > 0 { print $1 / $2 }'
}

short() { awk -v v="${1:-0}" 'BEGIN { printf "%.3g", v }'; }
divide() {
    awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN { if (b > 0) printf "%.3g", a / b; else print "-" }'
}

human() { # 1234567 -> 1.23 M
    awk -v v="$1" 'BEGIN {
        if (v >= 1e6) printf "%.2f M", v / 1e6
        else if (v >= 1e4) printf "%.0f k", v / 1e3
        else printf "%.4g", v }'
}

row() { # row WHAT FLOOR GOAL NOW SPREAD [REFERENCE]
    printf '%-54s %8s %7s %9s  %-19s %s\n' "$1" "$2" "$3" "$4" "$5" "${6:-}"
}

ratio_row() { # ratio_row WHAT FLOOR GOAL NAME NAME [REFERENCE]: the first figure over the second
    row "$1" "$2" "$3" "$(short "$(ratios "$4" "$5" | median)")x" "$(ratios "$4" "$5" | spread x)" \
        "${6:-}"
}

field() { # field NAME: the number of that name in margin-load's report
    sed -n 's/.*"'"$1"'":\([0-9.]*\).*/\1/p'
}

bench_value() { # bench_value NAME: of a line `bench name=NAME value=V unit=U`
    sed -n 's/^bench name='"$1"' value=\([0-9.]*\).*/\1/p'
}

# --- servers --------------------------------------------------------------------------------------

start_server() { # on $work/data, as it is; sets http, wire, key
    local line='' i
    : >"$work/server.log" # the line of a server before this one must not be found
    "$build/margind" --data-dir "$work/data" --http-listen 127.0.0.1:0 \
        --wire-listen 127.0.0.1:0 "${server_options[@]}" >/dev/null 2>"$work/server.log" &
    server=$!
    for ((i = 0; i < 6000; i++)); do
        line=$(grep -m1 'event=ready' "$work/server.log") && break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    if [ -z "$line" ]; then
        cat "$work/server.log" >&2
        echo "bench: the server did not start" >&2
        exit 1
    fi
    http=$(sed -n 's/.* http=\([^ ]*\).*/\1/p' <<<"$line")
    wire=$(sed -n 's/.* wire=\([^ ]*\).*/\1/p' <<<"$line")
    key=$(cat "$work/data/api-key")
}

fresh_server() {
    stop_server
    rm -rf "$work/data"
    start_server
}

load() { # load MODE OPTION...: margin-load's report against the running server
    local mode=$1
    shift
    "$build/margin-load" --mode "$mode" --http "$http" --server "$wire" --key "$key" --json \
        "${client_options[@]}" "$@"
}

use_tls() { # for servers and loads from now on
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$work/tls.key" -out "$work/tls.pem" 2>/dev/null
    server_options=(--tls-cert "$work/tls.pem" --tls-key "$work/tls.key")
    client_options=(--tls-ca "$work/tls.pem")
}

use_no_tls() {
    server_options=()
    client_options=()
}

start_nginx() { # sets nginx_address
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
    nginx_address=127.0.0.1:$port
    cat >"$work/nginx.conf" <<CONF
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
worker_processes auto;
events { worker_connections 4096; multi_accept on; }
http {
    access_log off;
    client_body_temp_path $work/nginx-body;
    keepalive_requests 1000000000;
    server {
        listen $nginx_address reuseport;
        location / { return 204; }
    }
}
CONF
    nginx -c "$work/nginx.conf" -p "$work" >/dev/null 2>&1 &
    nginx=$!
    sleep 0.5
}

stop_nginx() {
    kill "$nginx" 2>/dev/null || true
    wait "$nginx" 2>/dev/null || true
    nginx=
}

# --- what is measured -----------------------------------------------------------------------------

decode_round() {
    "$build/bench-decode" >"$work/decode.txt"
    take decode bench_value decode_predicted <"$work/decode.txt"
    take simdjson bench_value simdjson_ondemand <"$work/decode.txt"
    awk '{ printf "%.0f\n", 1e9 / $1 }' < <(values simdjson) >"$work/values.simdjson_rate"
    local what
    for what in shuffled unexpected; do
        take plain_$what bench_value ${what}_plain <"$work/decode.txt"
        take tried_$what bench_value ${what}_predicted <"$work/decode.txt"
    done
}

# Enough requests under way that the server, not the round trip, is measured.
http_run() {
    fresh_server
    load http --connections 64 --seconds "$seconds" | field events_per_second
}
wire_run() {
    fresh_server
    load wire --connections 24 --batch 4096 --seconds "$seconds" | field events_per_second
}

single_run() {
    fresh_server
    load single --connections 256 --seconds "$seconds" | field requests_per_second
}

nginx_run() {
    start_nginx
    "$build/margin-load" --mode single --connections 256 --seconds "$seconds" --json --key none \
        --http "$nginx_address" 2>"$work/nginx-load.log" | field requests_per_second ||
        true # nginx accepts no event, and margin-load says so
    stop_nginx
}

point_run() { load point --connections 1 --pipeline 128 --seconds "$seconds" |
    field requests_per_second; }

# The generator's customers are skewed; this makes sure that each of 100 000 has an event.
all_customers() {
    awk 'BEGIN { for (i = 0; i < 100000; i++) printf "{\"eventName\":\"e\"," \
        "\"customerReferenceId\":\"cust_%07d\",\"featureKey\":\"f\",\"costAmount\":0.001," \
        "\"revenueAmount\":%d.%04d}\n", i, i % 3, i % 9973 }' |
        "$build/marginctl" ingest - --server "$wire" --key "$key" >/dev/null
}

# The server's processor time an event, in nanoseconds; the rate would also count the generator's.
cost_run() { # cost_run MODE OPTION...
    local sent
    fresh_server
    sent=$(load "$@" --seconds "$seconds" | field sent)
    awk -v sent="$sent" -v ticks="$(getconf CLK_TCK)" \
        '{ sub(/.*\) /, ""); if (sent) print ($12 + $13) / ticks * 1e9 / sent }' \
        "/proc/$server/stat"
}

# Full ingest with top-100 queries by margin beside it.
query_p99_run() {
    load http --seconds "$seconds" --customers 100000 --query-rate 100 | sed 's/.*"queries"//' |
        field p99
}
second_with() {
    load http --seconds 1 --customers 100000 --query-rate 1000 | field events_per_second
}
second_without() { load http --seconds 1 --customers 100000 | field events_per_second; }

# --- rounds ---------------------------------------------------------------------------------------

ingest_round() {
    if wants decode || wants http; then decode_round; fi
    if wants http || wants wire; then take http http_run; fi
    if wants wire; then take wire wire_run; fi
}

single_round() {
    take single single_run
    stop_server
    take nginx nginx_run
}

point_round() { take point point_run; }

mean() { awk '{ sum += $1 } END { if (NR) printf "%.0f\n", sum / NR }'; }

# There and back, a second at a time: the server grows meanwhile, what it does beside comes in
# waves, and threads that share a processor by chance do so for seconds.
query_round() {
    local i
    take p99 query_p99_run
    for ((i = 0; i < seconds; i++)); do
        second_with >>"$work/with"
        second_without >>"$work/without"
        second_without >>"$work/without"
        second_with >>"$work/with"
    done
    take with mean <"$work/with"
    take without mean <"$work/without"
    rm "$work/with" "$work/without"
}

# The first events against those after many: the same load, for the old server at once and without a
# pause, so that what it does beside is in the figure.
young_round() { take young http_run; }
old_run() {
    seed=$((seed + 1))
    load http --connections 64 --seconds "$seconds" --seed "$seed" | field events_per_second
}
old_round() { take old old_run; }
settled_round() { take settled old_run; }

settle() { # until the server takes next to no processor time for two seconds; a minute at most
    local before now=0 i
    for ((i = 0; i < 30; i++)); do
        before=$now
        now=$(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$server/stat")
        [ $((now - before)) -ge 20 ] || break
        sleep 2
    done
}

# The mean over the first ones' median: what comes and goes counts as long as it lasts.
age_row() { # age_row WHAT FLOOR GOAL NAME
    local mean
    mean=$(values "$4" | awk '{ sum += $1 } END { printf "%.0f", sum / NR }')
    row "$1" "$2" "$3" "$(divide "$mean" "$young")x" \
        "$(values "$4" | awk -v by="$young" '{ print $1 / by }' | spread x)" \
        "$(human "$mean") events/s against $(human "$young")"
}

tls_round() {
    take cost_http cost_run http --connections 64
    take cost_wire cost_run wire --connections 24 --batch 4096
    take cost_single cost_run single --connections 256
    use_tls
    take tls_http cost_run http --connections 64
    take tls_wire cost_run wire --connections 24 --batch 4096
    take tls_single cost_run single --connections 256
    use_no_tls
}

tls_row() { # tls_row WHAT NAME
    ratio_row "$1" - - "tls_$2" "cost_$2" \
        "$(human "$(value "tls_$2")") ns against $(human "$(value "cost_$2")")"
}

# --- rows -----------------------------------------------------------------------------------------

row "figure (median of $runs)" floor goal now 'least to most' 'reference'

rounds ingest_round
if wants decode; then
    ratio_row 'JSON into columns, one thread, against simdjson' 1.0x 1.5x simdjson decode \
        "$(value decode) ns against $(value simdjson) ns an event"
    for what in shuffled unexpected; do
        ratio_row "the same, members $what, against no prediction" 0.9x '-' plain_$what \
            tried_$what "$(value tried_$what) ns against $(value plain_$what) ns an event"
    done
fi
if wants http; then
    ratio_row 'HTTP, batches of 1000, against simdjson parsing alone' 0.3x 0.7x http simdjson_rate \
        "$(human "$(value http)") events/s against $(human "$(value simdjson_rate)")"
fi
if wants wire; then
    ratio_row 'native batches of 4096, against HTTP' 1.5x 3x wire http \
        "$(human "$(value wire)") events/s"
fi
if wants single; then
    rounds single_round
    ratio_row 'single events, 256 connections, against nginx 204' 0.3x 0.8x single nginx \
        "$(human "$(value single)") requests/s against $(human "$(value nginx)")"
fi
if wants point; then
    fresh_server
    load wire --events 1M >/dev/null
    rounds point_round
    row 'point queries, pipelined, one connection' '300 k/s' '1 M/s' "$(human "$(value point)")/s" \
        "$(values point | awk '{ print $1 / 1e6 }' | spread ' M/s')"
fi
if wants query; then
    fresh_server
    all_customers
    load wire --events 2M --spread --customers 100000 >/dev/null
    rounds query_round
    row 'top 100 of 100 000 by margin under full ingest, p99' '10 ms' '2 ms' \
        "$(divide "$(value p99)" 1000000) ms" \
        "$(values p99 | awk '{ print $1 / 1e6 }' | spread ' ms')"
    ratio_row 'ingest beside 1000 such queries a second' 0.8x 0.95x with without \
        "$(human "$(value with)") events/s against $(human "$(value without)")"
fi
if wants disk; then
    fresh_server
    load http --events 2M >"$work/report"
    used() {
        divide "$(du -s --block-size=1 "$work/data/log" | cut -f1)" \
            "$(field accepted <"$work/report")"
    }
    at_once=$(used)
    # Merges come to rest, and what they freed goes back to the file system.
    sleep 15
    row 'bytes on disk an event, at rest' 80 40 "$(used)" 'one run' "$at_once right after ingest"
    stop_server
fi
if wants dedup; then
    "$build/bench-dedup" >"$work/dedup.txt"
    row 'memory a remembered key, hot' '32 B' '-' \
        "$(sed -n 's/.* \([0-9.]*\) bytes a key.*/\1/p' "$work/dedup.txt" | sort -g | tail -1) B" \
        'one run'
    "$build/bench-keys" 40000000 512 "$work" >"$work/keys.txt" 2>/dev/null
    row 'memory a remembered key, past the hot generation' - '3 B' \
        "$(sed -n 's/.* runs (\([0-9.]*\) bytes each in memory.*/\1/p' "$work/keys.txt" |
            tail -1) B" 'one run'
fi
if wants age; then
    rounds young_round
    fresh_server
    load wire --connections 24 --batch 4096 --events "$age" --seed 77 >/dev/null
    seed=100
    rounds old_round
    settle
    rounds settled_round
    young=$(value young)
    age_row "rate after $(human "$age") events, against the first" 0.7x 0.95x old
    age_row 'the same once its keys have come to rest in files' - - settled
fi
if wants reading; then
    python3 "$(dirname "$0")/reading.py" "$build"
fi
if wants tls; then
    rounds tls_round
    tls_row 'processor time an event over TLS: HTTP, 1000 each' http
    tls_row 'the same, native batches of 4096' wire
    tls_row 'the same, single events, 256 connections' single
fi
