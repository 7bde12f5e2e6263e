/*
 * wire.h: the binary protocol of margind, byte by byte, and the one source of its constants.
 *
 * All integers are little-endian; nothing is aligned. A connection is a stream of frames both ways:
 *
 *     0  u32 length      payload bytes that follow the header, at most WIRE_FRAME_BYTES_MAX
 *     4  u8  type        enum wire_type
 *     5  u8  flags       0 (reserved: a receiver refuses others)
 *     6  u16 reserved    0
 *     8  u32 request     the client's number for the request; the reply carries the same
 *    12  u32 checksum    low half of XXH3-64(payload, seed = XXH3-64(first 12 bytes, seed 0))
 *    16  payload
 *
 * The client speaks first: HELLO, then AUTH, each answered, then any requests, as many at a time as
 * WIRE_IN_FLIGHT_MAX; replies come in any order and are told apart by `request`. A reply has the
 * request's type with bit 7 set, or is an ERROR frame. A frame that breaks these rules (checksum,
 * flags, length, order, unknown type) is answered by an ERROR frame with code WIRE_BAD_FRAME or
 * WIRE_BAD_VERSION, then the server closes. An ERROR with another code ends only its request.
 *
 * Where the server has a certificate, all of this goes over TLS 1.2 or 1.3; a client may name
 * WIRE_ALPN as its protocol. Who does not speak TLS there gets one ERROR frame in the clear.
 *
 * Shared shapes:
 *
 *   text16    u16 bytes, then the bytes. 0xffff instead of a length: absent.
 *   figures   128 bytes: u64 events, i128 cost, i128 revenue (picodollars, two's complement),
 *             i128 usage (micro-units), u64 input, output, cached, cache-write tokens, u64 duration
 *             ms sum, u64 events with a duration, i64 first seen ms (INT64_MAX: never), i64 last
 *             seen ms (INT64_MIN: never), u64 unpriced events
 *   cell      u8 dimension (enum wire_dimension, or WIRE_DIM_NONE for the account's total),
 *             u8 populations (WIRE_LIVE | WIRE_WITHOUT_REVENUE), u16 text bytes, u32 window in
 *             seconds (0: all time; else the last so many seconds, start rounded down to the minute
 *             up to 24 h and to the hour beyond), text
 *   filters   as many as the request says: u8 dimension, u8 0, text16
 *
 * Requests and replies (-> is the reply's payload):
 *
 *   HELLO         8 bytes WIRE_MAGIC, u16 oldest, u16 newest protocol version the client speaks
 *     ->          8 bytes WIRE_MAGIC, u16 chosen version, u16 0, u32 WIRE_FRAME_BYTES_MAX,
 *                 u32 WIRE_EVENTS_MAX, u32 WIRE_IN_FLIGHT_MAX, then the server's version as text
 *   AUTH          the API key (text, the whole payload)
 *     ->          u32 account, u32 scopes (bit set, see account.h)
 *   PING          any bytes up to 1 KiB
 *     ->          the same bytes
 *   INGEST_JSON   the body of POST /api/events/ingest
 *   INGEST_NATIVE a native batch, see below
 *     -> (both)   u32 sent, u32 accepted, u32 rejected, u32 duplicates, u32 conflicts, u32 n,
 *                 u64 id of the first accepted event (0: none), then n times: u32 index of the
 *                 event, text16 why it was refused. Sent once the events are durable and visible.
 *   POINT         cell
 *     ->          figures, i64 from ms, i64 to ms (the bounds used)
 *   AGGREGATE     u8 group count (0..3), 3 x u8 group dimension, u8 bucket (enum wire_bucket),
 *                 u8 order (enum wire_order), u8 flags (WIRE_LIVE, WIRE_WITHOUT_REVENUE,
 *                 WIRE_ASCENDING, WIRE_PRESENT_ONLY), u8 filter count, u32 window seconds (0: the
 *                 bounds below), u32 offset, u32 limit (1..QUERY_ROWS_MAX), i64 from ms inclusive
 *                 (INT64_MIN: none), i64 to ms exclusive (INT64_MAX: none), filters
 *     ->          u32 rows, u32 rows before offset and limit, i64 from, i64 to (bounds used),
 *                 u8 group count, u8[7] 0, figures over all rows, then a row each: i64 bucket
 *                 start ms, figures, one text16 for each group dimension
 *   SCAN          u64 first id, u64 end id (exclusive; UINT64_MAX: none), i64 from ms, i64 to ms,
 *                 u32 columns (WIRE_TEXT_BIT | WIRE_NUM_BIT wanted), u32 limit (1..
 *                 WIRE_SCAN_EVENTS_MAX), u8 flags (WIRE_NEWEST), u8 filter count, u16 0, filters
 *     ->          u32 events, u32 more (1: there may be further ones), u64 where to go on (next
 *                 first id, or next end id for WIRE_NEWEST), then an event each: u64 id, i64 time
 *                 of receipt ms, u32 present (WIRE_TEXT_BIT | WIRE_NUM_BIT of what follows),
 *                 u8 cost source, u8 revenue source, u8 source, u8 granularity (see event.h),
 *                 u8 flags, u8[3] 0, then for each number bit from the lowest i64, then for each
 *                 text bit from the lowest text16
 *   SUBSCRIBE     u32 interval ms (WIRE_INTERVAL_MS_MIN and more), cell
 *     ->          as POINT: the cell now. Afterwards PUSH frames with the same request number and
 *                 the same payload, whenever the cell has changed, at most one every interval
 *   UNSUBSCRIBE   u32 request number of the SUBSCRIBE
 *     ->          empty
 *   STATS         empty
 *     ->          u32 n, then n times: u64 value, text16 name
 *   ERROR         (server only) u16 enum wire_error, u16 0, then text
 *
 * Native batch: events as columns, so that decoding is copying. Header, 16 bytes:
 *
 *     0  u16 layout      1
 *     2  u16 columns     how many column headers follow
 *     4  u32 events      1..WIRE_EVENTS_MAX
 *     8  u64 reserved    0
 *
 * then the column headers, 16 bytes each, ascending by column:
 *
 *     0  u8  column      a text (enum wire_text), WIRE_NUM_COLUMN + enum wire_number, or
 *                        WIRE_COLUMN_PRESENT, which every batch has
 *     1  u8  encoding    enum wire_encoding
 *     2  u16 reserved    0
 *     4  u32 entries     of a dictionary; else 0
 *     8  u32 bytes       of the column's data, a multiple of 8 (zeros fill up)
 *    12  u32 text bytes  of those, the bytes of text at its end before the filling; else 0
 *
 * then the columns' data in the same order, nothing between. Encodings:
 *
 *   PRESENT   u32 an event: WIRE_TEXT_BIT | WIRE_NUM_BIT of the fields it has. What an event has
 *             must be a column of the batch. Values of absent fields are not looked at.
 *   DICT      u16 length for each entry (at most 32768), u16 an event: index of its entry, text of
 *             the entries one after the other. At most WIRE_EVENTS_MAX entries.
 *   DIRECT    u16 length for each event, text of the events one after the other. Absent fields
 *             have length 0.
 *   I64       i64 an event
 *   U32       u32 an event (for small values that are not negative)
 *
 * Text is UTF-8 without NUL. Numbers: times and durations in ms, money in picodollars, usage in
 * micro-units, tokens as counts; properties and meta are JSON objects without space around them,
 * meta's values strings. The rules for each field are those of the JSON endpoint; an event
 * that breaks one is refused alone, a batch whose structure or text encoding is broken as a whole.
 */
