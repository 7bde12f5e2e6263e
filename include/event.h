/*
 * event.h: the record that travels. One shape serves the whole path: the front threads decode
 * requests into an event batch, the commit thread deduplicates and encodes it, storage decodes
 * blocks back into it, and recovery and queries read it. So "apply an event to the aggregates" is
 * one function, whether the event came from a socket or from the log.
 *
 * A batch is columns: event i of the batch is element i of every column. A column's element is
 * defined only where the event's bit in `present` is set, so that absent fields cost nothing.
 *
 * Text is kept where it arrived: a text_ref is a range of `text`, the batch's own memory. Escaped
 * JSON strings have been unescaped in place; text is UTF-8 without NUL. In batches that come from
 * the log the texts of the series (the first SERIES_TEXTS) are absent: `series` stands for them.
 *
 * Money is picodollars (1e-12 USD), usage is micro-units (1e-6), times are milliseconds since
 * 1970 UTC, durations milliseconds, tokens counts.
 */
#ifndef MARGIN_EVENT_H
#define MARGIN_EVENT_H

#include "base.h"
#include "limits.h"

struct text_ref {
    u32 offset; /* into event_batch.text */
    u32 bytes;
};

#define EVENT_TEXT_PADDING 64 /* so that vector code may load past the end of any text */

enum event_text {
    TEXT_EVENT_NAME, /* the first SERIES_TEXTS are the dimensions of a series */
    TEXT_CUSTOMER,
    TEXT_FEATURE,
    TEXT_MODEL,
    TEXT_PROVIDER,  /* as given; pricing adds it where it can be inferred from the model */
    TEXT_COST_TYPE, /* as given; absent means "llm" with a model and "generic" without */
    SERIES_TEXTS,
    TEXT_COST_UNIT = SERIES_TEXTS, /* lower case; absent means "usd" */
    TEXT_AGENT,
    TEXT_KEY, /* idempotency key */
    TEXT_TRACE,
    TEXT_SPAN,
    TEXT_PARENT,
    TEXT_PROPERTIES, /* JSON object, the bytes received */
    TEXT_META,       /* JSON object, the bytes received; values of ingest normalised to strings */
    TEXT_REFS, /* JSON object of Platform ids (section 3 of the Observe API); or of the captured
                * bodies, if EVENT_FLAG_BODIES is set: event/bodies.h; or absent */
    TEXT_COUNT
};

enum event_number {
    NUM_TIME,    /* always present */
    NUM_COST,    /* picodollars; always present once priced (0 when unpriced or none) */
    NUM_REVENUE, /* picodollars; always present once attributed */
    NUM_USAGE,   /* micro-units; after decoding always present */
    NUM_INPUT,   /* total input tokens, cached and cache-write included */
    NUM_OUTPUT,
    NUM_CACHED,
    NUM_CACHE_WRITE,
    NUM_REASONING,
    NUM_DURATION, /* ms */
    NUM_COUNT
};

#define TEXT_BIT(column) ((u32)1 << (column))
#define NUM_BIT(column) ((u32)1 << (16 + (column)))
_Static_assert(TEXT_COUNT <= 16 && NUM_COUNT <= 16, "present is 32 bits");

enum cost_source {
    COST_NONE,     /* neither cost nor model and tokens */
    COST_EXPLICIT, /* costAmount */
    COST_ACCOUNT_PRICE,
    COST_PRICE_TABLE,
    COST_UNPRICED, /* a model, but no price for it: the cost counts 0 and is not known */
    COST_SOURCES
};

enum revenue_source {
    REVENUE_NONE,
    REVENUE_EXPLICIT,
    REVENUE_FEATURE_PRICING,
    REVENUE_PER_UNIT,
    REVENUE_TIERED,
    REVENUE_HYBRID,
    REVENUE_SUBSCRIPTION,
    REVENUE_SOURCES
};

enum event_source {
    SOURCE_SDK,
    SOURCE_PROXY,
    SOURCE_GATEWAY,
    SOURCE_CSV,
    SOURCE_STRIPE,
    SOURCE_OPENAI,
    SOURCE_ANTHROPIC,
    SOURCE_AWS,
    SOURCE_GCP,
    EVENT_SOURCES
};

enum granularity { GRANULARITY_EVENT, GRANULARITY_DAILY, GRANULARITY_MONTHLY, GRANULARITIES };

