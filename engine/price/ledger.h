/*
 * ledger.h: the prices that accounts set, kept in the control tables: read at start, and changed
 * there before a change is in force. Also the record of all changes of model prices.
 *
 * Thread safe. What changes something waits for the disk: not for front threads.
 */
#ifndef MARGIN_PRICE_LEDGER_H
#define MARGIN_PRICE_LEDGER_H

#include "price/prices.h"
#include "store.h"

struct ledger;

/* Reads every account's prices and puts them in force. Neither is owned. ERR_CORRUPT, ERR_VERSION,
 * ERR_NO_MEMORY, and what reading the tables gives. */
enum err ledger_open(struct control *control, struct prices *prices, struct ledger **out);
void ledger_close(struct ledger *ledger);

/* After ERR_OK the change is on disk, and in force for every event decoded from now on. After any
 * error nothing has changed. ERR_LIMIT: FEATURE_PRICES_MAX or MODEL_PRICES_MAX of the account.
 * ERR_NOT_FOUND: there is no such price. Errors of the tables pass through. */

/* Sets what an event of the feature earns. */
enum err ledger_set_feature(struct ledger *ledger, u32 account, struct slice feature, i64 revenue,
                            struct slice unit_label, i64 now_ms);
enum err ledger_delete_feature(struct ledger *ledger, u32 account, struct slice feature);

/* Sets the account's price of a model. Provider and model may be spelled as in events; an empty
 * provider: the price holds whatever the provider. ERR_INVALID: a name is empty or too long. */
enum err ledger_set_model(struct ledger *ledger, u32 account, const struct model_price *price,
                          i64 now_ms);
/* An empty provider: all the account's prices of the model. */
enum err ledger_delete_model(struct ledger *ledger, u32 account, struct slice provider,
                             struct slice model, i64 now_ms);

/* Another price table for all accounts. The table is taken, also on errors. */
enum err ledger_set_table(struct ledger *ledger, struct price_table *table, i64 now_ms);

/* --- changes of model prices ----------------------------------------------------------------- */

enum price_change_field { CHANGE_INPUT, CHANGE_OUTPUT, CHANGE_CACHED, CHANGE_CACHE_WRITE };
#define CHANGE_FIELDS 4

struct price_change {
    struct slice provider; /* empty: any */
    struct slice model;
    enum price_change_field field;
    i64 old_value; /* picodollars a token; -1: none */
    i64 new_value;
    bool own; /* the account's own price, else the price table's */
    i64 created_ms;
};

/* The account's own changes and those of the price table, newest first. `visit` returns false to
 * stop; slices last until it returns. ERR_NO_MEMORY and errors of the tables. */
enum err ledger_changes(struct ledger *ledger, u32 account,
                        bool (*visit)(void *context, const struct price_change *change),
                        void *context);

#endif
