/* facts.h: random events, as a test remembers them and as a batch carries them. */
#ifndef MARGIN_TEST_FACTS_H
#define MARGIN_TEST_FACTS_H

#include "event.h"
#include "query/query.h"

struct fact {
    u32 account;
    u32 dim[SERIES_TEXTS]; /* index of the text; cost type resolved */
    u8 raw_cost_type;
    u8 source;
    u8 flags;
    u8 unpriced;
    u8 revenue_source;
    u32 agent;
    u32 trace; /* 0: none */
    u32 present;
    i64 number[NUM_COUNT];
    u32 series;
    u32 month; /* for a test's own use */
};

/* Texts of each dimension; index 0 is absent. */
extern const char *const fact_texts[SERIES_TEXTS][16];
extern const u32 fact_text_counts[SERIES_TEXTS];
extern const char *const fact_agents[4];

extern u64 fact_seed; /* state of the random numbers */
extern i64 fact_now;  /* around which events happen */
extern i64 fact_hour; /* if set, most events are of the time that begins there */
extern i64 fact_span; /* and is so long; an hour at first */
extern bool fact_few; /* if set, facts are of a few series, so that they meet in rows */

u64 fact_random(void);
u32 fact_below(u32 bound);
bool fact_one_in(u32 count);
i64 fact_time(void);
/* Where the bucket begins that has the time, found naively; 0 for BUCKET_NONE. */
i64 fact_bucket(enum query_bucket bucket, i64 time);
/* `plain`: of one series, with small numbers. The account is left to the caller. */
void fact_make(struct fact *fact, bool plain);
void fact_put_text(struct event_batch *batch, u32 row, enum event_text text, const char *data);
void fact_put(struct event_batch *batch, u32 row, const struct fact *fact);

#endif
