/*
 * fuzz_number.c: any bytes as a number: the scan, the exact reading and the short forms must agree
 * with each other, and scaling must commute with shifting the decimal point.
 */
#include <stdlib.h>
#include <string.h>

#include "json/number.h"
#include "json/time.h"

/* What a short form read: `bytes` of text that are a number, and no digit behind it. */
static void check_begin(const char *text, usize bytes, u32 scale, i64 quick) {
    i64 slow;
    if (bytes > 0) {
        check(number_scan(text, text + bytes) == bytes && (u8)(text[bytes] - '0') > 9);
        check(number_scale((struct slice){text, bytes}, scale, NUMBER_EXACT, &slow) == ERR_OK);
        check(quick == slow);
    }
}

static void check_short(const char *text, usize bytes, u32 scale) {
    char padded[32];
    if (bytes > 16) {
        return;
    }
    memset(padded, scale % 2 == 0 ? '7' : ',', sizeof padded);
    memcpy(padded, text, bytes);
    i64 quick;
    i64 slow;
    if (number_scale_short(padded, bytes, scale, &quick)) {
        check(number_scan(text, text + bytes) == bytes);
        check(number_scale((struct slice){text, bytes}, scale, NUMBER_EXACT, &slow) == ERR_OK);
        check(quick == slow && !number_is_negative((struct slice){text, bytes}));
    }
    if (bytes > 0 && bytes <= 8 && number_whole8(padded, bytes, &quick)) {
        check(number_scale((struct slice){text, bytes}, 0, NUMBER_EXACT, &slow) == ERR_OK);
        check(quick == slow);
    }
    usize begin = number_whole_short(padded, &quick);
    check_begin(padded, begin, 0, quick);
    begin = number_decimal_short(padded, scale, &quick);
    check_begin(padded, begin, scale, quick);
}

static void check_scaling(struct slice text, u32 scale) {
    i64 even = 0;
    i64 up = 0;
    i64 exact = 0;
    enum err even_err = number_scale(text, scale, NUMBER_HALF_EVEN, &even);
    enum err up_err = number_scale(text, scale, NUMBER_HALF_UP, &up);
    enum err exact_err = number_scale(text, scale, NUMBER_EXACT, &exact);
    check(even_err != ERR_INVALID && up_err != ERR_INVALID);
    if (exact_err == ERR_OK) {
        check(even_err == ERR_OK && up_err == ERR_OK && even == exact && up == exact);
    }
    if (even_err == ERR_OK && up_err == ERR_OK && even != up) {
        /* Only a half is rounded differently, and half up goes away from zero. */
        check(exact_err == ERR_INVALID && even % 2 == 0);
        check(up == even + (number_is_negative(text) ? -1 : 1));
    }
    check(even_err != ERR_OK || even == 0 || (even < 0) == number_is_negative(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    u32 scale = data[0] % (NUMBER_SCALE_MAX + 1);
    char *text = malloc(size);
    check(text != NULL);
    memcpy(text, data + 1, size - 1);
    usize bytes = size - 1;
    usize scanned = number_scan(text, text + bytes);
    check(scanned <= bytes);
    if (scanned > 0) {
        check_scaling((struct slice){text, scanned}, scale);
    }
    check_short(text, bytes, scale);
    i64 ms;
    if (time_parse((struct slice){text, bytes}, &ms)) {
        char out[TIME_TEXT_BYTES];
        i64 back;
        time_format(ms, out);
        check(!time_parse((struct slice){out, sizeof out}, &back) || back == ms || out[0] == '0' ||
              out[0] == '9');
    }
    free(text);
    return 0;
}
