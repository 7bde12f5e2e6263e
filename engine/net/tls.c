/*
 * tls.c: see tls.h. The only user of OpenSSL's TLS. OpenSSL reads and writes through a BIO of ours
 * instead of its memory BIOs: it takes records from where the ring put them and hands its own
 * straight to the connection's output, so there is no buffer between that grows.
 */
#include "net/tls.h"

#ifndef INT_MAX /* err.h expects it of <limits.h>, but finds ours */
#define INT_MAX __INT_MAX__
#endif

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "limits.h"

/* Of TLS 1.2; 1.3 has none that would have to be left out. */
#define SUITES "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS "X25519:P-256:P-384"
#define SECURITY_LEVEL 2 /* 112 bits: RSA keys of 2048 bits, SHA-2 */

#define RECORD_HANDSHAKE 0x16
#define CLIENT_HELLO 1
#define RECORD_HEAD_BYTES 5
#define FIRST_BYTES 9 /* a record's head and that of the message in it (4) */

struct tls_identity {
    char *certificate_path;
    char *key_path;
    pthread_mutex_t lock; /* of what follows */
    SSL_CTX *context;     /* counts its references */
    i64 expires_s;
};

struct tls {
    struct tls_identity *identity;
    SSL *ssl; /* NULL until there is something to read */
    tls_emit emit;
    void *context;
    const char *protocol;
    struct slice input; /* not read yet */
    bool established;
    bool ended; /* tls_end() */
    bool broken;
    bool over; /* broken, or the peer has ended */
    const char *why;
    usize handshake_bytes; /* read before it was established */
    u32 first_count;
    u8 first[FIRST_BYTES];
};

/* --- OpenSSL's way to our bytes --------------------------------------------------------------- */

static int bio_read(BIO *bio, char *to, int bytes) {
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->input.bytes == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    usize count = MIN((usize)bytes, tls->input.bytes);
    if (!tls->established) { /* text that came with its end does not count */
        tls->handshake_bytes += count;
        if (tls->handshake_bytes > TLS_HANDSHAKE_BYTES_MAX) {
            return -1;
        }
    }
    memcpy(to, tls->input.data, count);
    tls->input.data += count;
    tls->input.bytes -= count;
    return (int)count;
}

static int bio_write(BIO *bio, const char *data, int bytes) {
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return tls->emit(tls->context, data, (usize)bytes) ? bytes : -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void) {
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    if (bio_method != NULL) {
        BIO_meth_set_read(bio_method, bio_read);
        BIO_meth_set_write(bio_method, bio_write);
        BIO_meth_set_ctrl(bio_method, bio_control);
    }
}

/* --- who the server is ------------------------------------------------------------------------ */

/* A client that names protocols and not ours means somebody else, or was led here by a third. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                           const unsigned char *in, unsigned int in_bytes, void *unused) {
    (void)unused;
    const struct tls *tls = SSL_get_app_data(ssl);
    if (tls->protocol == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    usize bytes = strlen(tls->protocol);
    for (usize at = 0; at < in_bytes; at += (usize)in[at] + 1) {
        if (in[at] == bytes && memcmp(in + at + 1, tls->protocol, bytes) == 0) {
            *out = in + at + 1;
            *out_bytes = (unsigned char)bytes;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL would ask the terminal. */
static int no_passphrase(char *to, int bytes, int writing, void *asked) {
    (void)to;
    (void)bytes;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static const char *first_reason(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason != NULL ? reason : "unknown";
}

/* The same for the usual mistakes with files. */
static const char *why_not(void) {
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    switch (ERR_GET_LIB(error)) {
    case ERR_LIB_PEM:
        return reason == PEM_R_NO_START_LINE ? "there is none in it" : first_reason();
    case ERR_LIB_X509:
        return reason == X509_R_KEY_TYPE_MISMATCH || reason == X509_R_KEY_VALUES_MISMATCH
                   ? "it is another certificate's"
                   : first_reason();
    case ERR_LIB_SSL:
        return reason == SSL_R_NO_CERTIFICATE_ASSIGNED ? "it is another certificate's"
                                                       : first_reason();
    case ERR_LIB_OSSL_DECODER:
        return "there is none in it";
    default:
        return first_reason();
    }
}

static SSL_CTX *make_context(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return NULL;
    }
    SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* An idle connection keeps no buffers: 34 KiB less. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, SUITES) != 1 ||
        SSL_CTX_set1_groups_list(context, GROUPS) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* OpenSSL's words for a file that is not there are no good. */
