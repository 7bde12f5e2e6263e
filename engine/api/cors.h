/*
 * cors.h: which web pages of other origins may read answers (the Fetch standard's CORS protocol).
 * Nothing is allowed unless origins are configured. Pure.
 */
#ifndef MARGIN_API_CORS_H
#define MARGIN_API_CORS_H

#include "http/call.h"

/* Whether `list` is a list of origins, separated by commas or blanks: scheme://host[:port], nothing
 * behind it, or "*" alone for every origin. An empty list is good. */
bool cors_is_list(const char *list);

/* Whether the list has this very origin; "*" has none. */
bool cors_names(const char *list, struct slice origin);

/* Adds what a page of another origin must be told to read the answer, and what caches must know. */
void cors_put(struct http_call *call, const char *list);

/* Answers a preflight: what a browser asks before a request it would not send by itself. `methods`
 * are those the path knows. False, and nothing is written: this is no preflight. */
bool cors_preflight(struct http_call *call, const char *list, u32 methods);

#endif
