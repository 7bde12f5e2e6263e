/*
 * held.h: heap memory that is counted while it is held, by what malloc(3) made of it: for what
 * grows with what clients upload, so that the bound on memory sees it at once. Any thread.
 */
#ifndef MARGIN_BASE_HELD_H
#define MARGIN_BASE_HELD_H

#include "base.h"

/* Counts a piece that was just taken, and returns it; NULL stays NULL. */
void *held_take(void *piece);
/* Frees such a piece; NULL is good. */
void held_free(void *piece);
/* As realloc(3), for such pieces. */
void *held_resize(void *piece, usize bytes);
/* All there is now. */
u64 held_bytes(void);

#endif
