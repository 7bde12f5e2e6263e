#!/usr/bin/env bash
# Runs one program of the tests, of several at a time: one line with its seconds and its last words,
# or, if it fails, all that it said. A sanitizer's report is a failure by its exit code.
set -uo pipefail

if [ $# -lt 1 ]; then
    echo "usage: $0 PROGRAM [argument...]" >&2
    exit 2
fi
output=$(mktemp /tmp/margin-run.XXXXXX)
trap 'rm -f "$output"' EXIT

timeout --kill-after=10 600 "$@" > "$output" 2>&1
code=$?
if [ "$code" -ne 0 ]; then
    [ "$code" -ne 124 ] || echo "stopped after 600 s" >> "$output"
    { cat "$output"; echo "FAIL $* (exit code $code, $SECONDS s)"; } >&2
    exit 1
fi
echo "ok   $1 ($SECONDS s) $(tail -n 1 "$output")"