static enum err look_at_file(const char *path, bool secret, char *why, usize why_bytes) {
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool good = file >= 0 && fstat(file, &info) == 0;
    if (!good) {
        snprintf(why, why_bytes, "cannot read %s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        snprintf(why, why_bytes, "%s is no file", path);
        good = false;
    } else if (secret && (info.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
        log_warn("tls_key_is_open", "file=\"%s\" mode=%04o action=\"chmod 600 the file\"", path,
                 (unsigned)info.st_mode & 07777);
    }
    if (file >= 0) {
        close(file);
    }
    return good ? ERR_OK : ERR_INVALID;
}

static i64 expiry_of(const SSL_CTX *context) {
    struct tm time = {0};
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) {
        return 0;
    }
    return timegm(&time);
}

/* The files' certificate and key, if they belong together. */
static enum err load(const struct tls_identity *identity, SSL_CTX **out, char *why,
                     usize why_bytes) {
    enum err err = look_at_file(identity->certificate_path, false, why, why_bytes);
    if (err == ERR_OK) {
        err = look_at_file(identity->key_path, true, why, why_bytes);
    }
    if (err != ERR_OK) {
        return err;
    }
    ERR_clear_error();
    SSL_CTX *context = make_context();
    if (context == NULL) {
        snprintf(why, why_bytes, "cannot set up TLS: %s", first_reason());
        return ERR_NO_MEMORY;
    }
    bool asked = false;
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
    bool certified = SSL_CTX_use_certificate_chain_file(context, identity->certificate_path) == 1;
    if (certified &&
        SSL_CTX_use_PrivateKey_file(context, identity->key_path, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(context) == 1) {
        SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
        *out = context;
        return ERR_OK;
    }
    snprintf(why, why_bytes, "cannot use the %s in %s: %s", certified ? "key" : "certificate",
             certified ? identity->key_path : identity->certificate_path,
             asked ? "it has a passphrase" : why_not());
    ERR_clear_error();
    SSL_CTX_free(context);
    return ERR_INVALID;
}

static void format_time(i64 seconds, char *to, usize to_bytes) {
    struct tm time;
    time_t at = (time_t)seconds;
    if (gmtime_r(&at, &time) == NULL || strftime(to, to_bytes, "%FT%TZ", &time) == 0) {
        snprintf(to, to_bytes, "unknown");
    }
}

enum err tls_identity_open(const struct tls_files *files, struct tls_identity **out, char *why,
                           usize why_bytes) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    struct tls_identity *identity = calloc(1, sizeof *identity);
    if (identity != NULL) {
        pthread_mutex_init(&identity->lock, NULL); /* cannot fail */
        identity->certificate_path = strdup(files->certificate);
        identity->key_path = strdup(files->key);
    }
    if (identity == NULL || identity->certificate_path == NULL || identity->key_path == NULL ||
        bio_method == NULL) {
        tls_identity_close(identity);
        snprintf(why, why_bytes, "no memory");
        return ERR_NO_MEMORY;
    }
    enum err err = load(identity, &identity->context, why, why_bytes);
    if (err != ERR_OK) {
        tls_identity_close(identity);
        return err;
    }
    identity->expires_s = expiry_of(identity->context);
    if (identity->expires_s <= time(NULL)) {
        char expired[32];
        format_time(identity->expires_s, expired, sizeof expired);
        log_warn("tls_certificate_expired", "file=\"%s\" expired=%s", files->certificate, expired);
    }
    *out = identity;
    return ERR_OK;
}

enum err tls_identity_reload(struct tls_identity *identity, char *why, usize why_bytes) {
    SSL_CTX *fresh = NULL;
    enum err err = load(identity, &fresh, why, why_bytes);
    if (err != ERR_OK) {
        return err;
    }
    i64 expires_s = expiry_of(fresh);
    if (expires_s <= time(NULL)) {
        char expired[32];
        format_time(expires_s, expired, sizeof expired);
        snprintf(why, why_bytes, "the certificate in %s has expired on %s",
                 identity->certificate_path, expired);
        SSL_CTX_free(fresh);
        return ERR_INVALID;
    }
    pthread_mutex_lock(&identity->lock);
    SSL_CTX *old = identity->context;
    identity->context = fresh;
    identity->expires_s = expires_s;
    pthread_mutex_unlock(&identity->lock);
    SSL_CTX_free(old); /* the connections under way hold theirs */
    return ERR_OK;
}

i64 tls_identity_expires_s(struct tls_identity *identity) {
    pthread_mutex_lock(&identity->lock);
    i64 expires_s = identity->expires_s;
    pthread_mutex_unlock(&identity->lock);
    return expires_s;
}

void tls_identity_close(struct tls_identity *identity) {
    if (identity == NULL) {
        return;
    }
    SSL_CTX_free(identity->context);
    pthread_mutex_destroy(&identity->lock);
    free(identity->certificate_path);
    free(identity->key_path);
    free(identity);
}

/* --- a connection ----------------------------------------------------------------------------- */

struct tls *tls_open(struct tls_identity *identity, const char *protocol, tls_emit emit,
                     void *context) {
    struct tls *tls = malloc(sizeof *tls);
    if (tls != NULL) {
        *tls = (struct tls){.identity = identity,
                            .emit = emit,
                            .context = context,
                            .protocol = protocol,
                            .why = "nothing"};
    }
    return tls;
}

static bool make_ssl(struct tls *tls) {
    BIO *bio = BIO_new(bio_method);
    pthread_mutex_lock(&tls->identity->lock);
    SSL *ssl = SSL_new(tls->identity->context);
    pthread_mutex_unlock(&tls->identity->lock);
    if (bio == NULL || ssl == NULL || SSL_set_app_data(ssl, tls) != 1) {
        ERR_clear_error();
        BIO_free(bio);
        SSL_free(ssl);
        return false;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    tls->ssl = ssl;
    return true;
}

void tls_close(struct tls *tls) {
    if (tls != NULL) {
        SSL_free(tls->ssl);
        free(tls);
    }
}

static usize record_bytes(const u8 *head) {
    return (usize)head[3] << 8 | head[4];
}

bool tls_may_begin(const char *data, usize bytes) {
    const u8 *head = (const u8 *)data;
    if (bytes < RECORD_HEAD_BYTES) {
        return bytes > 0 && head[0] != RECORD_HANDSHAKE;
    }
    return head[0] != RECORD_HANDSHAKE ||
           bytes >= MIN(RECORD_HEAD_BYTES + record_bytes(head), (usize)TLS_FIRST_BYTES_MAX);
}

/* Looks at the first message's head before OpenSSL does: it believes what is said there of the
 * message's length, and takes memory for it. TLS_MORE: so far it is good. */
static enum tls_answer look_at_first(struct tls *tls, const char *data, usize bytes) {
    u8 *first = tls->first;
    while (tls->first_count < FIRST_BYTES && bytes > 0) {
        first[tls->first_count++] = (u8)*data++;
        bytes--;
    }
    if (tls->first_count > 0 && first[0] != RECORD_HANDSHAKE) {
        tls->why = "what came is not TLS";
        return TLS_PLAIN;
    }
    if (tls->first_count < FIRST_BYTES) {
        return TLS_MORE;
    }
    usize message = (usize)first[6] << 16 | (usize)first[7] << 8 | first[8];
    if (record_bytes(first) < 4 || first[5] != CLIENT_HELLO || message > TLS_HELLO_BYTES_MAX) {
        tls->why = "the first message is no hello of a client";
        return TLS_BROKEN;
    }
    return TLS_MORE;
}

void tls_give(struct tls *tls, const char *data, usize bytes) {
    tls->input = (struct slice){data, bytes};
}

/* After a call to OpenSSL that did not do what was asked. */
static enum tls_answer explain(struct tls *tls, int result) {
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        tls->over = true;
        return TLS_ENDED;
    default:
        break;
    }
    unsigned long error = ERR_peek_error();
    const char *reason = ERR_reason_error_string(error);
    tls->why = reason != NULL                                   ? reason
               : tls->handshake_bytes > TLS_HANDSHAKE_BYTES_MAX ? "the handshake is too long"
                                                                : "no room for what must be sent";
    tls->broken = tls->over = true;
    ERR_clear_error();
    return TLS_BROKEN;
}

static enum tls_answer shake_hands(struct tls *tls) {
    enum tls_answer answer = look_at_first(tls, tls->input.data, tls->input.bytes);
    if (answer == TLS_MORE && tls->ssl == NULL && !make_ssl(tls)) {
        tls->why = "no memory";
        answer = TLS_BROKEN;
    }
    if (answer != TLS_MORE) {
        tls->broken = tls->over = true;
        return answer;
    }
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        tls->established = true;
        return TLS_ESTABLISHED;
    }
    return explain(tls, result);
}

