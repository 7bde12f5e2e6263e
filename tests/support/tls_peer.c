/* tls_peer.c: see tls_peer.h. The tests' only user of OpenSSL. */
#include "tests/support/tls_peer.h"

#ifndef INT_MAX /* err.h expects it of <limits.h>, but finds ours */
#define INT_MAX __INT_MAX__
#endif

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_S 86400

struct tls_peer {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in;
    BIO *out;
    struct buf output;
    bool failed;
    char why[128];
};

static void put_extension(X509 *certificate, int kind, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    check(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

void tls_peer_make_certificate(const char *certificate, const char *key, const char *name,
                               int days) {
    static long serial = 1;
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *made = X509_new();
    check(pair != NULL && made != NULL);
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made), -1000L * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(made), (long)days * DAY_S);
    X509_set_pubkey(made, pair);
    X509_NAME *subject = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made, subject);
    put_extension(made, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    check(X509_sign(made, pair, EVP_sha256()) > 0);
    FILE *file = fopen(certificate, "we");
    check(file != NULL && PEM_write_X509(file, made) == 1 && fclose(file) == 0);
    file = fopen(key, "we");
    check(file != NULL && fchmod(fileno(file), 0600) == 0 &&
          PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(made);
    EVP_PKEY_free(pair);
}

struct tls_peer *tls_peer_create(const char *ca, enum tls_peer_version version,
                                 const char *protocol) {
    struct tls_peer *peer = calloc(1, sizeof *peer);
    check(peer != NULL);
    buf_init(&peer->output, 256 * MIB);
    peer->context = SSL_CTX_new(TLS_client_method());
    check(peer->context != NULL);
    if (ca != NULL) {
        check(SSL_CTX_load_verify_file(peer->context, ca) == 1);
        SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER, NULL);
    }
    if (version != TLS_PEER_ANY) {
        int number = version == TLS_PEER_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        SSL_CTX_set_min_proto_version(peer->context, number);
        SSL_CTX_set_max_proto_version(peer->context, number);
    }
    peer->ssl = SSL_new(peer->context);
    peer->in = BIO_new(BIO_s_mem());
    peer->out = BIO_new(BIO_s_mem());
    check(peer->ssl != NULL && peer->in != NULL && peer->out != NULL);
    BIO_set_mem_eof_return(peer->in, -1);
    SSL_set_bio(peer->ssl, peer->in, peer->out);
    SSL_set_connect_state(peer->ssl);
    SSL_set1_host(peer->ssl, "localhost");
    SSL_set_tlsext_host_name(peer->ssl, "localhost");
    if (protocol != NULL) {
        unsigned char name[64];
        usize bytes = strlen(protocol);
        name[0] = (unsigned char)bytes;
        memcpy(name + 1, protocol, bytes);
        SSL_set_alpn_protos(peer->ssl, name, (unsigned)bytes + 1);
    }
    return peer;
}

void tls_peer_free(struct tls_peer *peer) {
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    buf_free(&peer->output);
    free(peer);
}

struct slice tls_peer_output(struct tls_peer *peer) {
    char *data;
    long bytes = BIO_get_mem_data(peer->out, &data);
    buf_clear(&peer->output);
    if (bytes > 0) {
        buf_put(&peer->output, data, (usize)bytes);
        (void)BIO_reset(peer->out);
    }
    return buf_slice(&peer->output);
}

void tls_peer_input(struct tls_peer *peer, const void *data, usize bytes) {
    if (bytes > 0) {
        check(BIO_write(peer->in, data, (int)bytes) == (int)bytes);
    }
}

/* After a call that did not do what was asked. */
static void look(struct tls_peer *peer, int result) {
    int error = SSL_get_error(peer->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN && !peer->failed) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        snprintf(peer->why, sizeof peer->why, "%s", reason != NULL ? reason : "?");
        peer->failed = true;
    }
    ERR_clear_error();
}

bool tls_peer_shake(struct tls_peer *peer) {
    ERR_clear_error();
    int result = SSL_do_handshake(peer->ssl);
    if (result != 1) {
        look(peer, result);
    }
    return result == 1;
}

bool tls_peer_failed(const struct tls_peer *peer) {
    return peer->failed;
}

const char *tls_peer_why(const struct tls_peer *peer) {
    return peer->why;
}

void tls_peer_server_name(const struct tls_peer *peer, char *to, usize to_bytes) {
    X509 *certificate = SSL_get0_peer_certificate(peer->ssl);
    to[0] = 0;
    if (certificate != NULL) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, to,
                                  (int)to_bytes);
    }
}

const char *tls_peer_protocol_version(const struct tls_peer *peer) {
    return SSL_get_version(peer->ssl);
}

void tls_peer_put(struct tls_peer *peer, const void *data, usize bytes) {
    usize put = 0;
    ERR_clear_error();
    check(SSL_write_ex(peer->ssl, data, bytes, &put) == 1 && put == bytes);
}

usize tls_peer_get(struct tls_peer *peer, void *into, usize bytes) {
    usize got = 0;
    ERR_clear_error();
    if (SSL_read_ex(peer->ssl, into, bytes, &got) != 1) {
        look(peer, 0);
        return 0;
    }
    return got;
}

bool tls_peer_has_ended(const struct tls_peer *peer) {
    return (SSL_get_shutdown(peer->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void tls_peer_end(struct tls_peer *peer) {
    SSL_shutdown(peer->ssl);
    ERR_clear_error();
}

void tls_peer_update_keys(struct tls_peer *peer) {
    check(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
    SSL_do_handshake(peer->ssl);
    ERR_clear_error();
}

void tls_peer_renegotiate(struct tls_peer *peer) {
    check(SSL_renegotiate(peer->ssl) == 1);
    SSL_do_handshake(peer->ssl);
    ERR_clear_error();
}
