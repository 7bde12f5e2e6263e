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
    bool escaped = false;
    for (usize block = 0; block * SCAN_BLOCK < bytes; block++) {
        u64 backslash = 0;
        u64 control = 0;
        u64 high = 0;
        usize from = block * SCAN_BLOCK;
        usize to = MIN(from + SCAN_BLOCK, bytes);
        for (usize i = from; i < to; i++) {
            u8 byte = (u8)data[i];
            u64 bit = (u64)1 << (i - from);
            backslash |= byte == '\\' ? bit : 0;
            control |= byte < 0x20 ? bit : 0;
            high |= byte >= 0x80 ? bit : 0;
            if (byte == '"' && !escaped) {
                out->quote[out->quote_count++] = (u16)i;
            }
            escaped = byte == '\\' && !escaped;
        }
        out->backslash[block] = backslash;
        out->control[block] = control;
        out->high[block] = high;
        out->special[block] = (backslash | control | high) != 0;
        out->any_special |= out->special[block];
    }
}

const struct scan_kernel scan_scalar = {"scalar", text_stop, utf8_prefix, index_window};