#ifndef MARGIN_WIRE_H
#define MARGIN_WIRE_H

#include "limits.h"

#define WIRE_MAGIC "MARGINW\n"
#define WIRE_MAGIC_BYTES 8
#define WIRE_VERSION 1

#define WIRE_HEADER_BYTES 16
#define WIRE_ALPN "margin/1"
#define WIRE_FIGURES_BYTES 128
#define WIRE_POINT_BYTES (WIRE_FIGURES_BYTES + 16)
#define WIRE_CELL_BYTES 8        /* and the text */
#define WIRE_AGGREGATE_BYTES 36  /* and the filters */
#define WIRE_AGGREGATED_BYTES 32 /* of the reply, before the total figures */
#define WIRE_SCAN_BYTES 44       /* and the filters */
#define WIRE_SCANNED_BYTES 16    /* of the reply, before the events */
#define WIRE_EVENT_BYTES 28      /* and its numbers and texts */
#define WIRE_INGESTED_BYTES 32   /* and the refusals */
#define WIRE_HELLO_BYTES 12
#define WIRE_HELLO_REPLY_BYTES 24 /* and the server's version */
#define WIRE_TEXT_ABSENT 0xffffu
#define WIRE_BATCH_HEADER_BYTES 16
#define WIRE_COLUMN_HEADER_BYTES 16
#define WIRE_BATCH_LAYOUT 1

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_AUTH,
    WIRE_PING,
    WIRE_INGEST_JSON,
    WIRE_INGEST_NATIVE,
    WIRE_POINT,
    WIRE_AGGREGATE,
    WIRE_SCAN,
    WIRE_SUBSCRIBE,
    WIRE_UNSUBSCRIBE,
    WIRE_STATS,
    WIRE_REQUESTS, /* one past the last request */

    WIRE_REPLY = 0x80, /* added to the request's type */
    WIRE_PUSH = 0xfe,
    WIRE_ERROR = 0xff
};

