/*
 * inspect: looks into a data directory: blocks, their columns and codings, snapshots, keys;
 * verifies. It opens everything read-only and may run beside a server. Exit codes: 0 good, 1 damage
 * or failure, 2 bad usage.
 */
#include "event.h"
#include "storage/block.h"
#include "storage/column.h"
#include "storage/log.h"
#include "storage/snapshot.h"
#include "storage/verify.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const column_names[BLOCK_COLUMNS] = {
    [COL_PRESENT] = "present",
    [COL_ACCOUNT] = "account",
    [COL_SERIES] = "series",
    [COL_CREATED] = "created",
    [COL_COST_SOURCE] = "cost_source",
    [COL_REVENUE_SOURCE] = "revenue_source",
    [COL_SOURCE] = "source",
    [COL_GRANULARITY] = "granularity",
    [COL_FLAGS] = "flags",
    [COL_DIGEST] = "digest",
    [COL_NUMBER + NUM_TIME] = "time",
    [COL_NUMBER + NUM_COST] = "cost",
    [COL_NUMBER + NUM_REVENUE] = "revenue",
    [COL_NUMBER + NUM_USAGE] = "usage",
    [COL_NUMBER + NUM_INPUT] = "input_tokens",
    [COL_NUMBER + NUM_OUTPUT] = "output_tokens",
    [COL_NUMBER + NUM_CACHED] = "cached_tokens",
    [COL_NUMBER + NUM_CACHE_WRITE] = "cache_write_tokens",
    [COL_NUMBER + NUM_REASONING] = "reasoning_tokens",
    [COL_NUMBER + NUM_DURATION] = "duration",
    [COL_TEXT + TEXT_COST_UNIT - SERIES_TEXTS] = "cost_unit",
    [COL_TEXT + TEXT_AGENT - SERIES_TEXTS] = "agent",
    [COL_TEXT + TEXT_KEY - SERIES_TEXTS] = "key",
    [COL_TEXT + TEXT_TRACE - SERIES_TEXTS] = "trace",
    [COL_TEXT + TEXT_SPAN - SERIES_TEXTS] = "span",
    [COL_TEXT + TEXT_PARENT - SERIES_TEXTS] = "parent_span",
    [COL_TEXT + TEXT_PROPERTIES - SERIES_TEXTS] = "properties",
    [COL_TEXT + TEXT_META - SERIES_TEXTS] = "meta",
    [COL_TEXT + TEXT_REFS - SERIES_TEXTS] = "refs",
};
static const char *const kind_names[BLOCK_KINDS] = {"group", "merged", "segment", "dropped"};

static int usage(FILE *to, int code) {
    fputs("usage: inspect DIR COMMAND\n"
          "\n"
          "  blocks      one line for each block of the log\n"
          "  block ID    the block that holds event ID: header, columns, codings, sizes\n"
          "  verify      read everything: checksums, chain, ids, and that all of it decodes;\n"
          "              also the control tables, the snapshots and the files of keys\n"
          "  snapshots   the snapshots and their sections\n"
          "  keys        the files of idempotency keys, each page of them checked\n"
          "  amendments  what was removed or changed since it was written\n"
          "\n"
          "Reads only; a server may run on the same directory.\n"
          "Exit codes: 0 good, 1 damage or failure, 2 bad usage.\n",
          to);
    return code;
}

