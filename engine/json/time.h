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

/* YYYY-MM-DD, midnight UTC. */
bool time_parse_date(struct slice text, i64 *ms);

#define TIME_TEXT_BYTES 24
/* Writes YYYY-MM-DDTHH:MM:SS.mmmZ without NUL; years outside 0000..9999 are clamped. */
void time_format(i64 ms, char out[TIME_TEXT_BYTES]);

/* Days from 1970-01-01 to a date of the years 0..9999, and back. */
i64 time_days(u32 year, u32 month, u32 day);
void time_civil(i64 days, u32 *year, u32 *month, u32 *day);

#endif
