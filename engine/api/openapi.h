/* openapi.h: the description of the API as an OpenAPI 3.1 document, made from the route table. */
#ifndef MARGIN_API_OPENAPI_H
#define MARGIN_API_OPENAPI_H

#include "api/routes.h"
#include "api/schemas.h"
#include "base/buf.h"

/* Appends the document; out->failed if there was no room for it. */
void openapi_write(const struct schemas *schemas, struct buf *out);

const char *openapi_method_text(enum http_method method); /* "GET" */
/* The scope's name; "any credential" and "public" for those that are none. */
const char *openapi_scope_text(u32 scope);

#endif
