/* tls_test.c: the server's side of TLS against a client in memory, in pieces of every size. */
#include "net/tls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "limits.h"
#include "tests/support/tls_peer.h"

#define RECORD_HEAD 5 /* bytes */

static char dir[] = "/tmp/margin-tls-test.XXXXXX";
static char certificate[64];
static char key[64];
static const struct tls_files files = {certificate, key};

static void make_files(void) {
    log_set_level(LOG_ERROR);
    cr_assert_not_null(mkdtemp(dir));
    snprintf(certificate, sizeof certificate, "%s/certificate", dir);
    snprintf(key, sizeof key, "%s/key", dir);
    tls_peer_make_certificate(certificate, key, "first", 30);
}

static void remove_files(void) {
    unlink(certificate);
    unlink(key);
    rmdir(dir);
}

static struct tls_identity *open_identity(void) {
    struct tls_identity *identity;
    char why[256] = "";
    cr_assert_eq(tls_identity_open(&files, &identity, why, sizeof why), ERR_OK, "%s", why);
    return identity;
}

/* Both sides, and what is on the way. */
struct pair {
    struct tls *tls;
    struct tls_peer *peer;
    struct buf sent; /* by the server */
    usize room;      /* for it; past it sending fails */
    usize piece;     /* bytes given at a time */
    struct buf text; /* what the server received */
    enum tls_answer last;
    bool established;
};

static bool take_records(void *context, const void *records, usize bytes) {
    struct pair *pair = context;
    if (pair->sent.bytes + bytes > pair->room) {
        return false;
    }
    buf_put(&pair->sent, records, bytes);
    return true;
}

static void open_pair_with(struct pair *pair, struct tls_identity *identity, const char *ca,
                           enum tls_peer_version version, usize piece) {
    *pair = (struct pair){.piece = piece, .room = SIZE_MAX, .last = TLS_MORE};
    buf_init(&pair->sent, 64 * MIB);
    buf_init(&pair->text, 64 * MIB);
    pair->tls = tls_open(identity, "margin/1", take_records, pair);
    pair->peer = tls_peer_create(ca, version, "margin/1");
    cr_assert_not_null(pair->tls);
}

static void open_pair(struct pair *pair, struct tls_identity *identity,
                      enum tls_peer_version version, usize piece) {
    open_pair_with(pair, identity, certificate, version, piece);
}

static void close_pair(struct pair *pair) {
    tls_close(pair->tls);
    tls_peer_free(pair->peer);
    buf_free(&pair->sent);
    buf_free(&pair->text);
}

/* The server gets these bytes, in pieces; each lies at the end of memory of its own. */
static void give(struct pair *pair, struct slice bytes) {
    for (usize at = 0; at < bytes.bytes && pair->last != TLS_BROKEN && pair->last != TLS_PLAIN;) {
        usize part = MIN(pair->piece, bytes.bytes - at);
        char *copy = malloc(part);
        memcpy(copy, bytes.data + at, part);
        at += part;
        tls_give(pair->tls, copy, part);
        do {
            char text[1000];
            usize count;
            pair->last = tls_take(pair->tls, text, pair->piece % 2 == 0 ? sizeof text : 1, &count);
            cr_assert((count > 0) == (pair->last == TLS_TEXT));
            buf_put(&pair->text, text, count);
            if (pair->last == TLS_ESTABLISHED) {
                cr_assert(!pair->established && pair->text.bytes == 0);
                pair->established = true;
            }
        } while (pair->last == TLS_TEXT || pair->last == TLS_ESTABLISHED);
        free(copy);
    }
}

/* All that either side wants to say goes to the other. */
static void exchange(struct pair *pair) {
    for (struct slice out = tls_peer_output(pair->peer); out.bytes > 0 || pair->sent.bytes > 0;
         out = tls_peer_output(pair->peer)) {
        give(pair, out);
        tls_peer_input(pair->peer, pair->sent.data, pair->sent.bytes);
        buf_clear(&pair->sent);
        if (!pair->established || pair->last == TLS_BROKEN) {
            tls_peer_shake(pair->peer);
        }
    }
}

