/* held.c: see held.h. */
#include "base/held.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic u64 held;

static void count(const void *piece, bool taken) {
    u64 bytes = malloc_usable_size((void *)(uintptr_t)piece);
    if (taken) {
        atomic_fetch_add_explicit(&held, bytes, memory_order_relaxed);
    } else {
        atomic_fetch_sub_explicit(&held, bytes, memory_order_relaxed);
    }
}

void *held_take(void *piece) {
    count(piece, true);
    return piece;
}

void held_free(void *piece) {
    count(piece, false);
    free(piece);
}

void *held_resize(void *piece, usize bytes) {
    count(piece, false);
    void *resized = realloc(piece, bytes);
    count(resized != NULL ? resized : piece, true);
    return resized;
}

u64 held_bytes(void) {
    return atomic_load_explicit(&held, memory_order_relaxed);
}
