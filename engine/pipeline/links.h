/*
 * links.h: events that name a Stripe customer beside their own (meta.stripe_customer_id, Observe
 * 2.6) link the two; the first link of either stays. Decoding flags such events, and almost all of
 * them say what is known already: a front thread hands on only pairs it has not met lately, once
 * their event is durable, and the background thread makes the links, by the order of events.
 *
 * What a crash leaves in the queue is found again: a cursor in the control tables says up to which
 * event all links were made, and a start looks through what comes behind it.
 */
#ifndef MARGIN_PIPELINE_LINKS_H
#define MARGIN_PIPELINE_LINKS_H

#include "agg/agg.h"
#include "customer/directory.h"
#include "store.h"

struct links;

/* What a front thread has handed on, by hash. */
#define LINKS_SEEN 1024
struct links_seen {
    u64 hash[LINKS_SEEN];
};

/* Nothing is owned. Errors of the tables; ERR_NO_MEMORY. */
enum err links_create(struct directory *directory, struct control *control, struct store *store,
                      struct links **out);
void links_destroy(struct links *links);
/* How many wait, and how many were left for want of room since start. Any thread. */
void links_count(struct links *links, u64 *waiting, u64 *left);

/* Front threads: rows of a batch that were stored; their ids count from `first_id`. */
void links_note(struct links *links, struct links_seen *seen, const struct event_batch *batch,
                const u32 *rows, u32 count, u64 first_id);
/* The background thread, again and again; the first time it looks for what a crash has left. Makes
 * a bounded number of links, each of which waits for the disk. */
void links_work(struct links *links, struct agg *agg);

#endif
