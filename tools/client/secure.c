/*
 * secure.c: see secure.h. The client's only user of OpenSSL. The socket is read and written by a
 * BIO of ours: OpenSSL's own would raise SIGPIPE in whoever links the library.
 */
#include "tools/client/secure.h"

#ifndef INT_MAX /* err.h expects it of <limits.h>, but finds ours */
#define INT_MAX __INT_MAX__
#endif

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define PROTOCOL_BYTES_MAX 32

struct secure_trust {
    SSL_CTX *context;
};

struct secure {
    SSL *ssl;
    int fd;
    short events; /* what the last call waits for */
    bool broken;
};

/* --- the socket ------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *to, int bytes) {
    const struct secure *secure = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = recv(secure->fd, to, (usize)bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        BIO_set_retry_read(bio);
    }
    return (int)got;
}

static int bio_write(BIO *bio, const char *data, int bytes) {
    const struct secure *secure = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(secure->fd, data, (usize)bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void) {
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (bio_method != NULL) {
        BIO_meth_set_read(bio_method, bio_read);
        BIO_meth_set_write(bio_method, bio_write);
        BIO_meth_set_ctrl(bio_method, bio_control);
    }
}

/* --- trust ------------------------------------------------------------------------------------ */

static const char *first_reason(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason != NULL ? reason : strerror(errno);
}

struct secure_trust *secure_trust_open(const char *ca, char *why, usize why_bytes) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    ERR_clear_error();
    struct secure_trust *trust = calloc(1, sizeof *trust);
    SSL_CTX *context =
        trust != NULL && bio_method != NULL ? SSL_CTX_new(TLS_client_method()) : NULL;
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        snprintf(why, why_bytes, "no memory for TLS");
        SSL_CTX_free(context);
        free(trust);
        return NULL;
    }
    trust->context = context;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int good = ca == NULL ? SSL_CTX_set_default_verify_paths(context)
                          : SSL_CTX_load_verify_file(context, ca);
    if (good != 1) {
        snprintf(why, why_bytes, "cannot read certificates from %s: %s",
                 ca != NULL ? ca : "the system", first_reason());
        ERR_clear_error();
        secure_trust_close(trust);
        return NULL;
    }
    if (ca != NULL) { /* the server's own certificate will do, whoever signed it */
        X509_STORE_set_flags(SSL_CTX_get_cert_store(context), X509_V_FLAG_PARTIAL_CHAIN);
    }
    return trust;
}

void secure_trust_close(struct secure_trust *trust) {
    if (trust != NULL) {
        SSL_CTX_free(trust->context);
        free(trust);
    }
}

/* --- a connection ----------------------------------------------------------------------------- */

