#!/bin/sh
# deps.sh build|test|bench|race: installs the Debian packages that are missing, and says what it
# does. Silent and offline when everything is there.
set -eu

build="gcc make libc6-dev liburing-dev liblmdb-dev libxxhash-dev libroaring-dev libzstd-dev
    zlib1g-dev libssl-dev libinih-dev libseccomp-dev"
test="libcriterion-dev libjansson-dev zstd python3 patch clang libclang-rt-14-dev llvm clang-format
    curl openssl"
bench="g++ libsimdjson-dev nginx-light python3"
# Other stores, to race against. Redis' server is in redis-tools under another name.
race="postgresql-15 libpq-dev redis-tools libhiredis-dev clickhouse-server libsqlite3-dev
    libcurl4-openssl-dev"

set -- "${1:-build}"
case "$1" in
build) wanted=$build ;;
test) wanted="$build $test" ;;
bench) wanted="$build $bench" ;;
race) wanted="$build $race" ;;
*) echo "usage: deps.sh build|test|bench|race" >&2; exit 2 ;;
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
# Packages of servers start a service when they are installed. Ours are private instances, so
# Debian's switch for that says no meanwhile.
policy=/usr/sbin/policy-rc.d
if [ "$1" = race ] && [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    trap '$as_root rm -f $policy' EXIT
    trap 'exit 130' INT TERM
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
