/*
 * guard.h: memory that ends at an unreadable page, so that a parser which reads a byte too many
 * dies on the spot instead of passing by luck.
 */
#ifndef MARGIN_TESTS_GUARD_H
#define MARGIN_TESTS_GUARD_H

#include "base.h"

struct guard {
    char *map;
    usize map_bytes;
    char *end; /* the first byte of the unreadable page */
};

/* Room for `bytes_max` bytes before the unreadable page. */
struct guard guard_create(usize bytes_max);
void guard_destroy(struct guard *guard);

/* Where `bytes` bytes have to begin to end `padding` bytes before the unreadable page. The padding
 * is filled with `fill`, which should be a byte that confuses the code under test. */
char *guard_place(struct guard *guard, usize bytes, usize padding, char fill);

/* The same, with a copy of `text` put there. */
char *guard_copy(struct guard *guard, struct slice text, usize padding, char fill);

#endif