/* The names the API uses ("price_table", "sdk", "monthly_aggregate"). Never NULL. */
const char *cost_source_text(enum cost_source source);
const char *revenue_source_text(enum revenue_source source);
const char *event_source_text(enum event_source source);
const char *granularity_text(enum granularity granularity);

#define EVENT_FLAG_INFERRED ((u8)1)     /* is_inferred of the API */
#define EVENT_FLAG_FOREIGN_UNIT ((u8)2) /* cost_unit is not usd: the cost counts 0 in figures */
#define EVENT_FLAG_USAGE_PRICED ((u8)4) /* no token counts: price usage units as input tokens */
#define EVENT_FLAG_TIME_DEFAULT ((u8)8) /* no timestamp came: the time of receipt stands in */
#define EVENT_FLAG_BODIES ((u8)16)      /* TEXT_REFS holds bodies */
#define EVENT_FLAG_LINK ((u8)32)        /* the meta names a Stripe customer */

#define SERIES_UNRESOLVED UINT32_MAX /* no series id yet: the commit thread finds or makes it */

/* 128 bits of seeded XXH3. */
struct hash128 {
    u64 low;
    u64 high;
};

/* Cells from one column to the next: a little more than a power of two, or else the cells of one
 * event would all fall into the same set of the first-level cache and drive each other out. */
#define EVENT_BATCH_STRIDE (EVENT_BATCH_MAX + 24)

/* A key that is a UUID. */
struct packed_key {
    u8 byte[16];
};

struct event_batch {
    u32 count;      /* events in the columns */
    u32 account;    /* of all its events, but for batches that storage keeps to itself */
    char *text;     /* the batch's text memory; owner: whoever made the batch */
    u32 text_bytes; /* in use; at least EVENT_TEXT_PADDING readable bytes follow */
    u32 text_bytes_max;

    u32 present[EVENT_BATCH_STRIDE]; /* TEXT_BIT | NUM_BIT of each event */
    u32 series[EVENT_BATCH_STRIDE];  /* id of the series, or SERIES_UNRESOLVED */
    u64 id[EVENT_BATCH_STRIDE];      /* event id, 1 is the first ever; of events from the log */
    i64 created[EVENT_BATCH_STRIDE]; /* time of receipt, ms */
    u8 cost_source[EVENT_BATCH_STRIDE];
    u8 revenue_source[EVENT_BATCH_STRIDE];
    u8 source[EVENT_BATCH_STRIDE]; /* enum event_source; part of the series */
    u8 granularity[EVENT_BATCH_STRIDE];
    u8 flags[EVENT_BATCH_STRIDE];
    u32 digest[EVENT_BATCH_STRIDE]; /* of the payload, to tell duplicate from conflict */
    struct hash128 key_hash[EVENT_BATCH_STRIDE];  /* of (account, key); defined where TEXT_KEY is */
    struct packed_key packed[EVENT_BATCH_STRIDE]; /* the key as storage keeps it, */
    u32 packed_count;                             /* for rows 0.. so far: store_pack_keys() */

    i64 number[NUM_COUNT][EVENT_BATCH_STRIDE];
    struct text_ref ref[TEXT_COUNT][EVENT_BATCH_STRIDE];
};

static inline bool event_has_text(const struct event_batch *batch, u32 index,
                                  enum event_text text) {
    return (batch->present[index] & TEXT_BIT(text)) != 0;
}

static inline bool event_has_number(const struct event_batch *batch, u32 index,
                                    enum event_number number) {
    return (batch->present[index] & NUM_BIT(number)) != 0;
}

/* The text of a column; empty where it is absent. */
static inline struct slice event_text_of(const struct event_batch *batch, u32 index,
                                         enum event_text text) {
    if (!event_has_text(batch, index, text)) {
        return (struct slice){NULL, 0};
    }
    struct text_ref ref = batch->ref[text][index];
    return (struct slice){batch->text + ref.offset, ref.bytes};
}

/* One combination of dimensions. Ids are given out from 0 in the order of first appearance in the
 * log, so that replaying the log gives the same ids. A definition is written to the log in the
 * block that first uses it. Empty model, provider and so on mean "absent". */
struct series_def {
    u32 series;
    u32 account;
    u8 source; /* enum event_source */
    struct slice text[SERIES_TEXTS];
};

#endif
