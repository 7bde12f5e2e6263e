/* http.h: an HTTP client of the simulation: bodies plain, chunked and compressed, requests one
 * after the other without waiting, and an eye for what is in an answer. */
#ifndef MARGIN_TEST_SIM_HTTP_H
#define MARGIN_TEST_SIM_HTTP_H

#include "base.h"

struct http;

struct http *http_make(void);
void http_free(struct http *http);
/* `key` is sent with every request; empty: none. */
bool http_open(struct http *http, u16 port, const char *key, u32 timeout_ms);
bool http_is_open(const struct http *http);
bool http_is_open_for(const struct http *http, const char *key);
void http_close(struct http *http);
/* Queues a request; http_send() sends what is queued. */
void http_put_bare(struct http *http, const char *method, const char *path);
void http_put_body(struct http *http, const char *method, const char *path, const char *body,
                   usize bytes);
bool http_send(struct http *http);
/* False: no whole answer came in time. The body lasts until the next call. */
bool http_receive(struct http *http, u32 *status, struct slice *body);

/* The text behind "name":"; false: there is none. */
bool http_text(struct slice body, const char *name, char *out, usize room);
/* The number behind "name":; false: there is none. */
bool http_number(struct slice body, const char *name, u32 *out);
/* The sum of all of them. */
u64 http_sum(struct slice body, const char *name);
usize http_put_time(char *out, usize room, const char *name, i64 time_ms);

#endif
