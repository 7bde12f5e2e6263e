#!/usr/bin/env bash
# Checks the checker: for every rule of tidy a small tree that breaks it, and one that breaks none.
# usage: tidy-selftest.sh BUILD/tidy
set -euo pipefail

tidy=$(realpath "$1")
work=$(mktemp -d /tmp/tidy-selftest.XXXXXX)
trap 'rm -rf "$work"' EXIT
failed=0
cases=0

# A tree in which everything is in order.
fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree"/engine/{base,json,http,event,price}
    mkdir -p "$work/tree"/{bench,include,storage,tests/unit,tools}
    put engine/base/buf.h '/* A. */' '#ifndef BUF_H' '#define BUF_H' 'void buf_put(int a);' \
        '#endif'
    put engine/base/buf.c '/* A. */' '#include "base/buf.h"' 'void buf_put(int a) {' '}'
    put engine/event/event.c '/* A. */' '#include "base/buf.h"' 'static int event(void) {' \
        '    buf_put(1);' '    return 0;' '}'
    put tools/run.sh '#!/bin/sh' '# Runs.'
}

put() { # put FILE LINE...
    local file=$work/tree/$1
    shift
    printf '%s\n' "$@" >"$file"
}

run() {
    "$tidy" --layers "include,base http,json event price main" \
        --layers-storage "include,base column block db store" "$work/tree"
}

expect() { # expect TEXT: the tree as it is gives exactly one finding, and it is this one
    cases=$((cases + 1))
    local out status=0
    out=$(run) || status=$?
    if [ $status -ne 1 ] || [ "$(wc -l <<<"$out")" -ne 2 ] || ! grep -qF -- "$1" <<<"$out"; then
        echo "tidy-selftest: expected one finding \"$1\", exit 1; got exit $status and:"
        echo "$out"
        failed=1
    fi
    fresh
}

expect_none() { # expect_none WHY
    cases=$((cases + 1))
    local out
    if ! out=$(run) || ! grep -q '^tidy: [0-9]* files, 0 findings$' <<<"$out"; then
        echo "tidy-selftest: $1 should pass; got:"
        echo "$out"
        failed=1
    fi
    fresh
}

repeat() { # repeat COUNT TEXT
    local i
    for ((i = 0; i < $1; i++)); do printf '%s' "$2"; done
}

lines() { # lines COUNT TEXT
    local i
    for ((i = 0; i < $1; i++)); do printf '%s\n' "$2"; done
}

event() { # event LINE...: adds lines to engine/event/event.c
    printf '%s\n' "$@" >>"$work/tree/engine/event/event.c"
}

fresh
expect_none "a clean tree"

event "/* $(repeat 95 x) */"
expect "engine/event/event.c:7: 101 columns, at most 100"
event "/* $(repeat 94 ü) */"
expect_none "a line of 100 characters in more bytes"
event "int x; "
expect "event.c:7: trailing blanks"
event "$(printf 'int\tx;')"
expect "event.c:7: tab"
event "$(printf 'int x;\r')"
expect "event.c:7: carriage return"
printf 'int x;' >>"$work/tree/engine/event/event.c"
expect "event.c:7: no newline at the end"
for word in TO:DO FIX:ME XX:X HA:CK; do
    event "/* ${word/:/}: something */"
    expect "event.c:7: leftover ${word/:/}"
    printf '# %s\n' "${word/:/}" >>"$work/tree/tools/run.sh"
    expect "run.sh:3: leftover ${word/:/}"
done
event 'static const char *const name = "/tmp/x-XXXXXX";'
expect_none "a pattern of mkstemp"

event "$(lines 795 'int x;')"
expect "event.c:801: 801 lines, at most 800"
event 'static int' 'long_one(' '    int a) {' "$(lines 67 '    a++;')" '}'
expect "event.c:7: function of 71 lines, at most 70"
event 'static int long_one(int a) {' "$(lines 68 '    a++;')" '}' 'static int a[] = {' \
    "$(lines 80 '    1,')" '};'