static bool shake(struct pair *pair) {
    tls_peer_shake(pair->peer);
    exchange(pair);
    return tls_peer_shake(pair->peer) && pair->established;
}

static void check_both_ways(struct tls_identity *identity, enum tls_peer_version version,
                            usize piece) {
    static char many[100000];
    static char got[100000];
    struct pair pair;
    open_pair(&pair, identity, version, piece);
    cr_assert(shake(&pair), "%s; %s", tls_peer_why(pair.peer), tls_why(pair.tls));
    for (usize at = 0; at < sizeof many; at++) {
        many[at] = (char)(at * 131 >> 7);
    }
    for (usize bytes = 1; bytes <= sizeof many; bytes = bytes * 5 + 3) {
        tls_peer_put(pair.peer, many, bytes);
        exchange(&pair);
        cr_assert_eq(pair.text.bytes, bytes);
        cr_assert_eq(memcmp(pair.text.data, many, bytes), 0);
        buf_clear(&pair.text);
        cr_assert(tls_put(pair.tls, many, bytes));
        exchange(&pair);
        usize count = 0;
        for (usize part = 1; part > 0; count += part) {
            part = tls_peer_get(pair.peer, got + count, sizeof got - count);
        }
        cr_assert_eq(count, bytes);
        cr_assert_eq(memcmp(got, many, bytes), 0);
    }
    tls_peer_end(pair.peer);
    exchange(&pair);
    cr_assert_eq(pair.last, TLS_ENDED);
    cr_assert(tls_put(pair.tls, "still", 5), "the peer may read on");
    tls_end(pair.tls);
    tls_end(pair.tls);
    cr_assert(!tls_put(pair.tls, "no more", 7));
    give(&pair, SLICE("what is ignored"));
    cr_assert_eq(pair.last, TLS_ENDED);
    exchange(&pair);
    cr_assert_eq(tls_peer_get(pair.peer, got, sizeof got), 5);
    cr_assert_eq(tls_peer_get(pair.peer, got, sizeof got), 0);
    cr_assert(tls_peer_has_ended(pair.peer) && !tls_peer_failed(pair.peer));
    close_pair(&pair);
}

Test(tls, both_ways, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    static const usize pieces[] = {1, 2, 3, 5, 1000, 20000, SIZE_MAX};
    for (usize at = 0; at < ARRAY_COUNT(pieces); at++) {
        check_both_ways(identity, TLS_PEER_1_2, pieces[at]);
        check_both_ways(identity, TLS_PEER_1_3, pieces[at]);
    }
    tls_identity_close(identity);
}