static bool set_up(struct secure *secure, const char *host, const char *protocol) {
    SSL *ssl = secure->ssl;
    BIO *bio = BIO_new(bio_method);
    if (bio == NULL) {
        return false;
    }
    BIO_set_data(bio, secure);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_connect_state(ssl);
    unsigned char names[PROTOCOL_BYTES_MAX];
    usize bytes = strlen(protocol);
    check(bytes < sizeof names);
    names[0] = (unsigned char)bytes;
    memcpy(names + 1, protocol, bytes);
    if (SSL_set_alpn_protos(ssl, names, (unsigned)bytes + 1) != 0) {
        return false;
    }
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1) {
        return true; /* an address has no place in the hello */
    }
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static i64 now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (i64)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Waits for what OpenSSL wants after `result`; false: it failed, or the time is over. */
static bool wait_ready(struct secure *secure, int result, i64 deadline_ms, bool *late) {
    int error = SSL_get_error(secure->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        return false;
    }
    struct pollfd poll_fd = {.fd = secure->fd,
                             .events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
    for (;;) {
        i64 left = deadline_ms - now_ms();
        int ready = poll(&poll_fd, 1, left > 0 ? (int)MIN(left, 1000000) : 0);
        if (ready > 0) {
            return true;
        }
        if (left <= 0) {
            *late = true;
            return false;
        }
    }
}

/* The certificate is the usual trouble, and then one line must be enough to mend it. */
static void explain(const struct secure *secure, const char *host, char *why, usize why_bytes) {
    long verified = SSL_get_verify_result(secure->ssl);
    unsigned long error = ERR_peek_error();
    switch (verified) {
    case X509_V_OK:
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        snprintf(why, why_bytes,
                 "the server's certificate is not for %s: connect by a name that it names", host);
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(why, why_bytes,
                 "the server's certificate is not trusted (%s): name the CA that signed it, or the "
                 "certificate itself, with --tls-ca FILE",
                 X509_verify_cert_error_string(verified));
        return;
    default:
        snprintf(why, why_bytes, "the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verified));
        return;
    }
    switch (ERR_GET_REASON(error)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        snprintf(why, why_bytes, "what answers there does not speak TLS: try without --tls");
        return;
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
        snprintf(why, why_bytes,
                 "what answers there speaks TLS, but not this protocol: is it the "
                 "right port?");
        return;
    default:
        snprintf(why, why_bytes, "TLS failed: %s", first_reason());
    }
}

struct secure *secure_open(struct secure_trust *trust, int fd, const char *host,
                           const char *protocol, u32 timeout_ms, char *why, usize why_bytes) {
    ERR_clear_error();
    struct secure *secure = calloc(1, sizeof *secure);
    SSL *ssl = secure != NULL ? SSL_new(trust->context) : NULL;
    if (ssl == NULL) {
        snprintf(why, why_bytes, "no memory for TLS");
        free(secure);
        return NULL;
    }
    secure->ssl = ssl;
    secure->fd = fd;
    i64 deadline_ms = now_ms() + timeout_ms;
    bool late = false;
    int result = set_up(secure, host, protocol) ? 0 : 1;
    bool good = result == 0;
    while (good && (result = SSL_do_handshake(ssl)) != 1) {
        good = wait_ready(secure, result, deadline_ms, &late);
    }
    if (good) {
        return secure;
    }
    if (late) {
        snprintf(why, why_bytes, "no TLS handshake within %u ms", timeout_ms);
    } else {
        explain(secure, host, why, why_bytes);
    }
    ERR_clear_error();
    secure->broken = true;
    secure_close(secure);
    return NULL;
}

void secure_close(struct secure *secure) {
    if (secure == NULL) {
        return;
    }
    if (!secure->broken) {
        ERR_clear_error();
        SSL_shutdown(secure->ssl);
        ERR_clear_error();
    }
    SSL_free(secure->ssl);
    free(secure);
}

/* The result of a call that moved no bytes, with errno. */
static ssize_t nothing(struct secure *secure) {
    int error = errno;
    switch (SSL_get_error(secure->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        secure->events = POLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        secure->events = POLLOUT;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        secure->broken = true;
        errno = error != 0 ? error : ECONNRESET;
        return -1;
    default: /* also an end that nobody announced: whoever cut the connection */
        secure->broken = true;
        errno = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? ECONNRESET
                                                                                       : EPROTO;
        ERR_clear_error();
        return -1;
    }
}

ssize_t secure_send(struct secure *secure, const void *data, usize bytes) {
    usize sent = 0;
    ERR_clear_error();
    errno = 0;
    return SSL_write_ex(secure->ssl, data, bytes, &sent) == 1 ? (ssize_t)sent : nothing(secure);
}

ssize_t secure_receive(struct secure *secure, void *into, usize bytes) {
    usize got = 0;
    ERR_clear_error();
    errno = 0;
    return SSL_read_ex(secure->ssl, into, bytes, &got) == 1 ? (ssize_t)got : nothing(secure);
}

short secure_events(const struct secure *secure) {
    return secure->events;
}

bool secure_has_more(const struct secure *secure) {
    return SSL_pending(secure->ssl) > 0;
}
