/* verify.h: reads the whole log and reports everything that does not hold (store_verify). */
#ifndef MARGIN_STORAGE_VERIFY_H
#define MARGIN_STORAGE_VERIFY_H

#include "storage/log.h"

/* Checksums, the chain of headers, ids, and that everything decodes. One transaction a block, so
 * appends and merges may go on. ERR_OK also with damage; other errors stop the walk. */
enum err verify_log(struct log *log, void (*report)(void *, const struct store_damage *),
                    void (*progress)(void *, u64, u64), void *context);
/* See store_verify_beside(). */
void verify_beside(const char *dir, void (*report)(void *context, const char *what), void *context);

#endif
