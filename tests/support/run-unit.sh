#!/usr/bin/env bash
# Runs a Criterion binary and believes it only with proof: the exit code must be 0, the closing line
# must count at least one test, and no sanitizer may have left a report (a leak alone does not
# change the exit code of a test).
set -uo pipefail

if [ $# -lt 1 ]; then
    echo "usage: $0 BINARY [Criterion options]" >&2
    exit 2
fi
binary=$1
shift
reports=$(mktemp -d /tmp/margin-unit.XXXXXX)
trap 'rm -rf "$reports"' EXIT

options="log_path=$reports/san:detect_leaks=1"
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}$options"
export LSAN_OPTIONS="log_path=$reports/san"
export UBSAN_OPTIONS="log_path=$reports/san:print_stacktrace=1"

timeout --kill-after=10 900 "$binary" "$@" > "$reports/output" 2>&1
code=$?
grep -v -e '^\[\(RUN \|PASS\)' -e '^time=[^ ]* level=info ' "$reports/output"

tested=$(sed -n 's/.*Tested: *\(\x1b\[[0-9;]*m\)*\([0-9]*\).*/\2/p' "$reports/output" | tail -n 1)
if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
    echo "unit tests: stopped after 900 s" >&2
    exit 1
fi
if [ "$code" -ne 0 ]; then
    echo "unit tests: exit code $code" >&2
    exit 1
fi
if [ -z "$tested" ] || [ "$tested" -lt 1 ]; then
    echo "unit tests: the closing line counts no test" >&2
    exit 1
fi
if compgen -G "$reports/san*" > /dev/null; then
    cat "$reports"/san* >&2
    echo "unit tests: a sanitizer reported a fault" >&2
    exit 1
fi
