/*
 * tls_peer.h: the other side of TLS, for tests: a client in memory that says what it would send, so
 * that a test may deliver it in any pieces, late, twice or never; and certificates, made when a
 * test runs.
 */
#ifndef MARGIN_TESTS_TLS_PEER_H
#define MARGIN_TESTS_TLS_PEER_H

#include "base.h"
#include "base/buf.h"

/* Writes a certificate for localhost and 127.0.0.1, signed by itself, that is good for so many days
 * (negative: it expired so long ago), and its key, as PEM. `name` is its common name. */
void tls_peer_make_certificate(const char *certificate, const char *key, const char *name,
                               int days);

struct tls_peer;

enum tls_peer_version { TLS_PEER_ANY, TLS_PEER_1_2, TLS_PEER_1_3 };

/* `ca`: whom it trusts; NULL: everybody. `protocol`: what it names for ALPN, or NULL. */
struct tls_peer *tls_peer_create(const char *ca, enum tls_peer_version version,
                                 const char *protocol);
void tls_peer_free(struct tls_peer *peer);

/* Bytes of the connection: what it wants sent since the last call (it lasts until the next one),
 * and what came. */
struct slice tls_peer_output(struct tls_peer *peer);
void tls_peer_input(struct tls_peer *peer, const void *data, usize bytes);

/* Goes on with the handshake; true once it is over. */
bool tls_peer_shake(struct tls_peer *peer);
bool tls_peer_failed(const struct tls_peer *peer);
const char *tls_peer_why(const struct tls_peer *peer);
/* The certificate's common name. */
void tls_peer_server_name(const struct tls_peer *peer, char *to, usize to_bytes);
const char *tls_peer_protocol_version(const struct tls_peer *peer);

void tls_peer_put(struct tls_peer *peer, const void *data, usize bytes);
/* How many bytes of text were there; 0: none yet, or tls_peer_has_ended(), or failed. */
usize tls_peer_get(struct tls_peer *peer, void *into, usize bytes);
bool tls_peer_has_ended(const struct tls_peer *peer);

void tls_peer_end(struct tls_peer *peer);
/* TLS 1.3: new keys, and the other side is to do the same. */
void tls_peer_update_keys(struct tls_peer *peer);
/* TLS 1.2: begins a second handshake. */
void tls_peer_renegotiate(struct tls_peer *peer);

#endif