static int failed(const char *what, enum err err) {
    fprintf(stderr, "inspect: %s: %s\n", what, err_text(err));
    return 1;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static int print_blocks(struct log *log) {
    struct log_entry entry;
    bool damaged = false;
    printf("%14s %8s %-8s %10s %7s  %s\n", "first_id", "events", "kind", "bytes", "b/event",
           "time_min..time_max (ms)");
    for (u64 id = 1; log_find(log, id, &entry); id = entry.first_id + entry.count) {
        if (entry.damaged) {
            printf("%14" PRIu64 " %8" PRIu64 " damaged  %10u\n", entry.first_id, entry.count,
                   entry.bytes);
            damaged = true;
            continue;
        }
        u64 tenths = (u64)entry.bytes * 10 / entry.count;
        printf("%14" PRIu64 " %8" PRIu64 " %-8s %10u %5" PRIu64 ".%" PRIu64 "  %" PRId64
               "..%" PRId64 "\n",
               entry.first_id, entry.count, kind_names[entry.kind], entry.bytes, tenths / 10,
               tenths % 10, entry.time_min, entry.time_max);
    }
    return damaged ? 1 : 0;
}

static const char *coding_of(u32 column, struct slice section) {
    const u8 *data = (const u8 *)section.data;
    if (column == COL_NUMBER + NUM_USAGE && section.bytes == 1 && data[0] == BLOCK_USAGE_TOKENS) {
        return "tokens";
    }
    return column < COL_TEXT ? column_coding(data, section.bytes)
                             : text_coding(data, section.bytes);
}

/* Sum over frames, with the different codings that occur. */
static void print_column(const struct block_view *view, u32 column) {
    u64 bytes = 0;
    char codings[128] = "";
    for (u32 frame = 0; frame < view->header.frame_count; frame++) {
        struct slice section = block_section_of(view, frame, column);
        if (section.bytes == 0) {
            continue;
        }
        bytes += section.bytes;
        const char *coding = coding_of(column, section);
        usize used = strlen(codings);
        if (strstr(codings, coding) == NULL && used + strlen(coding) + 2 < sizeof codings) {
            snprintf(codings + used, sizeof codings - used, "%s%s", used > 0 ? " " : "", coding);
        }
    }
    u64 hundredths = bytes * 100 / view->header.count;
    printf("  %-18s %10" PRIu64 " bytes %4" PRIu64 ".%02" PRIu64 " b/event  %s\n",
           column_names[column], bytes, hundredths / 100, hundredths % 100, codings);
}

static enum err count_def(void *context, const struct series_def *def, u64 last_id) {
    (void)def;
    (void)last_id;
    *(u32 *)context += 1;
    return ERR_OK;
}

/* Definitions of these events that are there a second time. */
static u32 count_copies(struct log *log, const struct block_header *header) {
    struct block_reader *reader;
    u32 seen = 0;
    u32 count;
    if (block_reader_create(&reader) == ERR_OK) {
        log_read_defs(log, header->first_id, header->first_id + header->count, reader, count_def,
                      &seen, &count);
        block_reader_destroy(reader);
    }
    return seen;
}

static int print_block(struct log *log, u64 id) {
    struct log_read read;
    struct block_view view;
    const char *what = "";
    enum err err = log_read_begin(log, id, &read);
    if (err != ERR_OK) {
        return err == ERR_NOT_FOUND
               ? fprintf(stderr, "inspect: no block holds event %" PRIu64 "\n", id),
               1 : failed("block", err);
    }
    err = block_view_open(&view, read.block.data, read.block.bytes, &what);
    if (err != ERR_OK) {
        log_read_end(&read);
        return failed(what, err);
    }
    const struct block_header *header = &view.header;
    printf("kind %s\nfirst_id %" PRIu64 "\nevents %u\nframes %u\nbytes %" PRIu64 "\n",
           kind_names[header->kind], header->first_id, header->count, header->frame_count,
           header->block_bytes);
    printf("time %" PRId64 "..%" PRId64 "\nprevious %016" PRIx64 "\nchain %016" PRIx64 "\n",
           header->time_min, header->time_max, header->previous, block_chain(header));
    printf("columns\n");
    for (u32 column = 0; column < BLOCK_COLUMNS; column++) {
        if ((header->column_mask >> column & 1) != 0) {
            print_column(&view, column);
        }
    }
    printf("definitions %u in %u bytes, kept twice %u\n", header->def_count, header->def_bytes,
           count_copies(log, header));
    printf("directory %u bytes\nindex %zu bytes\n", header->directory_bytes, read.index.bytes);
    log_read_end(&read);
    return 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* More files than these are what a server that runs is about to remove. */
static int print_keys(const char *dir) {
    static u64 ids[4 * RUNS_MAX];
    u32 count = run_list(dir, ids, ARRAY_COUNT(ids));
    int code = 0;
    for (u32 i = 0; i < MIN(count, (u32)ARRAY_COUNT(ids)); i++) {
        u64 keys = 0;
        u64 bytes = 0;
        enum err err = run_check(dir, ids[i], &keys, &bytes);
        if (err == ERR_NOT_FOUND) { /* merged meanwhile */
            continue;
        }
        printf("keys %020" PRIu64 ": %" PRIu64 " keys, %" PRIu64 " bytes%s%s\n", ids[i], keys,
               bytes, err == ERR_OK ? "" : ", ", err == ERR_OK ? "" : err_text(err));
        code = err == ERR_OK ? code : 1;
    }
    return code;
}

/* --- verify ----------------------------------------------------------------------------------- */

static void report(void *context, const struct store_damage *damage) {
    *(u64 *)context += 1;
    printf("damage: events %" PRIu64 "..%" PRIu64 ": %s\n", damage->id_from, damage->id_to - 1,
           damage->what);
}

static void report_beside(void *context, const char *what) {
    *(u64 *)context += 1;
    printf("damage: %s\n", what);
}

static int verify(struct log *log, const char *dir) {
    u64 damages = 0;
    verify_beside(dir, report_beside, &damages);
    enum err err = verify_log(log, report, NULL, &damages);
    if (err != ERR_OK) {
        return failed("verify", err);
    }
    printf("events %" PRIu64 ": %" PRIu64 " damages\n", log_next_id(log) - 1, damages);
    return damages > 0 ? 1 : 0;
}

/* --- amendments ------------------------------------------------------------------------------- */

static bool print_amendment(void *context, const struct amend_header *header) {
    bool clear = header->kind == STORE_CLEAR;
    (void)context;
    printf("%6" PRIu64 " before id %" PRIu64, header->sequence, header->position);
    if (header->kind == STORE_EXPIRE) {
        printf(" expires old events, notes what %u accounts received", header->count);
    } else {
        printf(" account %u %s %u %s", header->account, clear ? "clears" : "changes revenue of",
               header->count, clear ? "series" : "events");
    }
    if (clear && header->source < EVENT_SOURCES) {
        printf(" of source %s", event_source_text((enum event_source)header->source));
    }
    printf(" at %" PRId64 " ms\n", header->made_ms);
    return true;
}

static int print_amendments(struct log *log) {
    enum err err = log_each_amendment(log, print_amendment, NULL);
    return err == ERR_OK ? 0 : failed("amendments", err);
}

/* --- snapshots -------------------------------------------------------------------------------- */

static int print_snapshots(const char *dir) {
    int code = 0;
    for (u32 skip = 0;; skip++) {
        struct snapshot_reader *reader;
        struct snapshot_position position;
        enum err err = snapshot_file_open(dir, skip, &reader, &position);
        if (err == ERR_NOT_FOUND) {
            break;
        }
        if (err != ERR_OK) {
            printf("snapshot %u: %s\n", skip, err_text(err));
            code = 1;
            continue;
        }
        u32 tag;
        const void *data;
        usize bytes;
        u64 total = 0;
        u32 sections = 0;
        while (snapshot_next(reader, &tag, &data, &bytes)) {
            total += bytes;
            sections++;
        }
        printf("snapshot %u: next_id %" PRIu64 ", amendments %" PRIu64 ", log hash %016" PRIx64
               ", %u sections, %" PRIu64 " bytes\n",
               skip, position.next_id, position.amendments, position.log_hash, sections, total);
        snapshot_close(reader);
    }
    return code;
}

/* --- the command line ------------------------------------------------------------------------- */

static bool read_id(const char *text, u64 *id) {
    char *end;
    *id = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(stdout, 0);
    }
    u64 id = 0;
    const char *command = argc >= 3 ? argv[2] : "";
    bool one = argc == 4 && strcmp(command, "block") == 0 && read_id(argv[3], &id);
    bool others = argc == 3 && (strcmp(command, "blocks") == 0 || strcmp(command, "verify") == 0 ||
                                strcmp(command, "snapshots") == 0 ||
                                strcmp(command, "amendments") == 0 || strcmp(command, "keys") == 0);
    if (!one && !others) {
        if (argc >= 3) {
            fprintf(stderr, "inspect: no such command, or not with these arguments: %s\n\n",
                    command);
        }
        return usage(stderr, 2);
    }
    char why[256] = "";
    struct log *log;
    struct log_options options = {
        .dir = argv[1], .map_bytes = LOG_MAP_BYTES_DEFAULT, .read_only = true};
    enum err err = db_dir_prepare(argv[1], false, why, sizeof why);
    if (err == ERR_OK && strcmp(command, "snapshots") == 0) {
        return print_snapshots(argv[1]);
    }
    if (err == ERR_OK && strcmp(command, "keys") == 0) {
        return print_keys(argv[1]);
    }
    err = err == ERR_OK ? log_open(&options, &log, why, sizeof why) : err;
    if (err != ERR_OK) {
        fprintf(stderr, "inspect: %s\n", why);
        return 1;
    }
    int code = one                                  ? print_block(log, id)
               : strcmp(command, "blocks") == 0     ? print_blocks(log)
               : strcmp(command, "amendments") == 0 ? print_amendments(log)
                                                    : verify(log, argv[1]);
    log_close(log);
    return code;
}
