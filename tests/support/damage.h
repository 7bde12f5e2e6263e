/*
 * damage.h: the files of a data directory in memory, and what a disk may make of them: bits, bytes,
 * sectors of zeros, of noise or from elsewhere, an end that is missing. For one model at a time.
 */
#ifndef MARGIN_TESTS_DAMAGE_H
#define MARGIN_TESTS_DAMAGE_H

#include "base.h"

/* Chance, which follows from the seed. */
void damage_seed(u64 seed);
u64 damage_chance(u64 below);

/* All files of the directory, as they are. */
void damage_take(const char *dir);
/* Makes the directory anew from memory. */
void damage_put(const char *dir);
/* Bytes of a database (0: the log, 1: the control tables) that are a key or a value: most damage to
 * databases goes there. `map` is where the file begins in memory. */
void damage_note_live(u32 which, u32 table, const char *map, struct slice slice, bool key);
/* Takes back what was damaged before, changes one file in one way, and says what it did: its name
 * first. False, "nothing": whatever anybody reads is as before. */
bool damage_make(char *did, usize did_bytes);

#endif