expect_none "a function of 70 lines and a long table"

put engine/event/event.c '#include "base/buf.h"' 'static void event(void) {' '    buf_put(1);' '}'
expect "event.c:1: the file does not begin with a comment"
put tools/run.sh '#!/bin/sh' 'ls'
expect "run.sh:1: the file does not begin with a comment"
put tests/x.py 'import os'
expect "x.py:1: the file does not begin with a comment"

for call in strcpy strcat sprintf vsprintf atoi atol strtok gets exit abort printf fork system; do
    event 'static void bad(void) {' "    $call (x);" '}'
    expect "event.c:8: $call is banned"
    put storage/db.c '/* A. */' 'static void bad(void) {' "    $call(x);" '}'
    expect "storage/db.c:3: $call is banned"
done
put tools/x.c '/* A. */' 'int main(void) {' '    printf("x");' '    exit(0);' '}'
expect_none "banned calls in a tool"
event 'static void good(struct x *x) {' '    x->exit(1); /* exit(1) */' '    x.abort("exit(1)");' \
    '    my_exit(1);' '    int exit = 1;' '}'
expect_none "words that only look like banned calls"
event 'static void good(void) {' '    /* tidy: allow abort, because of this test. */' \
    '    abort();' '}'
expect_none "a call that is allowed with a reason"
event 'static void bad(void) {' '    abort(); /* tidy: allow abort */' '}'
expect "event.c:8: abort is banned"

for word in float double strtod; do
    for file in engine/event/event.c engine/price/price.c storage/column.c; do
        put engine/event/event.c '/* A. */' '#include "base/buf.h"' 'static void e(void) {' \
            '    buf_put(1);' '}'
        [ -e "$work/tree/$file" ] || printf '/* A. */\n' >"$work/tree/$file"
        printf 'static %s x;\n' "$word" >>"$work/tree/$file"
        expect ": $word where money is counted"
    done
done
event 'static double x; /* tidy: allow double, a sketch is not money */'
expect_none "floating point that is allowed with a reason"
printf 'static double x;\n' >>"$work/tree/engine/base/buf.c"
expect_none "floating point elsewhere"

event 'typedef struct x {' '    int a;' '} x;'
expect "event.c:7: a typedef hides a struct"
event 'typedef enum x y;'
expect "event.c:7: a typedef hides a struct"
event 'typedef struct x *(*make)(int);' 'typedef int number;'
expect_none "typedefs of functions and numbers"

put engine/event/event.h '/* A. */' '#ifndef E_H' '#define E_H' '#endif'
put engine/event/more.c '/* A. */' '#include "event/event.h"'
expect "event.c:2: the first include is not its own engine/event/event.h"
put engine/event/event.h '/* A. */' '#ifndef E_H' '#define E_H' '#endif'
put engine/event/event.c '/* A. */' '#include "event/event.h"' '#include "base/buf.h"' \
    'static void e(void) {' '    buf_put(1);' '}'
expect "event.h:1: nobody includes this header"
put include/x.h '/* A. */' '#define E_H'
event '#include "x.h"'
expect "x.h:1: no include guard"
put include/x.h '/* A; tidy: allow inclusion, once for each size. */' 'E_NAME'
event '#include "x.h"'
expect_none "a header that is included again and again"
put include/x.h '/* A. */' '#ifndef BUF_H' '#define BUF_H' '#endif'
event '#include "x.h"'
expect "x.h:1: has the include guard of engine/base/buf.h"
event '#include "nowhere.h"'
expect "event.c:7: there is no project file nowhere.h"