/* What is not the beginning of TLS, or of no client's TLS. */
Test(tls, first_bytes, .init = make_files, .fini = remove_files) {
    static const struct {
        const char *bytes;
        usize count;
        enum tls_answer answer;
    } cases[] = {
        {"G", 1, TLS_PLAIN},
        {"\0", 1, TLS_PLAIN},
        {"\x15\x03\x01\x00\x02\x01\x00", 7, TLS_PLAIN},
        {"\x80\x2e\x01\x03\x01", 5, TLS_PLAIN}, /* a hello of SSL 2 */
        {"\x16", 1, TLS_MORE},
        {"\x16\x03\x01\x00\xfa\x01\x00\x00", 8, TLS_MORE},
        {"\x16\x03\x01\x00\xfa\x01\x00\x00\xf6", 9, TLS_MORE},
        {"\x16\x03\x01\x00\xfa\x01\x00\x40\x00", 9, TLS_MORE},   /* 16 KiB is the bound */
        {"\x16\x03\x01\x00\xfa\x01\x00\x40\x01", 9, TLS_BROKEN}, /* past it */
        {"\x16\x03\x01\x00\xfa\x01\x01\x00\x00", 9, TLS_BROKEN},
        {"\x16\x03\x01\x00\xfa\x02\x00\x00\xf6", 9, TLS_BROKEN}, /* a server's hello */
        {"\x16\x03\x01\x00\x03\x01\x00\x00\xf6", 9, TLS_BROKEN}, /* not even its head */
    };
    struct tls_identity *identity = open_identity();
    for (usize at = 0; at < ARRAY_COUNT(cases); at++) {
        for (usize piece = 1; piece <= 9; piece++) {
            struct pair pair;
            open_pair(&pair, identity, TLS_PEER_ANY, piece);
            give(&pair, (struct slice){cases[at].bytes, cases[at].count});
            cr_assert_eq(pair.last, cases[at].answer, "case %zu: %d", at, pair.last);
            char text[8];
            usize count;
            enum tls_answer again = tls_take(pair.tls, text, sizeof text, &count);
            cr_assert_eq(again, cases[at].answer == TLS_MORE ? TLS_MORE : TLS_BROKEN);
            cr_assert(!tls_put(pair.tls, "x", 1));
            tls_end(pair.tls);
            cr_assert_eq(pair.sent.bytes, 0);
            close_pair(&pair);
        }
    }
    tls_identity_close(identity);
}

/* What is worth a look by OpenSSL, which takes memory for it. */
Test(tls, may_begin) {
    char record[RECORD_HEAD + TLS_FIRST_BYTES_MAX] = "\x16\x03\x01\x00\xfa";
    for (usize bytes = 0; bytes <= RECORD_HEAD + 250; bytes++) {
        cr_assert_eq(tls_may_begin(record, bytes), bytes == RECORD_HEAD + 250, "%zu", bytes);
    }
    record[3] = 0x3f; /* as long as one may be: not waited for */
    cr_assert(!tls_may_begin(record, TLS_FIRST_BYTES_MAX - 1));
    cr_assert(tls_may_begin(record, TLS_FIRST_BYTES_MAX));
    record[3] = record[4] = 0;
    cr_assert(!tls_may_begin(record, RECORD_HEAD - 1));
    cr_assert(tls_may_begin(record, RECORD_HEAD), "an empty one");
    cr_assert(tls_may_begin("G", 1), "no TLS at all");
    cr_assert(!tls_may_begin("", 0));
}

/* Every byte of a handshake, changed: it may only fail, and says why. */
Test(tls, damaged_handshake, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    usize first_bytes = 1;
    u32 broken = 0;
    for (usize at = 0; at < first_bytes; at += 3) {
        struct pair pair;
        open_pair(&pair, identity, at % 2 == 0 ? TLS_PEER_1_2 : TLS_PEER_1_3, SIZE_MAX);
        tls_peer_shake(pair.peer);
        struct slice first = tls_peer_output(pair.peer);
        first_bytes = first.bytes;
        if (at < first.bytes) {
            ((char *)(uintptr_t)first.data)[at] ^= (char)(1 << at % 8);
            give(&pair, first);
            exchange(&pair);
            cr_assert(!(tls_peer_shake(pair.peer) && pair.established), "byte %zu", at);
            broken += pair.last == TLS_BROKEN;
        }
        close_pair(&pair);
    }
    cr_assert(first_bytes > 100 && broken > 20, "%zu %u", first_bytes, broken);
    tls_identity_close(identity);
}

