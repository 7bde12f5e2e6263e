/*
 * ledger_row.h: the ledger as its own files see it, and its rows in the control tables.
 *
 * CONTROL_FEATURE_PRICE and CONTROL_MODEL_PRICE are named by the feature, and by model, a zero byte
 * and provider. In account 0 the rows of the first kind are numbered by the accounts that have any
 * price at all and are empty, so that a start finds them. CONTROL_PRICE_CHANGE are numbered.
 */
#ifndef MARGIN_PRICE_LEDGER_ROW_H
#define MARGIN_PRICE_LEDGER_ROW_H

#include "price/ledger.h"

#include "limits.h"

#include <pthread.h>

struct ledger {
    struct control *control;
    struct prices *prices;
    pthread_mutex_t lock; /* one change at a time */
};

#define LEDGER_ROW_BYTES_MAX 1024

struct ledger_row {
    struct control_object object;
    char name[CONTROL_NAME_MAX];
    char value[LEDGER_ROW_BYTES_MAX];
    struct slice record; /* in `value` */
};

void ledger_feature_object(struct ledger_row *row, u32 account, struct slice feature);
void ledger_model_object(struct ledger_row *row, u32 account, struct slice provider,
                         struct slice model);

/* Fill in `record`. */
void ledger_feature_write(struct ledger_row *row, const struct feature_price *price);
void ledger_model_write(struct ledger_row *row, const struct model_price *price);
void ledger_change_write(struct ledger_row *row, const struct price_change *change);

/* Texts point into the object's name and the value. ERR_CORRUPT, ERR_VERSION. */
enum err ledger_feature_read(const struct control_object *object, struct slice value,
                             struct feature_price *price);
enum err ledger_model_read(const struct control_object *object, struct slice value,
                           struct model_price *price);
enum err ledger_change_read(struct slice value, struct price_change *change);

#endif
