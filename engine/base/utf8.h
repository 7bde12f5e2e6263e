/* utf8.h: where well-formed UTF-8 ends, a byte at a time; json/scan.h does it with vectors. */
#ifndef MARGIN_BASE_UTF8_H
#define MARGIN_BASE_UTF8_H

#include "base.h"

/* How many bytes from the start are whole, valid UTF-8 sequences; `bytes` if all are. Refuses
 * overlong forms, surrogates and code points past U+10FFFF. */
usize utf8_prefix(const char *data, usize bytes);

static inline bool utf8_is_good(struct slice text) {
    return utf8_prefix(text.data, text.bytes) == text.bytes;
}

#endif