/* A hello in records of one byte each, which may be as long as it likes. */
Test(tls, endless_handshake, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    struct pair pair;
    open_pair(&pair, identity, TLS_PEER_1_3, SIZE_MAX);
    static const char head[] = "\x16\x03\x01\x00\x06\x01\x00\x40\x00\x03\x03";
    static const char byte[] = "\x16\x03\x01\x00\x01\x07";
    usize given = sizeof head - 1;
    give(&pair, (struct slice){head, sizeof head - 1});
    while (pair.last == TLS_MORE && given < 4 * TLS_HANDSHAKE_BYTES_MAX) {
        give(&pair, (struct slice){byte, sizeof byte - 1});
        given += sizeof byte - 1;
    }
    cr_assert_eq(pair.last, TLS_BROKEN);
    cr_assert_str_eq(tls_why(pair.tls), "the handshake is too long");
    cr_assert(given > TLS_HANDSHAKE_BYTES_MAX && given <= TLS_HANDSHAKE_BYTES_MAX + 16);
    close_pair(&pair);
    tls_identity_close(identity);
}

/* Much text may come with the end of a handshake: it is no part of it. */
Test(tls, text_with_handshake, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    static char many[4 * TLS_HANDSHAKE_BYTES_MAX];
    struct pair pair;
    open_pair(&pair, identity, TLS_PEER_1_3, SIZE_MAX);
    while (!tls_peer_shake(pair.peer)) {
        give(&pair, tls_peer_output(pair.peer));
        tls_peer_input(pair.peer, pair.sent.data, pair.sent.bytes);
        buf_clear(&pair.sent);
    }
    cr_assert(!pair.established);
    tls_peer_put(pair.peer, many, sizeof many);
    give(&pair, tls_peer_output(pair.peer));
    cr_assert(pair.established && pair.text.bytes == sizeof many, "%s", tls_why(pair.tls));
    close_pair(&pair);
    tls_identity_close(identity);
}

/* A second handshake is refused; the connection may go on, or not, but not with new keys. */
Test(tls, renegotiation, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    struct pair pair;
    open_pair(&pair, identity, TLS_PEER_1_2, SIZE_MAX);
    cr_assert(shake(&pair));
    tls_peer_renegotiate(pair.peer);
    struct slice hello = tls_peer_output(pair.peer);
    cr_assert_gt(hello.bytes, 50);
    give(&pair, hello);
    cr_assert_leq(pair.sent.bytes, 64, "an alert, no hello of %zu bytes", pair.sent.bytes);
    cr_assert_gt(pair.sent.bytes, 0);
    close_pair(&pair);
    tls_identity_close(identity);
}

/* New keys on demand, as often as allowed; who demands without reading comes to an end. */
Test(tls, key_updates, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    struct pair pair;
    char got[64];
    open_pair(&pair, identity, TLS_PEER_1_3, SIZE_MAX);
    cr_assert(shake(&pair));
    for (u32 at = 0; at < 3; at++) {
        tls_peer_update_keys(pair.peer);
        tls_peer_put(pair.peer, "a", 1);
        exchange(&pair);
        cr_assert(tls_put(pair.tls, "b", 1));
        exchange(&pair);
        cr_assert_eq(tls_peer_get(pair.peer, got, sizeof got), 1, "%s", tls_peer_why(pair.peer));
    }
    cr_assert_eq(pair.text.bytes, 3);
    pair.room = 64 * KIB;
    for (u32 at = 0; at < 5000 && pair.last == TLS_MORE; at++) {
        tls_peer_update_keys(pair.peer);
        tls_peer_put(pair.peer, "a", 1);
        give(&pair, tls_peer_output(pair.peer));
    }
    cr_assert_leq(pair.sent.bytes, pair.room);
    close_pair(&pair);
    tls_identity_close(identity);
}

/* No room for records: it breaks, at any point of its life. */
Test(tls, no_room, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    struct pair pair;
    open_pair(&pair, identity, TLS_PEER_1_3, SIZE_MAX);
    pair.room = 100;
    cr_assert(!shake(&pair));
    cr_assert_eq(pair.last, TLS_BROKEN);
    close_pair(&pair);
    open_pair(&pair, identity, TLS_PEER_1_3, SIZE_MAX);
    cr_assert(shake(&pair));
    static char many[40000];
    pair.room = 20000;
    cr_assert(!tls_put(pair.tls, many, sizeof many));
    cr_assert(!tls_put(pair.tls, many, 1));
    usize sent = pair.sent.bytes;
    tls_end(pair.tls);
    cr_assert_eq(pair.sent.bytes, sent);
    close_pair(&pair);
    tls_identity_close(identity);
}

