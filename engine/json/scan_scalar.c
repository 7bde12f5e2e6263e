/*
 * scan_scalar.c: the reference kernel: one byte at a time, written to be read. The vector kernels
 * are tested against it.
 */
#include "json/scan.h"

#include <string.h>

#include "base/utf8.h"

static const char *text_stop(const char *at, const char *end, bool *high) {
    for (; at < end; at++) {
        u8 byte = (u8)*at;
        if (byte == '"' || byte == '\\' || byte < 0x20) {
            break;
        }
        if (byte >= 0x80) {
            *high = true;
        }
    }
    return at;
}

static void index_window(const char *data, usize bytes, struct scan_window *out) {
    check(bytes <= SCAN_WINDOW_MAX);
    memset(out->special, 0, sizeof out->special);
    out->bytes = (u32)bytes;
    out->quote_count = 0;
    out->any_special = false;
    bool inside = false;
    bool escaped = false;
    for (usize i = 0; i < bytes; i++) {
        u8 byte = (u8)data[i];
        if (byte == '"' && !escaped) {
            out->quote[out->quote_count++] = (u16)i;
            inside = !inside;
        }
        if (byte == '\\' || byte >= 0x80 || (byte < 0x20 && inside)) {
            out->special[i / SCAN_BLOCK] |= (u64)1 << i % SCAN_BLOCK;
            out->any_special = true;
        }
        escaped = byte == '\\' && !escaped;
    }
}

const struct scan_kernel scan_scalar = {"scalar", text_stop, utf8_prefix, index_window};