enum wire_error {
    WIRE_BAD_FRAME = 1, /* the stream is not this protocol: the server closes */
    WIRE_BAD_VERSION,   /* no common protocol version: the server closes */
    WIRE_UNAUTHORIZED,  /* no such key: the server closes */
    WIRE_FORBIDDEN,     /* the key lacks the scope */
    WIRE_INVALID,       /* the request is wrong; the text says where */
    WIRE_LIMIT,         /* the request or its answer passes a bound */
    WIRE_BUSY,          /* try again later; nothing was stored */
    WIRE_NO_SPACE,      /* disk full; nothing was stored */
    WIRE_INTERNAL,      /* fault of the server; nothing of the request was stored */
    WIRE_GUESSING       /* no such key, as too many before it from this address: the server closes;
                           try another key at once, or again in a minute */
};

enum wire_dimension {
    WIRE_DIM_EVENT_NAME,
    WIRE_DIM_CUSTOMER,
    WIRE_DIM_FEATURE,
    WIRE_DIM_MODEL,
    WIRE_DIM_PROVIDER,
    WIRE_DIM_COST_TYPE,
    WIRE_DIM_SOURCE,     /* as "sdk" */
    WIRE_DIM_AGENT = 8,  /* as a group: alone, all time, no filters; as a filter: scans only */
    WIRE_DIM_TRACE = 9,  /* filter of scans only */
    WIRE_DIM_NONE = 0xff /* the account's total */
};

enum wire_bucket {
    WIRE_BUCKET_NONE,
    WIRE_BUCKET_MINUTE,
    WIRE_BUCKET_HOUR,
    WIRE_BUCKET_DAY,
    WIRE_BUCKET_MONTH
};

enum wire_order {
    WIRE_ORDER_KEY,
    WIRE_ORDER_EVENTS,
    WIRE_ORDER_COST,
    WIRE_ORDER_REVENUE,
    WIRE_ORDER_MARGIN,
    WIRE_ORDER_USAGE,
    WIRE_ORDER_LAST_SEEN
};

#define WIRE_LIVE 1u            /* without imported invoice lines (source stripe) */
#define WIRE_WITHOUT_REVENUE 2u /* without events named "revenue" */
#define WIRE_ASCENDING 4u
#define WIRE_PRESENT_ONLY 8u /* leave out rows whose first group has no value */
#define WIRE_NEWEST 1u       /* of SCAN: newest first */

enum wire_text {
    WIRE_TEXT_EVENT_NAME,
    WIRE_TEXT_CUSTOMER,
    WIRE_TEXT_FEATURE,
    WIRE_TEXT_MODEL,
    WIRE_TEXT_PROVIDER,
    WIRE_TEXT_COST_TYPE,
    WIRE_TEXT_COST_UNIT,
    WIRE_TEXT_AGENT,
    WIRE_TEXT_KEY,
    WIRE_TEXT_TRACE,
    WIRE_TEXT_SPAN,
    WIRE_TEXT_PARENT,
    WIRE_TEXT_PROPERTIES,
    WIRE_TEXT_META,
    WIRE_TEXT_REFS, /* in answers only */
    WIRE_TEXTS
};

enum wire_number {
    WIRE_NUM_TIME,
    WIRE_NUM_COST,
    WIRE_NUM_REVENUE,
    WIRE_NUM_USAGE,
    WIRE_NUM_INPUT,
    WIRE_NUM_OUTPUT,
    WIRE_NUM_CACHED,
    WIRE_NUM_CACHE_WRITE,
    WIRE_NUM_REASONING,
    WIRE_NUM_DURATION,
    WIRE_NUMS
};

#define WIRE_NUM_COLUMN 16u
#define WIRE_COLUMN_PRESENT 31u
#define WIRE_TEXT_BIT(text) ((u32)1 << (text))
#define WIRE_NUM_BIT(number) ((u32)1 << (WIRE_NUM_COLUMN + (number)))

enum wire_encoding {
    WIRE_ENCODING_PRESENT = 1,
    WIRE_ENCODING_DICT,
    WIRE_ENCODING_DIRECT,
    WIRE_ENCODING_I64,
    WIRE_ENCODING_U32
};

#endif
