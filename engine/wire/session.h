/*
 * session.h: one connection of the binary protocol as a state machine over bytes: frames are put
 * together, checked, and given to the handlers of a service; replies are gathered and sent. It
 * knows no sockets (a table of functions stands for them), no clocks but that table's, and nothing
 * of what requests mean.
 *
 * Everything runs on the front thread that owns the connection. Replies of one turn are gathered in
 * the server's buffer, so that a thousand pipelined point queries cost one send.
 */
#ifndef MARGIN_WIRE_SESSION_H
#define MARGIN_WIRE_SESSION_H

#include "base/buf.h"
#include "base/pool.h"
#include "wire/frame.h"

/* What a session asks of its connection (net/edge.h says what each means). */
struct wire_io {
    void (*send)(void *conn, const void *data, usize bytes);
    usize (*output_bytes)(const void *conn);
    void (*close_after_send)(void *conn);
    void (*pause)(void *conn);
    void (*resume)(void *conn);
    void (*set_deadline)(void *conn, u64 deadline_ns); /* 0: the idle time-out */
    void (*hold)(void *conn);
    void (*release)(void *conn);
    const char *(*peer)(const void *conn);
    u64 (*monotonic_ns)(void);
    i64 (*wall_ms)(void);
};

#define WIRE_KEY_BYTES_MAX 128

struct wire_session;
struct wire_server;

/* One request; lasts until its handler returns. */
struct wire_call {
    struct wire_session *session;
    u32 request;
    u8 type; /* enum wire_type */
    struct slice payload;
    struct block body; /* the pool block that holds the payload at its start, with at least
                          EVENT_TEXT_PADDING bytes behind; a handler that keeps it sets data to
                          NULL here. No data: the payload lies elsewhere and dies with the call */
    i64 now_ms;        /* wall clock */
};

/* What the requests mean. */
struct wire_service {
    /* The rights of a key that came from `peer`, a numeric address, into *account and *scopes. 0,
     * or the word for what is wrong, with which the session ends: WIRE_UNAUTHORIZED: unknown key,
     * WIRE_GUESSING: as so many before it, WIRE_BUSY: the keys cannot be read now. */
    enum wire_error (*authenticate)(void *context, const char *peer, struct slice key, i64 now_ms,
                                    u32 *account, u32 *scopes);
    bool (*ready)(void *context); /* false while the server recovers: requests get WIRE_BUSY */
    /* By request type; each answers now, or holds the session and answers later. */
    void (*handler[WIRE_REQUESTS])(struct wire_call *call);
    void (*timer)(struct wire_session *session, u64 now_ns); /* wire_session_set_timer() is due */
    void (*closed)(struct wire_session *session);            /* frees session->user */
    void (*server_closed)(struct wire_server *server);       /* frees server->cache */
};

/* One a front thread: what its sessions share. */
struct wire_server {
    const struct wire_service *service;
    void *context; /* the service's */
    void *cache;   /* the service's own memory beside it; NULL at start */
    struct pool *pool;
    const struct wire_io *io;     /* set by the edge's glue */
    struct buf out;               /* replies of the session that is being read */
    struct wire_session *reading; /* NULL: replies are sent at once */
};
void wire_server_init(struct wire_server *server, const struct wire_service *service, void *context,
                      struct pool *pool);
void wire_server_free(struct wire_server *server);

enum wire_state { WIRE_AWAIT_HELLO, WIRE_AWAIT_AUTH, WIRE_OPEN, WIRE_ENDED };

struct wire_session { /* zeroed by whoever makes it */
    struct wire_server *server;
    void *conn;
    enum wire_state state;
    bool gone;    /* the connection is closed: replies go nowhere */
    bool stalled; /* not reading until output or in-flight requests go down */
    u32 in_flight;
    u32 account;
    u32 scopes;
    i64 checked_ms; /* when the key was last found valid */
    void *user;     /* the service's; see closed() */

    /* The frame that is coming in. */
    char head[WIRE_HEADER_BYTES];
    u32 head_bytes;
    struct wire_header header;
    bool in_payload;
    bool discard; /* no memory for this frame: it is skipped and answered WIRE_BUSY */
    struct block body;
    usize body_bytes;

    struct block pending; /* what came while stalled */
    usize pending_bytes;
    u64 frame_deadline_ns; /* a frame that began must end by then; 0: none began */
    u64 timer_ns;
    u8 key_bytes;
    char key[WIRE_KEY_BYTES_MAX];
};

void wire_session_open(struct wire_session *session, struct wire_server *server, void *conn);
void wire_session_receive(struct wire_session *session, const char *data, usize bytes);
/* True while much of a payload is still to come: it may be put at *into without a copy, at most
 * *bytes of it, and wire_session_received() told. Until then the memory stays, unless the session
 * is closed. */
bool wire_session_direct(struct wire_session *session, char **into, usize *bytes);
void wire_session_received(struct wire_session *session, usize bytes);
void wire_session_drained(struct wire_session *session);
void wire_session_expired(struct wire_session *session);
void wire_session_closed(struct wire_session *session);

/* --- for handlers ---------------------------------------------------------------------------- */

/* Room for a reply's payload of at most `payload_bytes_max`; wire_reply_end() must follow before
 * any other reply of the thread is begun. NULL: no memory (answer with wire_reply_error). */
char *wire_reply_begin(struct wire_session *session, usize payload_bytes_max);
void wire_reply_end(struct wire_session *session, u8 type, u32 request, const char *payload_end);
void wire_reply_error(struct wire_session *session, u32 request, enum wire_error code,
                      const char *text);
/* A reply to `call` without payload. */
void wire_reply_empty(const struct wire_call *call);

/* A request that is answered later: the session's memory lasts from begin to end. */
void wire_session_begin(struct wire_session *session);
void wire_session_end(struct wire_session *session);

/* Calls service->timer at that monotonic time; 0: never. */
void wire_session_set_timer(struct wire_session *session, u64 at_ns);

#endif
