/*
 * number_model.c: random decimals against long-hand arithmetic: the oracle keeps mantissa and power
 * of ten apart in 128 bits and divides with remainder. Also the writer: what json_decimal prints
 * must read back to the same integer.
 */
#include "json/number.h"
#include "json/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static u64 random_state;

static u64 random_next(void) {
    random_state += 0x9e3779b97f4a7c15u;
    u64 z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static u32 pick(u32 bound) {
    return (u32)(random_next() % bound);
}

/* mantissa * 10^power, at most 24 digits. */
struct decimal {
    u128 mantissa;
    i32 power;
    bool negative;
};

static char text[96];
static usize text_bytes;

static void put(char c) {
    check(text_bytes < sizeof text);
    text[text_bytes++] = c;
}

/* Digits that are often 0, 5 or 9: where rounding happens. */
static u32 random_digit(void) {
    static const u8 favourites[] = {0, 0, 5, 9, 4};
    return pick(2) == 0 ? favourites[pick(sizeof favourites)] : pick(10);
}

static void put_digits(struct decimal *decimal, u32 count) {
    for (u32 i = 0; i < count; i++) {
        u32 digit = random_digit();
        put((char)('0' + digit));
        decimal->mantissa = decimal->mantissa * 10 + digit;
    }
}

static struct decimal random_decimal(void) {
    struct decimal decimal = {0, 0, pick(3) == 0};
    text_bytes = 0;
    if (decimal.negative) {
        put('-');
    }
    u32 whole = pick(4) == 0 ? 0 : 1 + pick(pick(3) == 0 ? 18 : 6);
    if (whole == 0) {
        put('0');
    } else {
        u32 first = 1 + pick(9);
        put((char)('0' + first));
        decimal.mantissa = first;
        put_digits(&decimal, whole - 1);
    }
    if (pick(3) != 0) {
        u32 decimals = 1 + pick(pick(3) == 0 ? 15 : 5);
        put('.');
        put_digits(&decimal, decimals);
        decimal.power = -(i32)decimals;
    }
    if (pick(4) == 0) {
        i32 exponent = (i32)pick(31) - 15;
        put(pick(2) == 0 ? 'e' : 'E');
        if (exponent < 0 || pick(2) == 0) {
            put(exponent < 0 ? '-' : '+');
        }
        u32 size = (u32)abs(exponent);
        if (size >= 10 || pick(4) == 0) {
            put((char)('0' + size / 10));
        }
        put((char)('0' + size % 10));
        decimal.power += exponent;
    }
    return decimal;
}

/* The oracle's answer; *exact says whether nothing was cut. */
static enum err scale_by_hand(struct decimal decimal, u32 scale, bool half_up, i64 *out,
                              bool *exact) {
    i32 shift = decimal.power + (i32)scale;
    u128 value = decimal.mantissa;
    *exact = true;
    for (; shift > 0; shift--) {
        if (value > (u128)1 << 100) {
            return ERR_LIMIT;
        }
        value *= 10;
    }
    if (shift < 0) {
        u128 divisor = 1;
        for (i32 i = 0; i > shift && i > -38; i--) {
            divisor *= 10;
        }
        u128 rest = shift < -38 ? value : value % divisor;
        value = shift < -38 ? 0 : value / divisor;
        *exact = rest == 0;
        bool above = shift >= -38 && rest > divisor - rest;
        bool half = shift >= -38 && rest != 0 && rest == divisor - rest;
        value += above || (half && (half_up || (value & 1) != 0));
    }
    u128 most = (u128)INT64_MAX + decimal.negative;
    if (value > most) {
        return ERR_LIMIT;
    }
    *out = decimal.negative ? (i64)(0 - (u64)value) : (i64)value;
    return ERR_OK;
}

static bool check_one(void) {
    struct decimal decimal = random_decimal();
    u32 scale = pick(2) == 0 ? 12 : pick(NUMBER_SCALE_MAX + 1);
    struct slice slice = {text, text_bytes};
    if (number_scan(text, text + text_bytes) != text_bytes) {
        return false;
    }
    for (u32 rounding = 0; rounding < 3; rounding++) {
        i64 wanted = 0;
        i64 have = 0;
        bool exact;
        enum err wanted_err =
            scale_by_hand(decimal, scale, rounding == NUMBER_HALF_UP, &wanted, &exact);
        if (rounding == NUMBER_EXACT && !exact && wanted_err == ERR_OK) {
            wanted_err = ERR_INVALID;
        }
        enum err err = number_scale(slice, scale, (enum number_rounding)rounding, &have);
        /* A number that is neither exact nor in range may be refused for either reason. */
        bool same_err = err == wanted_err || (rounding == NUMBER_EXACT && !exact && err != ERR_OK);
        if (!same_err || (err == ERR_OK && have != wanted)) {
            fprintf(stderr, "%.*s scale %u rounding %u: err %d value %lld, not %d %lld\n",
                    (int)text_bytes, text, scale, rounding, (int)err, (long long)have,
                    (int)wanted_err, (long long)wanted);
            return false;
        }
    }
    return number_is_negative(slice) == (decimal.negative && decimal.mantissa != 0);
}

static bool check_writer(struct buf *buf) {
    i64 value = (i64)(random_next() >> pick(64));
    value = pick(2) == 0 ? value : -value;
    u32 scale = pick(NUMBER_SCALE_MAX + 1);
    buf_clear(buf);
    struct json_writer json = json_writer(buf);
    json_decimal(&json, value, scale);
    i64 back = 0;
    bool good = number_scan(buf->data, buf->data + buf->bytes) == buf->bytes &&
                number_scale(buf_slice(buf), scale, NUMBER_EXACT, &back) == ERR_OK;
    if (!good || back != value) {
        fprintf(stderr, "%lld at scale %u is written %.*s\n", (long long)value, scale,
                (int)buf->bytes, buf->data);
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    u64 seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    random_state = seed;
    struct buf buf;
    buf_init(&buf, KIB);
    bool good = true;
    u32 rounds = 400000;
    for (u32 i = 0; i < rounds && good; i++) {
        good = check_one() && check_writer(&buf);
    }
    buf_free(&buf);
    if (!good) {
        fprintf(stderr, "number_model: failed at %.*s, seed %llu\n", (int)text_bytes, text,
                (unsigned long long)seed);
        return 1;
    }
    printf("number_model: %u numbers\n", rounds);
    return 0;
}