Test(tls, protocols, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    static const struct {
        const char *server;
        const char *client;
        bool good;
    } cases[] = {{"http/1.1", NULL, true},
                 {"http/1.1", "http/1.1", true},
                 {"http/1.1", "margin/1", false},
                 {"http/1.1", "http/1.0", false},
                 {"http/1.1", "http/1", false},
                 {NULL, "margin/1", true},
                 {NULL, NULL, true}};
    for (usize at = 0; at < ARRAY_COUNT(cases); at++) {
        struct pair pair = {.piece = SIZE_MAX, .room = SIZE_MAX};
        buf_init(&pair.sent, MIB);
        buf_init(&pair.text, MIB);
        pair.tls = tls_open(identity, cases[at].server, take_records, &pair);
        pair.peer = tls_peer_create(certificate, TLS_PEER_ANY, cases[at].client);
        cr_assert_eq(shake(&pair), cases[at].good, "case %zu", at);
        close_pair(&pair);
    }
    tls_identity_close(identity);
}

static void expect_name(struct tls_identity *identity, const char *name) {
    struct pair pair;
    char shown[32];
    open_pair_with(&pair, identity, NULL, TLS_PEER_ANY, SIZE_MAX);
    cr_assert(shake(&pair));
    tls_peer_server_name(pair.peer, shown, sizeof shown);
    cr_assert_str_eq(shown, name);
    close_pair(&pair);
}

Test(tls, reload, .init = make_files, .fini = remove_files) {
    struct tls_identity *identity = open_identity();
    char why[256] = "";
    i64 expires_s = tls_identity_expires_s(identity);
    cr_assert(llabs(expires_s - (i64)time(NULL) - 30 * 86400) < 60);
    struct pair old;
    open_pair(&old, identity, TLS_PEER_ANY, SIZE_MAX);
    cr_assert(shake(&old));
    expect_name(identity, "first");
    tls_peer_make_certificate(certificate, key, "second", 60);
    cr_assert_eq(tls_identity_reload(identity, why, sizeof why), ERR_OK, "%s", why);
    expect_name(identity, "second");
    cr_assert(tls_identity_expires_s(identity) > expires_s + 86400);
    tls_peer_put(old.peer, "still", 5);
    exchange(&old);
    cr_assert_eq(old.text.bytes, 5);
    tls_peer_make_certificate(certificate, key, "third", -1);
    cr_assert_eq(tls_identity_reload(identity, why, sizeof why), ERR_INVALID);
    cr_assert_not_null(strstr(why, "has expired"), "%s", why);
    char other[80];
    snprintf(other, sizeof other, "%s/other", dir);
    tls_peer_make_certificate(certificate, other, "fourth", 30);
    cr_assert_eq(tls_identity_reload(identity, why, sizeof why), ERR_INVALID);
    cr_assert_not_null(strstr(why, "another certificate"), "%s", why);
    unlink(other);
    cr_assert_eq(truncate(certificate, 100), 0);
    cr_assert_eq(tls_identity_reload(identity, why, sizeof why), ERR_INVALID);
    unlink(certificate);
    cr_assert_eq(tls_identity_reload(identity, why, sizeof why), ERR_INVALID);
    cr_assert_not_null(strstr(why, certificate), "%s", why);
    expect_name(identity, "second");
    close_pair(&old);
    tls_identity_close(identity);
    /* At the start there is nothing to fall back on: what has expired is better than nothing. */
    tls_peer_make_certificate(certificate, key, "fifth", -1);
    identity = open_identity();
    expect_name(identity, "fifth");
    tls_identity_close(identity);
}