header() { # header FILE GUARD
    put "$1" '/* A. */' "#ifndef $2" "#define $2" '#endif'
}
header engine/price/price.h P_H
event '#include "price/price.h"'
expect "event.c:7: event may not include engine/price/price.h: it is to its right"
header engine/json/read.h R_H
put engine/http/head.c '/* A. */' '#include "json/read.h"'
expect "head.c:2: http may not include engine/json/read.h: they are siblings"
header engine/json/read.h R_H
put engine/json/read.c '/* A. */' '#include "json/read.h"' '#include "base/buf.h"'
event '#include "json/read.h"'
expect_none "includes to the left and in the same folder"
header storage/store_x.h S_H
put storage/column_avx2.c '/* A. */' '#include "storage/store_x.h"'
expect "column_avx2.c:2: column may not include storage/store_x.h: it is to its right"
header engine/event/event.h E_H
put engine/event/event.c '/* A. */' '#include "event/event.h"' '#include "base/buf.h"' \
    'static void e(void) {' '    buf_put(1);' '}'
put storage/db.c '/* A. */' '#include "event/event.h"'
expect "db.c:2: storage/db.c may not include engine/event/event.h"
header storage/db.h D_H
event '#include "storage/db.h"'
expect "event.c:7: the engine sees storage through include/store.h only"
header include/x.h X_H
put include/y.h '/* A. */' '#ifndef Y_H' '#define Y_H' '#include "base/buf.h"' '#endif'
event '#include "x.h"' '#include "y.h"'
expect "y.h:4: include/ may not depend on engine/base/buf.h"
put engine/strange.c '/* A. */'
expect "strange.c:1: in no layer"

put engine/base/one.c '/* A. */' '#include <lmdb.h>'
put storage/db.c '/* A. */' '#include <lmdb.h>'
expect "db.c:2: lmdb.h belongs to engine/base/one.c"
put engine/base/one.c '/* A. */' '#include <openssl/hmac.h>' '#include <openssl/evp.h>'
put tests/unit/a.c '/* A. */' '#include <openssl/hmac.h>' '#include <criterion/criterion.h>'
put storage/db.c '/* A. */' '#include <zstd.h>'
put engine/base/two.c '/* A. */' '#include <zstd.h>'
expect_none "libraries with one user"
put engine/base/two.c '/* A. */' '#include <zstd.h>'
put engine/base/one.c '/* A. */' '#include <zstd.h>'
expect "two.c:2: zstd.h belongs to engine/base/one.c"
put tools/x.h '/* A. */' '#ifndef X_H' '#define X_H' '#include <lmdb.h>' '#endif'
event '#include "tools/x.h"'
sed -i '$d' "$work/tree/engine/event/event.c"
put tools/x.c '/* A. */' '#include "x.h"'
put tools/y.c '/* A. */' '#include "x.h"'
expect "x.h:4: a header may not show lmdb.h to others"
event '#include <criterion/criterion.h>'
expect "event.c:7: criterion/criterion.h is for tests/ only"

event 'int lonely(void) {' '    return 0;' '}'
printf 'int lonely(void);\n' >"$work/add"
sed -i "4r $work/add" "$work/tree/engine/base/buf.h"
expect "event.c:1: nobody uses this file"
put include/x.h '/* A. */' '#ifndef X_H' '#define X_H' 'int one(void);' 'int two(void);' '#endif'
event '#include "x.h"' 'int one(void) {' '    return 0;' '}' 'int two(void) {' '    return 0;' '}'
printf '#define BOTH one()\n' >>"$work/tree/engine/base/buf.c"
expect "event.c:11: nobody but this file uses two"
event '#include "x.h"' 'int one(void) {' '    return 0;' '}'
put include/x.h '/* A. */' '#ifndef X_H' '#define X_H' 'int one(void);' \
    'static inline int two(void) {' '    return one();' '}' '#endif'
expect_none "a function that a header uses"
printf '%s\n' 'int lonely(void) {' '    return 0;' '}' >>"$work/tree/engine/base/buf.c"
expect "buf.c:5: lonely is used only here: make it static"
event 'static void bad(void) {'
expect "event.c:8: braces do not match"

echo "tidy-selftest: $cases cases"
exit $failed