enum tls_answer tls_take(struct tls *tls, char *into, usize bytes_max, usize *bytes) {
    *bytes = 0;
    if (tls->over) { /* after its goodbye a peer is ignored: RFC 8446, 6.1 */
        return tls->broken ? TLS_BROKEN : TLS_ENDED;
    }
    if (tls->input.bytes == 0 && (tls->ssl == NULL || SSL_has_pending(tls->ssl) == 0)) {
        return TLS_MORE; /* OpenSSL takes long to find that out */
    }
    ERR_clear_error();
    if (!tls->established) {
        return shake_hands(tls);
    }
    int result = SSL_read_ex(tls->ssl, into, bytes_max, bytes);
    return result == 1 ? TLS_TEXT : explain(tls, result);
}

bool tls_put(struct tls *tls, const char *data, usize bytes) {
    if (!tls->established || tls->ended || tls->broken) {
        return false;
    }
    ERR_clear_error();
    usize put = 0;
    if (SSL_write_ex(tls->ssl, data, bytes, &put) == 1) {
        check(put == bytes);
        return true;
    }
    explain(tls, 0);
    return false;
}

void tls_end(struct tls *tls) {
    if (tls->established && !tls->ended && !tls->broken) {
        tls->ended = true;
        ERR_clear_error();
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
}

const char *tls_why(const struct tls *tls) {
    return tls->why;
}
