/* ctl.c: see ctl.h. */
#include "tools/marginctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json/time.h"

static void say(const char *format, va_list args) {
    fputs("marginctl: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int ctl_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return 1;
}

int ctl_usage(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    return 2;
}

struct margin_client *ctl_connect(const struct ctl_options *options) {
    char key[SETTINGS_KEY_MAX];
    char why[512];
    if (!settings_find_key(options->key, options->data_dir, key, why, sizeof why)) {
        ctl_fail("%s", why);
        return NULL;
    }
    struct margin_options to = {.host = options->server.host,
                                .port = options->server.port,
                                .key = key,
                                .tls = options->server.tls,
                                .tls_ca = options->tls_ca};
    struct margin_client *client;
    if (margin_connect(&to, &client, why, sizeof why) != MARGIN_OK) {
        ctl_fail("%s", why);
        return NULL;
    }
    return client;
}

bool ctl_statistic(struct margin_client *client, const char *wanted, u64 *out) {
    struct margin_stats stats;
    struct slice name;
    u64 value;
    if (margin_get_stats(client, &stats) != MARGIN_OK) {
        ctl_fail("%s", margin_error_text(client));
        return false;
    }
    *out = 0;
    while (stats.count-- > 0 && margin_stats_next(&stats, &name, &value)) {
        if (name.bytes == strlen(wanted) && memcmp(name.data, wanted, name.bytes) == 0) {
            *out = value;
        }
    }
    return true;
}

/* value / 10^scale in full. */
static char *put_decimal(char *to, u128 value, u32 scale) {
    char digits[48];
    u32 count = 0;
    do {
        digits[count++] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value > 0 || count <= scale);
    while (count > 0) {
        if (count == scale) {
            *to++ = '.';
        }
        *to++ = digits[--count];
    }
    return to;
}

static u128 magnitude(i128 value) {
    return value < 0 ? -(u128)value : (u128)value;
}

const char *ctl_money(i128 pico, char out[CTL_MONEY_BYTES]) {
    u128 micro = (magnitude(pico) + 500000) / 1000000;
    char *to = out;
    if (pico < 0 && micro > 0) {
        *to++ = '-';
    }
    *put_decimal(to, micro, 6) = 0;
    return out;
}

const char *ctl_money_exact(i128 pico, char out[CTL_MONEY_BYTES]) {
    char *to = out;
    if (pico < 0) {
        *to++ = '-';
    }
    to = put_decimal(to, magnitude(pico), 12);
    while (to[-1] == '0') {
        to--;
    }
    to -= to[-1] == '.';
    *to = 0;
    return out;
}

const char *ctl_percent(const struct margin_figures *figures, char out[CTL_MONEY_BYTES]) {
    i64 percent;
    if (!margin_figures_percent(figures, &percent)) {
        return "-";
    }
    snprintf(out, CTL_MONEY_BYTES, "%lld%%", (long long)percent);
    return out;
}

const char *ctl_count(u64 value, char out[CTL_MONEY_BYTES]) {
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    char *to = out;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = 0;
    return out;
}

const char *ctl_time(i64 ms, char out[CTL_MONEY_BYTES]) {
    time_format(ms, out);
    out[TIME_TEXT_BYTES] = 0;
    return out;
}

/* Bytes of the character at `at`; texts are UTF-8 already. */
static usize char_bytes(struct slice text, usize at) {
    usize bytes = 1;
    while (at + bytes < text.bytes && ((u8)text.data[at + bytes] & 0xc0) == 0x80) {
        bytes++;
    }
    return MIN(bytes, (usize)4);
}

int ctl_text(struct slice text, int columns, char *out) {
    int used = 0;
    int cut = 0; /* columns and bytes that fit before "..." */
    char *cut_to = out;
    char *to = out;
    usize at = 0;
    while (at < text.bytes && used < columns) {
        usize bytes = char_bytes(text, at);
        u8 first = (u8)text.data[at];
        bool control = first < 0x20 || first == 0x7f ||
                       (first == 0xc2 && bytes == 2 && (u8)text.data[at + 1] < 0xa0);
        if (control) {
            *to++ = '?';
        } else {
            memcpy(to, text.data + at, bytes);
            to += bytes;
        }
        at += bytes;
        used++;
        if (used + 3 <= columns) {
            cut = used;
            cut_to = to;
        }
    }
    if (at < text.bytes && columns > 3) {
        memcpy(cut_to, "...", 3);
        to = cut_to + 3;
        used = cut + 3;
    }
    *to = 0;
    return used;
}
