/* http.h: requests to one HTTP server over one connection that is kept (libcurl). */
#ifndef MARGIN_RACE_HTTP_H
#define MARGIN_RACE_HTTP_H

#include "base.h"

struct http;

/* `header` is one line of the requests' own, or NULL. NULL: failed, and said so. */
struct http *http_open(const char *header);
void http_close(struct http *http);
/* True for an answer of status 200; its body, NUL at the end, is http_body(). */
bool http_post(struct http *http, const char *url, const char *bytes, usize count);
char *http_body(struct http *http);

#endif
