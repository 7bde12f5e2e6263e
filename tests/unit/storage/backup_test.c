/*
 * backup_test.c: copies of a directory that a second process appends to, merges and amends while
 * they are made, in steps so small that every block is one: whatever happened in between, the copy
 * is a prefix of the log, whole, with the control tables of the same moment. A reader that verifies
 * the log meanwhile finds no fault. And what is refused.
 */
#include "storage/copy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"

#define MAP_BYTES (256 * MIB)
#define ROUNDS 6

static char root[64];
static char why[1024];
static struct event_batch batch;
static char batch_text[EVENT_BATCH_MAX * 32];
static u32 rows[EVENT_BATCH_MAX];

/* Lasts for some calls. */
static char *path_of(const char *name) {
    static char paths[16][160];
    static u32 at;
    char *path = paths[at++ % ARRAY_COUNT(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void make_root(void) {
    snprintf(root, sizeof root, "/tmp/backup_test.XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
}

static void drop_root(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert(system(command) == 0);
}

static void run(const char *format, const char *a, const char *b) {
    char command[512];
    snprintf(command, sizeof command, format, path_of(a), path_of(b));
    cr_assert(system(command) == 0, "%s", command);
}

static struct store *open_store(const char *name, bool read_only) {
    struct store *store;
    struct store_options options = {.dir = path_of(name),
                                    .log_map_bytes = MAP_BYTES,
                                    .read_only = read_only,
                                    .skip_sync = true};
    cr_assert_eq(store_open(&options, &store, why, sizeof why), ERR_OK, "%s", why);
    return store;
}

/* --- who writes ------------------------------------------------------------------------------- */

/* Event n is of series (n / 100), earns n and has the key "key-n"; the first of a hundred defines
 * the series. */
static void append(struct store *store, u32 count) {
    static struct series_def defs[EVENT_BATCH_MAX];
    u64 first = store_next_id(store);
    u32 def_count = 0;
    batch.account = 3;
    batch.text = batch_text;
    batch.text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        u64 id = first + i;
        u32 series = (u32)(id / 100);
        if (id == 1 || id % 100 == 0) {
            defs[def_count++] = (struct series_def){.series = series, .account = 3};
        }
        rows[i] = i;
        batch.present[i] = TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) | NUM_BIT(NUM_REVENUE);
        batch.series[i] = series;
        batch.number[NUM_TIME][i] = 1700000000000 + (i64)id;
        batch.number[NUM_REVENUE][i] = (i64)id;
        int bytes = snprintf(batch_text + batch.text_bytes, 32, "key-%llu", (unsigned long long)id);
        batch.ref[TEXT_KEY][i] = (struct text_ref){batch.text_bytes, (u32)bytes};
        batch.text_bytes += (u32)bytes;
    }
    struct store_part part = {&batch, rows, count};
    struct store_group group = {&part, 1, count, defs, def_count};
    cr_assert_eq(store_append(store, &group), ERR_OK);
}

static void merge_all(struct store *store) {
    bool did;
    do {
        cr_assert_eq(store_merge(store, &did), ERR_OK);
    } while (did);
}

/* Every amendment goes with a row of the control tables, written just after it. */
static void amend(struct store *store, struct control *control) {
    u64 count = store_amendments(store);
    struct store_revenue revenue = {.id = count + 1, .revenue = -1};
    struct store_amendment amendment = {
        .kind = STORE_REVENUE, .account = 3, .revenues = &revenue, .revenue_count = 1};
    cr_assert_eq(store_amend(store, &amendment, NULL), ERR_OK);
    store_show(store);
    struct control_object object = {.account = 3, .kind = CONTROL_KEY, .number = count + 1};
    cr_assert_eq(control_put(control, &object, SLICE("amended")), ERR_OK);
}

/* The process that owns the directory: does what it is told, one letter at a time. */
static void own(int in, int out) {
    struct store *store = open_store("data", false);
    struct control *control;
    cr_assert_eq(control_open(path_of("data"), true, &control, why, sizeof why), ERR_OK);
    char what = 'r';
    do {
        switch (what) {
        case 'l': /* long enough for a segment, with those before it */
            append(store, EVENT_BATCH_MAX);
            break;
        case 's':
            append(store, 1 + (u32)(store_next_id(store) % 7));
            break;
        case 'm':
            merge_all(store);
            break;
        case 'a':
            amend(store, control);
            break;
        default:
            break;
        }
    } while (write(out, &what, 1) == 1 && read(in, &what, 1) == 1);
    control_close(control);
    store_close(store);
}

struct writer {
    pid_t pid;
    int in;
    int out;
    u32 random;
};

static struct writer writer_start(void) {
    int to[2];
    int from[2];
    struct writer writer = {.random = 12345};
    cr_assert(pipe(to) == 0 && pipe(from) == 0);
    writer.pid = fork();
    cr_assert(writer.pid >= 0);
    if (writer.pid == 0) {
        close(to[1]);
        close(from[0]);
        own(to[0], from[1]);
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    writer.in = to[1];
    writer.out = from[0];
    char ready;
    cr_assert(read(writer.out, &ready, 1) == 1, "the writer is gone");
    return writer;
}

static void tell(struct writer *writer, char what, u32 times) {
    for (u32 i = 0; i < times; i++) {
        char done;
        cr_assert(write(writer->in, &what, 1) == 1 && read(writer->out, &done, 1) == 1,
                  "the writer is gone");
    }
}

static void writer_end(struct writer *writer) {
    int status;
    close(writer->in);
    close(writer->out);
    cr_assert(waitpid(writer->pid, &status, 0) == writer->pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the writer failed");
}

/* Between two steps of a copy. */
static void interfere(void *context, const char *step, u64 done, u64 total) {
    struct writer *writer = context;
    (void)step;
    cr_assert(done <= total);
    writer->random = writer->random * 1664525 + 1013904223;
    switch (writer->random >> 29) {
    case 0:
        tell(writer, 'l', 9);
        break;
    case 1:
        tell(writer, 's', 40);
        break;
    case 2:
        tell(writer, 'm', 1);
        break;
    case 3:
        tell(writer, 'a', 1);
        break;
    default:
        break;
    }
}

/* --- what was copied -------------------------------------------------------------------------- */

static void count_damage(void *context, const struct store_damage *damage) {
    ++*(u32 *)context;
    printf("%llu to %llu: %s\n", (unsigned long long)damage->id_from,
           (unsigned long long)damage->id_to, damage->what);
}

static bool count_object(void *context, const struct control_object *object, struct slice value) {
    (void)value;
    u64 *count = context;
    return object->number == ++*count;
}

static u64 read_events(struct store *store, u64 amendments) {
    struct store_scan *scan;
    struct store_scan_options options = {
        .filter = store_filter_all, .columns = UINT32_MAX, .want_defs = true};
    const struct event_batch *got;
    u64 events = 0;
    u32 known = 0;
    cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
    do {
        const struct series_def *defs;
        u32 def_count;
        struct store_damage damage;
        cr_assert_eq(store_scan_next(scan, &got, &defs, &def_count, &damage), ERR_OK);
        for (u32 i = 0; i < def_count; i++) {
            cr_assert_eq(defs[i].series, known++);
        }
        for (u32 i = 0; i < got->count; i++) {
            u64 id = ++events;
            cr_assert_eq(got->id[i], id);
            cr_assert_eq(got->number[NUM_REVENUE][i], id <= amendments ? -1 : (i64)id);
            cr_assert(got->series[i] < known);
        }
    } while (got->count > 0);
    store_scan_close(scan);
    return events;
}

static void check_copy(const char *name, u64 next_id) {
    struct store *store = open_store(name, true);
    struct control *control;
    u32 damages = 0;
    u64 objects = 0;
    u64 amendments = store_amendments(store);
    cr_assert_eq(store_next_id(store), next_id);
    cr_assert_eq(store_verify(store, count_damage, NULL, &damages), ERR_OK);
    cr_assert_eq(damages, 0);
    cr_assert_eq(read_events(store, amendments), next_id - 1);
    cr_assert_eq(control_open(path_of(name), false, &control, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(control_each(control, 3, CONTROL_KEY, count_object, &objects), ERR_OK);
    /* The writer waits between two steps, so that no amendment is without its row. */
    cr_assert_eq(objects, amendments);
    control_close(control);
    store_close(store);
}

Test(backup, while_somebody_writes) {
    make_root();
    struct writer writer = writer_start();
    tell(&writer, 's', 300);
    tell(&writer, 'l', 20);
    for (u32 round = 0; round < ROUNDS; round++) {
        char name[16];
        snprintf(name, sizeof name, "copy-%u", round);
        cr_assert(mkdir(path_of(name), 0700) == 0);
        struct copying what = {.from = path_of("data"),
                               .to = path_of(name),
                               .step_bytes = round % 2 == 0 ? 1 : 100 * KIB,
                               .progress = interfere,
                               .context = &writer,
                               .why = why,
                               .why_bytes = sizeof why};
        cr_assert_eq(copy_data(&what), ERR_OK, "%s", why);
        run("cp %s/FORMAT %s/", "data", name);
        check_copy(name, what.next_id);
    }
    writer_end(&writer);
    drop_root();
}

/* --- verifying meanwhile ---------------------------------------------------------------------- */

struct looks {
    struct writer writer;
    u32 damages;
};

static void interfere_again(void *context, u64 done, u64 total) {
    struct looks *looks = context;
    interfere(&looks->writer, "", done, total);
}

static void count_false_alarm(void *context, const struct store_damage *damage) {
    struct looks *looks = context;
    count_damage(&looks->damages, damage);
}

/* What was merged, amended and defined since the reader has looked is no damage, nor is a block
 * that has more than the log had when a scan began. */
Test(backup, verified_while_somebody_writes) {
    make_root();
    struct looks looks = {.writer = writer_start()};
    tell(&looks.writer, 's', 300);
    tell(&looks.writer, 'l', 20);
    struct store *store = open_store("data", true);
    for (u32 round = 0; round < ROUNDS; round++) {
        tell(&looks.writer, 's', 90); /* not merged yet: the next verdict meets them in segments */
        cr_assert_eq(store_verify(store, count_false_alarm, interfere_again, &looks), ERR_OK);
        cr_assert_eq(looks.damages, 0);
        struct store_scan *scan;
        struct store_scan_options options = {.filter = store_filter_all, .columns = UINT32_MAX};
        const struct event_batch *got;
        struct store_damage damage;
        u64 end = 0;
        cr_assert_eq(store_scan_open(store, &options, &scan), ERR_OK);
        u64 events = store_next_id(store) - 1;
        tell(&looks.writer, 'l', 9);
        tell(&looks.writer, 'm', 1);
        do {
            cr_assert_eq(store_scan_next(scan, &got, NULL, NULL, &damage), ERR_OK, "%s",
                         damage.what);
            end = got->count > 0 ? got->id[got->count - 1] : end;
        } while (got->count > 0);
        cr_assert_geq(end, events);
        store_scan_close(scan);
    }
    store_close(store);
    writer_end(&looks.writer);
    drop_root();
}

/* --- whole backups ---------------------------------------------------------------------------- */

static enum err back_up(const char *from, const char *to, bool back) {
    static const char *const files[] = {"api-key", "absent"};
    struct store_copy what = {
        .from = path_of(from), .to = path_of(to), .files = files, .file_count = ARRAY_COUNT(files)};
    return (back ? store_restore : store_backup)(&what, why, sizeof why);
}

static void expect_mode(const char *path, mode_t mode) {
    struct stat stat_of;
    cr_assert(stat(path_of(path), &stat_of) == 0, "%s", path);
    cr_assert_eq(stat_of.st_mode & 0777, mode, "%s", path);
}

static bool is_there(const char *name) {
    return access(path_of(name), F_OK) == 0;
}

Test(backup, there_and_back) {
    make_root();
    struct writer writer = writer_start();
    tell(&writer, 's', 20);
    tell(&writer, 'a', 2);
    run("echo secret >%s; chmod 644 %s", "data/api-key", "data/api-key");
    cr_assert_eq(back_up("data", "backup", false), ERR_OK, "%s", why);
    tell(&writer, 'l', 1);
    static const char *const secret[] = {"backup/api-key", "backup/log/data.mdb",
                                         "backup/control/data.mdb", "backup/BACKUP"};
    for (u32 i = 0; i < ARRAY_COUNT(secret); i++) {
        expect_mode(secret[i], 0600);
    }
    expect_mode("backup", 0700);
    cr_assert(!is_there("backup.partial"));
    cr_assert(mkdir(path_of("restored"), 0755) == 0); /* empty: good enough */
    cr_assert_eq(back_up("backup", "restored", true), ERR_OK, "%s", why);
    cr_assert(!is_there("restored/BACKUP"), "it may change from now on");
    run("cmp -s %s %s", "data/api-key", "restored/api-key");
    struct store *store = open_store("restored", true);
    u64 events = store_next_id(store);
    store_close(store);
    check_copy("restored", events);
    /* What was cut off is in nobody's way. */
    run("mkdir -p %s/log; echo half >%s/log/data.mdb", "again.partial", "again.partial");
    cr_assert_eq(back_up("data", "again", false), ERR_OK, "%s", why);
    writer_end(&writer);
    drop_root();
}

Test(backup, refusals) {
    make_root();
    struct writer writer = writer_start();
    tell(&writer, 'l', 2);
    tell(&writer, 'a', 1);
    writer_end(&writer);
    run("mkdir %s; touch %s", "full", "full/something");
    cr_assert_eq(back_up("data", "full", false), ERR_EXISTS);
    cr_assert(strstr(why, "is not empty") != NULL, "%s", why);
    cr_assert(!is_there("full.partial") && is_there("full/something"));
    cr_assert_eq(back_up("nowhere", "backup", false), ERR_NOT_FOUND);
    cr_assert_eq(back_up("data", "backup", true), ERR_NOT_FOUND, "no backup");
    cr_assert(strstr(why, "BACKUP") != NULL, "%s", why);
    run("mkdir %s; touch %s", "strange.partial", "strange.partial/mine");
    cr_assert_eq(back_up("data", "strange", false), ERR_EXISTS);
    cr_assert(is_there("strange.partial/mine"));

    /* A backup that was changed since. */
    cr_assert_eq(back_up("data", "backup", false), ERR_OK, "%s", why);
    struct control *control;
    struct control_object object = {.account = 3, .kind = CONTROL_KEY, .number = 9};
    cr_assert_eq(control_open(path_of("backup"), false, &control, why, sizeof why), ERR_OK);
    cr_assert_eq(control_put(control, &object, SLICE("a key of the attacker")), ERR_OK);
    control_close(control);
    cr_assert_eq(back_up("backup", "restored", true), ERR_CORRUPT);
    cr_assert(strstr(why, "changed since") != NULL, "%s", why);
    run("sed -i s/events.[0-9]*/events\\ 5/ %s; test -f %s", "backup/BACKUP", "backup/BACKUP");
    cr_assert_eq(back_up("backup", "restored", true), ERR_CORRUPT);

    /* A log with damage is not copied as if it were whole. */
    run("LC_ALL=C sed -i s/key-/KEY-/ %s; test -f %s", "data/log/data.mdb", "data/log/data.mdb");
    cr_assert_eq(back_up("data", "bad", false), ERR_CORRUPT);
    cr_assert(!is_there("bad") && !is_there("bad.partial") && !is_there("restored") &&
              !is_there("restored.partial"));
    drop_root();
}
