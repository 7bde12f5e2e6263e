/*
 * docs.h: what the server says of itself: GET /openapi.json, /docs and /llms.txt. Made once at
 * start, from the route table and the schemas; afterwards only read, by all threads.
 */
#ifndef MARGIN_API_DOCS_H
#define MARGIN_API_DOCS_H

#include "base/buf.h"

struct docs {
    struct buf openapi; /* JSON */
    struct buf page;    /* HTML, with that document in it */
    struct buf text;    /* for readers of plain text, and language models */
};

/* ERR_NO_MEMORY; ERR_CORRUPT: a schema file is not JSON. Free it in any case. */
enum err docs_make(struct docs *docs);
void docs_free(struct docs *docs);

#endif
