/*
 * scan.h: reading events back from the log (the store_scan of store.h), given a log instead of a
 * store.
 */
#ifndef MARGIN_STORAGE_SCAN_H
#define MARGIN_STORAGE_SCAN_H

#include "storage/log.h"
#include "store.h"

typedef const u32 *(*scan_series_dims)(void *context, u32 series);

/* `series_dims` may be NULL: then no filter may name a dimension. ERR_NO_MEMORY, ERR_INVALID. */
enum err scan_open(struct log *log, scan_series_dims series_dims, void *context,
                   const struct store_scan_options *options, struct store_scan **out);

#endif
