/*
 * dicts.h: where the texts of a native batch stand in dictionaries. What follows from a text alone
 * (its share of a digest, of a series' hash) is computed once an entry instead of once an event,
 * and for a column at a time. Rows and refs of the batch say the same; this is a way to say it
 * faster, and void once an event has been taken out of the batch.
 */
#ifndef MARGIN_EVENT_DICTS_H
#define MARGIN_EVENT_DICTS_H

#include "event.h"

#include <string.h>

#define DICTS_TEXTS (TEXT_AGENT + 1) /* texts that repeat */

struct dict {
    u32 entries;         /* 0: the column's texts are not looked at by entry */
    const char *indexes; /* u16 of each event, in the payload; any number where absent */
    struct text_ref ref[WIRE_EVENTS_MAX]; /* of each entry */
};

struct dicts {
    bool good; /* the batch is as the dictionaries say */
    struct dict text[DICTS_TEXTS];
};

/* The entry of an event, of an event that has the text. */
static inline u32 dict_entry(const struct dict *dict, u32 index) {
    u16 entry;
    memcpy(&entry, dict->indexes + 2 * (usize)index, sizeof entry);
    return entry;
}

#endif
