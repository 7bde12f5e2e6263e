#!/bin/sh
# deps.sh build|test|bench: installs the Debian packages that are missing, and says what it does.
# Silent and offline when everything is there.
set -eu

build="gcc make libc6-dev liburing-dev liblmdb-dev libxxhash-dev libroaring-dev libzstd-dev
    zlib1g-dev libssl-dev libinih-dev"
test="libcriterion-dev libjansson-dev zstd python3 patch clang libclang-rt-14-dev clang-format curl"
bench="g++ libsimdjson-dev nginx-light"

case "${1:-build}" in
build) wanted=$build ;;
test) wanted="$build $test" ;;
bench) wanted="$build $bench" ;;
*) echo "usage: deps.sh build|test|bench" >&2; exit 2 ;;
esac

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | head -c 9 || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "Installing Debian packages:$missing"
as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Please install as root:$missing" >&2; exit 1; }
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
