/*
 * time.h: RFC 3339 times to and from milliseconds since 1970 UTC. The calendar is the proleptic
 * Gregorian one, without leap seconds: 23:59:60 is read as the second after it.
 */
#ifndef MARGIN_JSON_TIME_H
#define MARGIN_JSON_TIME_H

#include "base.h"

#define TIME_MS_PER_DAY ((i64)86400000)

/* YYYY-MM-DDTHH:MM:SS[.digits][Z|+HH:MM|-HH:MM]; "t", "z" and a blank for the T are accepted as RFC
 * 3339 allows; no zone means UTC; digits past milliseconds are cut. */
bool time_parse(struct slice text, i64 *ms);

/* The day that was read last: events come in the order of time, so most share their day with the
 * one before. Zeroed at first. */
struct time_cache {
    char date[10];
    i64 day_ms;
};

/* As time_parse for YYYY-MM-DDTHH:MM:SS.mmmZ, 24 characters, on a day that the cache knows. False:
 * it is not of that form or another day; ask time_parse, then time_remember. */
static inline bool time_parse_cached(const struct time_cache *cache, const char *at, i64 *ms) {
    u64 clock;
    u64 tail;
    __builtin_memcpy(&clock, at + 11, sizeof clock); /* HH:MM:SS */
    __builtin_memcpy(&tail, at + 16, sizeof tail);   /* :SS.mmmZ */
    clock ^= 0x30303a30303a3030;
    tail = (tail >> 24) ^ 0x5a3030302e;
    bool good =
        ((clock | tail) & 0xf0f0f0f0f0f0f0f0) == 0 &&
        (((clock + 0x0606060606060606) | (tail + 0x0606060606060606)) & 0xf0f0f0f0f0f0f0f0) == 0 &&
        (clock & 0x0000ff0000ff0000) == 0 && (tail & 0xff000000ff) == 0 && at[10] == 'T';
    clock = clock * 10 + (clock >> 8);
    u64 hour = clock & 0xff;
    u64 minute = clock >> 24 & 0xff;
    u64 second = clock >> 48 & 0xff;
    u64 fraction = (tail >> 8 & 0xff) * 100 + (tail >> 16 & 0xff) * 10 + (tail >> 24 & 0xff);
    *ms = cache->day_ms + (i64)(((hour * 60 + minute) * 60 + second) * 1000 + fraction);
    return good && hour < 24 && minute < 60 && second < 60 &&
           __builtin_memcmp(cache->date, at, sizeof cache->date) == 0;
}

/* Makes the cache know the day of a text that time_parse has read. */
void time_remember(struct time_cache *cache, struct slice text);

/* YYYY-MM-DD, midnight UTC. */
bool time_parse_date(struct slice text, i64 *ms);

#define TIME_TEXT_BYTES 24
/* Writes YYYY-MM-DDTHH:MM:SS.mmmZ without NUL; years outside 0000..9999 are clamped. */
void time_format(i64 ms, char out[TIME_TEXT_BYTES]);

/* Days from 1970-01-01 to a date of the years 0..9999, and back. */
i64 time_days(u32 year, u32 month, u32 day);
void time_civil(i64 days, u32 *year, u32 *month, u32 *day);

#endif
