/*
 * reload.h: the files that are read at start and again when the process is told to (SIGHUP): the
 * price table. What is in force changes as a whole or not at all.
 */
#ifndef MARGIN_RELOAD_H
#define MARGIN_RELOAD_H

#include "price/price.h"

struct reload_files { /* paths; empty: the built-in prices, no extra ones */
    const char *models;
    const char *providers;
    const char *extra;
};

/* Whether there is any file to read. */
bool reload_has_files(const struct reload_files *files);

/* The price table of these files. ERR_INVALID (a file cannot be read, or what it says is no price
 * table; `why` is one line that names it), ERR_NO_MEMORY. */
enum err reload_prices(const struct reload_files *files, struct price_table **out, char *why,
                       usize why_bytes);

#endif
