/* table.h: the environment of the control tables, for whoever copies it as it is (copy.c). */
#ifndef MARGIN_STORAGE_TABLE_H
#define MARGIN_STORAGE_TABLE_H

#include "storage/db.h"

#define CONTROL_TABLES 2

struct control_db_options {
    bool create;
    bool read_only;
    bool skip_sync;
};
enum err control_db_open(const char *dir, const struct control_db_options *how, struct db **out,
                         char *why, usize why_bytes);
/* Reads all rows, beside whoever uses them; ERR_CORRUPT, with what does not hold. */
enum err control_verify(const char *dir, char *why, usize why_bytes);

#endif
