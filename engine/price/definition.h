/*
 * definition.h: definitions of features: a name, a kind, what it is and where it is in the code.
 * Every feature that events name has one, without a row of its own: its name is its key. A row is
 * made when somebody defines a feature before its first event, or changes or removes a definition.
 *
 * Ids are stable: those that events made are odd and come from the number that the figures know the
 * feature by, which the log gives again whenever it is replayed; those made by hand are even.
 *
 * Thread safe. What changes something waits for the disk: not for front threads.
 */
#ifndef MARGIN_PRICE_DEFINITION_H
#define MARGIN_PRICE_DEFINITION_H

#include "base.h"
#include "limits.h"
#include "store.h"

enum definition_kind { DEFINITION_COST, DEFINITION_VALUE, DEFINITION_OUTCOME, DEFINITION_KINDS };
const char *definition_kind_text(enum definition_kind kind);
bool definition_kind_parse(struct slice text, enum definition_kind *kind);

struct definition {
    u64 id;
    struct slice feature;
    struct slice name;
    struct slice description;   /* empty: none */
    struct slice code_location; /* likewise */
    enum definition_kind kind;
    i64 created_ms;
    i64 updated_ms;
    /* Only in rows: the definition was removed when the feature had so many events. It comes back
     * with the next one, as that of any feature that is not known. */
    bool removed;
    i64 removed_events;
};

/* The id of the definition that events made, by the feature's value id in the figures. */
static inline u64 definition_id_of_value(u32 value) {
    return 2 * (u64)value + 1;
}

/* All rows of an account, ascending by feature; at most one a feature. */
struct definition_list {
    struct definition *rows;
    u32 count;
    char *memory; /* the texts */
};
enum err definition_list_read(struct control *control, u32 account, struct definition_list *out);
void definition_list_free(struct definition_list *list);
/* Index, or UINT32_MAX. */
u32 definition_list_find(const struct definition_list *list, struct slice feature);

/* Makes a row with a new id, which is set. ERR_EXISTS: the feature has one; ERR_LIMIT:
 * DEFINITIONS_MAX of the account. Errors of the tables pass through here and below. */
enum err definition_create(struct control *control, u32 account, struct definition *definition);

/* What a change says; NULL data, and `kind` DEFINITION_KINDS: as before. */
struct definition_change {
    struct slice name;
    struct slice description;
    struct slice code_location;
    enum definition_kind kind;
    i64 now_ms;
};
/* Changes the row with this id, or makes one of `made`, the definition that events made (NULL:
 * there is none). ERR_NOT_FOUND: neither is there. ERR_LIMIT as above, likewise below. */
enum err definition_change(struct control *control, u32 account, u64 id,
                           const struct definition *made, const struct definition_change *change);

/* Removes the row with this id. `made` (or NULL) is what would be there without a row: it is
 * removed as well, until it has more than made->removed_events. ERR_NOT_FOUND: neither is there. */
enum err definition_remove(struct control *control, u32 account, u64 id,
                           const struct definition *made);

#endif
