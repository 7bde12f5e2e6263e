/* definition_test.c: random changes of definitions against plain arrays. */
#include "price/definition.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES 6
#define ACCOUNTS 2

static char dir[64];
static struct control *control;

static void open_control(void) {
    char why[200] = "";
    cr_assert_eq(control_open(dir, true, &control, why, sizeof why), ERR_OK, "%s", why);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/definition-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    open_control();
}

static void teardown(void) {
    char command[128];
    control_close(control);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(definition, .init = setup, .fini = teardown);

static struct slice text(const char *value) {
    return (struct slice){value, strlen(value)};
}

static bool same(struct slice a, const char *b) {
    return a.bytes == strlen(b) && memcmp(a.data, b, a.bytes) == 0;
}

static const char *const feature[NAMES] = {"a", "b", "chat", "Chat", "c d", "\xc3\xa9"};

struct expected {
    u64 id; /* 0: no row */
    bool removed;
    char name[32];
    enum definition_kind kind;
};
static struct expected expected[ACCOUNTS + 1][NAMES];
static u64 last_id[ACCOUNTS + 1];

static void check_all(void) {
    for (u32 account = 1; account <= ACCOUNTS; account++) {
        struct definition_list list;
        u32 rows = 0;
        cr_assert_eq(definition_list_read(control, account, &list), ERR_OK);
        for (u32 i = 0; i < NAMES; i++) {
            const struct expected *wanted = &expected[account][i];
            u32 at = definition_list_find(&list, text(feature[i]));
            rows += wanted->id != 0;
            cr_assert_eq(at != UINT32_MAX, wanted->id != 0, "%s", feature[i]);
            if (wanted->id != 0) {
                cr_assert(list.rows[at].id == wanted->id &&
                          same(list.rows[at].feature, feature[i]));
                cr_assert_eq(list.rows[at].removed, wanted->removed);
                cr_assert(wanted->removed || (same(list.rows[at].name, wanted->name) &&
                                              list.rows[at].kind == wanted->kind));
            }
        }
        cr_assert_eq(list.count, rows);
        definition_list_free(&list);
    }
}

/* What events would have made: the features with even numbers have events. */
static const struct definition *made(u32 i, struct definition *memory) {
    *memory = (struct definition){.id = definition_id_of_value(i),
                                  .feature = text(feature[i]),
                                  .name = text(feature[i]),
                                  .kind = DEFINITION_OUTCOME,
                                  .removed_events = 1};
    return i % 2 == 0 ? memory : NULL;
}

static void create(u32 account, u32 i, u32 number) {
    struct expected *wanted = &expected[account][i];
    char name[32];
    snprintf(name, sizeof name, "name-%u", number);
    struct definition definition = {
        .feature = text(feature[i]), .name = text(name), .kind = number % DEFINITION_KINDS};
    enum err err = definition_create(control, account, &definition);
    bool there = wanted->id != 0 && !wanted->removed;
    cr_assert_eq(err, there ? ERR_EXISTS : ERR_OK);
    if (!there) {
        cr_assert(definition.id % 2 == 0 && definition.id > last_id[account]);
        last_id[account] = definition.id;
        *wanted = (struct expected){.id = definition.id, .kind = definition.kind};
        memcpy(wanted->name, name, sizeof name);
    }
}

static void change(u32 account, u32 i, u32 number) {
    struct expected *wanted = &expected[account][i];
    struct definition memory;
    const struct definition *events = made(i, &memory);
    bool there = wanted->id != 0 && !wanted->removed;
    u64 id = there ? wanted->id : definition_id_of_value(i);
    char name[32];
    snprintf(name, sizeof name, "name-%u", number);
    struct definition_change wish = {.kind = number % (DEFINITION_KINDS + 1)};
    if (number % 2 == 0) {
        wish.name = text(name);
    }
    enum err err = definition_change(control, account, id, events, &wish);
    cr_assert_eq(err, there || events != NULL ? ERR_OK : ERR_NOT_FOUND);
    if (err != ERR_OK) {
        return;
    }
    if (!there) {
        *wanted = (struct expected){.id = id, .kind = DEFINITION_OUTCOME};
        snprintf(wanted->name, sizeof wanted->name, "%s", feature[i]);
    }
    wanted->kind = wish.kind != DEFINITION_KINDS ? wish.kind : wanted->kind;
    if (number % 2 == 0) {
        memcpy(wanted->name, name, sizeof name);
    }
}

static void take_away(u32 account, u32 i) {
    struct expected *wanted = &expected[account][i];
    struct definition memory;
    const struct definition *events = made(i, &memory);
    bool there = wanted->id != 0 && !wanted->removed;
    u64 id = there ? wanted->id : definition_id_of_value(i);
    enum err err = definition_remove(control, account, id, events);
    cr_assert_eq(err, there || events != NULL ? ERR_OK : ERR_NOT_FOUND);
    if (err == ERR_OK) {
        *wanted =
            (struct expected){.id = events != NULL ? events->id : 0, .removed = events != NULL};
    }
}

Test(definition, rows_are_as_last_changed) {
    u32 random = 7;
    for (u32 round = 0; round < 300; round++) {
        random = random * 1664525 + 1013904223;
        u32 account = 1 + (random >> 20) % ACCOUNTS;
        u32 i = (random >> 10) % NAMES;
        switch ((random >> 28) % 3) {
        case 0:
            create(account, i, round);
            break;
        case 1:
            change(account, i, round);
            break;
        default:
            take_away(account, i);
        }
        if (round % 60 == 59) {
            control_close(control);
            open_control();
        }
        check_all();
    }
}

Test(definition, the_largest_texts_fit) {
    static char name[DEFINITION_NAME_MAX + 1];
    static char description[DEFINITION_DESCRIPTION_MAX + 1];
    static char location[DEFINITION_LOCATION_MAX + 1];
    memset(name, 'n', DEFINITION_NAME_MAX);
    memset(description, 'd', DEFINITION_DESCRIPTION_MAX);
    memset(location, 'l', DEFINITION_LOCATION_MAX);
    struct definition largest = {.feature = text(name),
                                 .name = text(name),
                                 .description = text(description),
                                 .code_location = text(location),
                                 .kind = DEFINITION_VALUE,
                                 .created_ms = INT64_MIN,
                                 .updated_ms = INT64_MAX};
    cr_assert_eq(definition_create(control, 1, &largest), ERR_OK);
    struct definition_list list;
    cr_assert_eq(definition_list_read(control, 1, &list), ERR_OK);
    cr_assert_eq(list.count, 1);
    cr_assert(same(list.rows[0].description, description) && same(list.rows[0].name, name) &&
              same(list.rows[0].code_location, location) && list.rows[0].kind == DEFINITION_VALUE &&
              list.rows[0].created_ms == INT64_MIN && list.rows[0].updated_ms == INT64_MAX);
    definition_list_free(&list);
}

Test(definition, kinds_have_names) {
    for (u32 i = 0; i < DEFINITION_KINDS; i++) {
        enum definition_kind kind;
        const char *name = definition_kind_text((enum definition_kind)i);
        cr_assert(definition_kind_parse(text(name), &kind) && kind == (enum definition_kind)i);
    }
    enum definition_kind kind;
    cr_assert(!definition_kind_parse(text("costs"), &kind));
    cr_assert(!definition_kind_parse(text(""), &kind));
}
