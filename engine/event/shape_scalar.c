/* shape_scalar.c: shape_match without vectors. */
#include "base.h"

static inline bool literal_differs(const char *at, const char *literal, u32 bytes) {
    return __builtin_memcmp(at, literal, bytes) != 0;
}

#define MATCH_NAME shape_match_scalar
#include "event/shape_match.h"
