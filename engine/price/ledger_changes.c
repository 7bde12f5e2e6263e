/*
 * ledger_changes.c: reads the record of changes of model prices. The tables are read in ascending
 * order and the newest are wanted first, so the changes are copied out; there are PRICE_CHANGES_MAX
 * at most.
 */
#include "price/ledger_row.h"

#include <stdlib.h>
#include <string.h>

#define CHANGES_FIRST 256

struct change_list {
    struct price_change *changes;
    u32 count;
    u32 capacity;
    char (*texts)[EVENT_PROVIDER_MAX + PRICE_NAME_MAX]; /* of each change */
    enum err err;
};

static bool grow(struct change_list *list) {
    if (list->count < list->capacity) {
        return true;
    }
    u32 capacity = MAX(list->capacity * 2, (u32)CHANGES_FIRST);
    struct price_change *changes = realloc(list->changes, capacity * sizeof *changes);
    if (changes != NULL) {
        list->changes = changes;
    }
    void *texts = realloc(list->texts, capacity * sizeof *list->texts);
    if (texts != NULL) {
        list->texts = texts;
    }
    list->capacity = changes != NULL && texts != NULL ? capacity : list->capacity;
    return changes != NULL && texts != NULL;
}

static void keep(char *to, struct slice text) {
    if (text.bytes > 0) {
        memcpy(to, text.data, text.bytes);
    }
}

static bool visit_change(void *context, const struct control_object *object, struct slice value) {
    struct change_list *list = context;
    struct price_change change;
    (void)object;
    list->err = ledger_change_read(value, &change);
    if (list->err == ERR_OK && !grow(list)) {
        list->err = ERR_NO_MEMORY;
    }
    if (list->err != ERR_OK) {
        return false;
    }
    char *text = list->texts[list->count];
    if (change.provider.bytes > EVENT_PROVIDER_MAX || change.model.bytes > PRICE_NAME_MAX) {
        list->err = ERR_CORRUPT;
        return false;
    }
    keep(text, change.provider);
    keep(text + EVENT_PROVIDER_MAX, change.model);
    list->changes[list->count++] = change;
    return true;
}

/* The place of the k-th newest of a list whose newest is the last. */
static const struct price_change *newest_of(struct change_list *list, u32 taken) {
    if (taken == list->count) {
        return NULL;
    }
    u32 index = list->count - 1 - taken;
    struct price_change *change = &list->changes[index];
    change->provider.data = list->texts[index];
    change->model.data = list->texts[index] + EVENT_PROVIDER_MAX;
    return change;
}

static void visit_merged(struct change_list list[2],
                         bool (*visit)(void *context, const struct price_change *change),
                         void *context) {
    u32 taken[2] = {0, 0};
    for (;;) {
        const struct price_change *own = newest_of(&list[0], taken[0]);
        const struct price_change *common = newest_of(&list[1], taken[1]);
        if (own == NULL && common == NULL) {
            return;
        }
        bool second = own == NULL || (common != NULL && common->created_ms > own->created_ms);
        taken[second]++;
        if (!visit(context, second ? common : own)) {
            return;
        }
    }
}

enum err ledger_changes(struct ledger *ledger, u32 account,
                        bool (*visit)(void *context, const struct price_change *change),
                        void *context) {
    struct change_list list[2] = {{.count = 0}, {.count = 0}};
    const u32 from[2] = {account, 0};
    enum err err = ERR_OK;
    for (u32 i = 0; i < 2 && err == ERR_OK; i++) {
        err = control_each(ledger->control, from[i], CONTROL_PRICE_CHANGE, visit_change, &list[i]);
        err = list[i].err != ERR_OK ? list[i].err : err;
    }
    if (err == ERR_OK) {
        visit_merged(list, visit, context);
    }
    for (u32 i = 0; i < 2; i++) {
        free(list[i].changes);
        free(list[i].texts);
    }
    return err;
}
