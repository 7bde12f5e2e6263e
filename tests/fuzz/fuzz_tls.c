/*
 * fuzz_tls.c: the server's side of TLS. Either any bytes from the first one on, in pieces of any
 * size; or a client in memory of whose stream some bytes are changed on the way. Then what the
 * server takes for text must be what the client sent, from its beginning; all of it, if nothing was
 * changed.
 *
 * The input: what to do, the size of the pieces, then the bytes, or changes of three bytes each:
 * where (16 bits) and what to flip.
 */
#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/support/tls_peer.h"

#define TEXT_BYTES 20000

struct server {
    struct tls *tls;
    struct buf sent;
    struct buf text;
    enum tls_answer last;
    usize piece;
};

static struct tls_identity *open_identity(void) {
    char dir[] = "/tmp/margin-fuzz-tls.XXXXXX";
    char certificate[64];
    char key[64];
    char why[256];
    struct tls_identity *identity;
    log_set_level(LOG_ERROR);
    check(mkdtemp(dir) != NULL);
    snprintf(certificate, sizeof certificate, "%s/certificate", dir);
    snprintf(key, sizeof key, "%s/key", dir);
    tls_peer_make_certificate(certificate, key, "fuzz", 30);
    const struct tls_files files = {certificate, key};
    check(tls_identity_open(&files, &identity, why, sizeof why) == ERR_OK);
    unlink(certificate);
    unlink(key);
    rmdir(dir);
    return identity;
}

static bool take_records(void *context, const void *records, usize bytes) {
    struct server *server = context;
    buf_put(&server->sent, records, bytes);
    return !server->sent.failed;
}

static bool is_over(const struct server *server) {
    return server->last >= TLS_ENDED;
}

static void give(struct server *server, const char *data, usize bytes) {
    for (usize at = 0; at < bytes && !is_over(server);) {
        usize part = MIN(server->piece, bytes - at);
        char *exact = malloc(part); /* so that a read past what has come is seen */
        check(exact != NULL);
        memcpy(exact, data + at, part);
        at += part;
        tls_give(server->tls, exact, part);
        do {
            char text[777];
            usize count;
            server->last = tls_take(server->tls, text, sizeof text, &count);
            check((count > 0) == (server->last == TLS_TEXT));
            buf_put(&server->text, text, count);
        } while (server->last == TLS_TEXT || server->last == TLS_ESTABLISHED);
        tls_give(server->tls, NULL, 0);
        free(exact);
    }
}

/* What the client wants sent, with the changes that fall into it. */
static void pass_on(struct server *server, struct tls_peer *peer, usize *passed, const u8 *changes,
                    usize change_count) {
    struct slice out = tls_peer_output(peer);
    for (usize at = 0; at < change_count; at++) {
        usize where = (usize)changes[3 * at] << 8 | changes[3 * at + 1];
        if (where >= *passed && where - *passed < out.bytes) {
            ((char *)(uintptr_t)out.data)[where - *passed] ^= (char)changes[3 * at + 2];
        }
    }
    *passed += out.bytes;
    give(server, out.data, out.bytes);
    tls_peer_input(peer, server->sent.data, server->sent.bytes);
    buf_clear(&server->sent);
}

static void run_peer(struct server *server, enum tls_peer_version version, const u8 *changes,
                     usize change_count) {
    static char text[TEXT_BYTES];
    struct tls_peer *peer = tls_peer_create(NULL, version, "fuzz");
    usize passed = 0;
    for (u32 step = 0; step < 10 && !tls_peer_shake(peer) && !tls_peer_failed(peer); step++) {
        pass_on(server, peer, &passed, changes, change_count);
    }
    bool good = tls_peer_shake(peer);
    for (usize at = 0; at < TEXT_BYTES; at++) {
        text[at] = (char)(at * 131 >> 5);
    }
    for (usize at = 0, part = 1; good && at < TEXT_BYTES; at += part, part = part * 7) {
        part = MIN(part, TEXT_BYTES - at);
        tls_peer_put(peer, text + at, part);
        pass_on(server, peer, &passed, changes, change_count);
    }
    if (good) {
        tls_peer_end(peer);
        pass_on(server, peer, &passed, changes, change_count);
    }
    check(server->text.bytes <= TEXT_BYTES);
    check(server->text.bytes == 0 || memcmp(server->text.data, text, server->text.bytes) == 0);
    check(change_count > 0 || (server->text.bytes == TEXT_BYTES && server->last == TLS_ENDED));
    tls_peer_free(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tls_identity *identity;
    if (identity == NULL) {
        identity = open_identity();
    }
    if (size < 2) {
        return 0;
    }
    struct server server = {.last = TLS_MORE, .piece = data[1] == 0 ? SIZE_MAX : data[1]};
    buf_init(&server.sent, MIB);
    buf_init(&server.text, MIB);
    server.tls = tls_open(identity, "fuzz", take_records, &server);
    check(server.tls != NULL);
    if (data[0] % 4 == 0) {
        give(&server, (const char *)data + 2, size - 2);
        check(server.text.bytes == 0); /* nobody guesses keys */
    } else {
        static const enum tls_peer_version versions[] = {TLS_PEER_ANY, TLS_PEER_1_2, TLS_PEER_1_3};
        run_peer(&server, versions[data[0] % 4 - 1], data + 2, (size - 2) / 3);
    }
    tls_put(server.tls, "answer", 6);
    tls_end(server.tls);
    tls_close(server.tls);
    buf_free(&server.sent);
    buf_free(&server.text);
    return 0;
}
