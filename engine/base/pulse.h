/*
 * pulse.h: whether a thread goes on. It says when it takes up a piece of work and when it has
 * nothing to do; somebody else looks from time to time whether that is still the same piece. Two
 * stores and no clock, so that every loop can afford it.
 */
#ifndef MARGIN_BASE_PULSE_H
#define MARGIN_BASE_PULSE_H

#include <stdatomic.h>

#include "base.h"

struct pulse {
    _Atomic u64 beats; /* odd: a piece of work is under way. Written by its thread alone */
};

static inline u64 pulse_beats(const struct pulse *pulse) {
    return atomic_load_explicit(&pulse->beats, memory_order_relaxed);
}

/* Takes up work: the first, or the next. */
static inline void pulse_work(struct pulse *pulse) {
    atomic_store_explicit(&pulse->beats, (pulse_beats(pulse) + 1) | 1, memory_order_relaxed);
}

/* Waits for work, as long as it may take. */
static inline void pulse_rest(struct pulse *pulse) {
    u64 beats = pulse_beats(pulse);
    atomic_store_explicit(&pulse->beats, beats + (beats & 1), memory_order_relaxed);
}

#endif
