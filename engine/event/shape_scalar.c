/* shape_scalar.c: shape_match without vectors: four words a piece, without a branch between. */
#include "event/shape.h"

#include <string.h>

static inline bool pieces_differ(const struct shape *shape, const u16 *quote, const char *base) {
    u64 different = 0;
    for (u32 i = 0; i < shape->piece_count; i++) {
        const char *at = base + quote[shape->piece[i].quote] + shape->piece[i].after;
        u64 text[4];
        u64 literal[4];
        u64 mask[4];
        memcpy(text, at, sizeof text);
        memcpy(literal, shape->literal[i], sizeof literal);
        memcpy(mask, shape->mask[i], sizeof mask);
        for (u32 word = 0; word < 4; word++) {
            different |= (text[word] ^ literal[word]) & mask[word];
        }
    }
    return different != 0;
}

#define MATCH_NAME shape_match_scalar
#include "event/shape_match.h"
