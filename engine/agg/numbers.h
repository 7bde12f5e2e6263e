/* numbers.h: sets of numbers, for what a change of the figures concerns. */
#ifndef MARGIN_AGG_NUMBERS_H
#define MARGIN_AGG_NUMBERS_H

#include "base.h"

/* Numbers of 64 bits, found by hash; index by order of entry. Zeroed it is empty. It is in parts
 * that grow one by one, so that no growth takes long. */
#define NUMBER_PARTS 256
struct number_part {
    u32 *slots; /* index + 1 */
    u32 mask;
    u32 count;
};
struct number_set {
    u64 *numbers;
    u32 count;
    u32 capacity;
    struct number_part part[NUMBER_PARTS];
};

/* The number's index; UINT32_MAX: it is not there. */
u32 number_set_find(const struct number_set *set, u64 number);
/* The number's index, entered if it is new; UINT32_MAX: no memory. */
u32 number_set_put(struct number_set *set, u64 number);
void number_set_free(struct number_set *set);

#endif
