/* sift.c: see sift.h; and which runs are gone through. merge.c does it, run by run. */
#include "dedup/sift.h"

#include "dedup/cold.h"

#include <stdlib.h>

static enum err sift_create(struct sift *sift, u64 keys) {
    sift->words = keys / SIFT_KEYS_A_WORD + 1;
    sift->word = calloc(sift->words, sizeof *sift->word);
    if (sift->word == NULL) {
        sift->words = 0;
    }
    return sift->word != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static void sift_free(struct sift *sift) {
    free(sift->word);
    *sift = (struct sift){0};
}

enum err cold_sift_begin(struct cold *cold, u64 keys) {
    struct cold_sift *sift = &cold->sift;
    check(cold->latest != NULL && cold->merge == NULL && sift->runs == 0);
    enum err err = sift_create(&sift->stays, keys);
    if (err == ERR_OK) {
        atomic_fetch_add(&cold->counters.filter_bytes, sift_bytes(&sift->stays));
        sift->reading = true;
        sift->at = 0;
        sift->runs = cold->latest->count;
    }
    return err;
}

void cold_sift_note(struct cold *cold, const struct event_batch *batch) {
    check(cold->sift.reading);
    for (u32 i = 0; i < batch->count; i++) {
        if (event_has_text(batch, i, TEXT_KEY)) {
            sift_add(&cold->sift.stays, set_key_of(batch->key_hash[i]));
        }
    }
}

void cold_sift_read(struct cold *cold) {
    cold->sift.reading = false;
}

void cold_sift_end(struct cold *cold) {
    struct cold_sift *sift = &cold->sift;
    atomic_fetch_sub(&cold->counters.filter_bytes, sift_bytes(&sift->stays));
    sift_free(&sift->stays);
    *sift = (struct cold_sift){0};
}
