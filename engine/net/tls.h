/*
 * tls.h: TLS 1.3 and 1.2 (RFC 8446, RFC 5246) between a connection's bytes and its protocol:
 * records in, text out, and the other way. It owns no socket and no queue, so it works the same on
 * both edges: the connection gives what came, takes text until there is no more, and gets records
 * to send through a function of its own.
 *
 * Refused: versions before 1.2, renegotiation, compression, early data, suites without forward
 * secrecy or authenticated encryption, a first message larger than any client's. Resumption is by
 * ticket; the server remembers no session.
 *
 * Thread rule: a struct tls belongs to its edge's thread; a struct tls_identity to all.
 */
#ifndef MARGIN_NET_TLS_H
#define MARGIN_NET_TLS_H

#include "base.h"

#define TLS_TEXT_BYTES (16 * KIB) /* the text of a record is no longer */

/* --- who the server is ------------------------------------------------------------------------ */

struct tls_files {           /* PEM; they may be the same */
    const char *certificate; /* with the chain behind it */
    const char *key;
};

/* A certificate and its key, as they are in force. */
struct tls_identity;

/* ERR_INVALID (a file cannot be read or used; `why` is one line that names it), ERR_NO_MEMORY. A
 * certificate that has expired and a key that others may read are taken, with a warning. */
enum err tls_identity_open(const struct tls_files *files, struct tls_identity **out, char *why,
                           usize why_bytes);
/* Reads the files again, for connections that begin from now on. On an error, and if the new
 * certificate has expired, what was in force stays. Any thread. */
enum err tls_identity_reload(struct tls_identity *identity, char *why, usize why_bytes);
/* When the certificate in force expires, in seconds since 1970. Any thread. */
i64 tls_identity_expires_s(struct tls_identity *identity);
/* NULL is fine. Connections that are open keep what they need. */
void tls_identity_close(struct tls_identity *identity);

/* --- a connection ----------------------------------------------------------------------------- */

struct tls;

/* Takes records to send; false: there is no room. Called from inside the functions below. */
typedef bool (*tls_emit)(void *context, const void *records, usize bytes);

/* `protocol` is the name for ALPN (RFC 7301): a client that names protocols must name it; NULL: any
 * goes. Small, and stays so until the first tls_take() that has something to read: a handshake
 * under way takes 45 KiB, an established connection 16. NULL: no memory. */
struct tls *tls_open(struct tls_identity *identity, const char *protocol, tls_emit emit,
                     void *context);
void tls_close(struct tls *tls); /* NULL is fine */
/* Whether `data`, all that a client has sent, is enough to begin with: a first record that is
 * whole, or will not be a good one, or is larger than others. Less can wait where it is. */
bool tls_may_begin(const char *data, usize bytes);

enum tls_answer {
    TLS_MORE,        /* all is used; give more */
    TLS_TEXT,        /* some text; take again */
    TLS_ESTABLISHED, /* the handshake is over: text may come and go; take again */
    TLS_ENDED,       /* the peer sends no more, but may still read; what comes is ignored */
    TLS_PLAIN,       /* the peer does not speak TLS; nothing was sent */
    TLS_BROKEN       /* tls_why(); an alert was sent, if one is due */
};

/* What came; it must stay where it is until tls_take() answers something else than the two that say
 * "take again", or other bytes are given. */
void tls_give(struct tls *tls, const char *data, usize bytes);
/* At most `bytes_max` bytes of text. After the last three answers nothing more comes. */
enum tls_answer tls_take(struct tls *tls, char *into, usize bytes_max, usize *bytes);
/* Makes records of all the text. False: no room or no memory, or the connection is not established;
 * it is of no more use. */
bool tls_put(struct tls *tls, const char *data, usize bytes);
/* Tells the peer, once, that no more comes. */
void tls_end(struct tls *tls);
/* Why it broke, in words; static or of the connection. */
const char *tls_why(const struct tls *tls);

#endif
