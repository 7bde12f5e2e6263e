/*
 * json_peer.h: another reader of JSON, to compare ours with: jansson behind names that do not meet
 * ours. Only programs that use it are linked with it.
 */
#ifndef MARGIN_TESTS_JSON_PEER_H
#define MARGIN_TESTS_JSON_PEER_H

#include "base.h"

enum peer_verdict {
    PEER_GOOD,
    PEER_BAD,
    PEER_UNABLE /* a number past what it holds, or a name that an object has twice */
};

enum peer_kind {
    PEER_NONE, /* of NULL */
    PEER_NULL,
    PEER_TRUTH,
    PEER_WHOLE,
    PEER_REAL,
    PEER_TEXT,
    PEER_ARRAY,
    PEER_OBJECT
};

/* The value, to be freed; NULL unless PEER_GOOD. */
void *json_peer_load(struct slice text, enum peer_verdict *verdict);
void json_peer_free(void *value);

enum peer_kind json_peer_kind(const void *value);
bool json_peer_truth(const void *value);
i64 json_peer_whole(const void *value);
double json_peer_real(const void *value); /* of PEER_WHOLE, too */
struct slice json_peer_text(const void *value);
usize json_peer_count(const void *value); /* of members or elements */
const void *json_peer_element(const void *value, usize index);
const void *json_peer_member(const void *value, struct slice name);

#endif
