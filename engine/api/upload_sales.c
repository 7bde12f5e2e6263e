/*
 * upload_sales.c: what an account sells is in two places: customers, plans and subscriptions in the
 * control tables, what they bring as events in the log. Changing both is one step: the tables are
 * written first, with a note that the log is to follow, and seen by nobody; the log shows together
 * with the figures and the tables; then the note goes. A crash on the way leaves the note, and the
 * next start does what it says. If the log cannot follow, the tables are put back.
 *
 * Doing it twice changes nothing more: a subscription's event follows from the tables and from the
 * note. But all events of an account are only removed if they have not been yet, for there may be
 * others by then: how often that was is part of how its keys are known (store_key_epoch()).
 */
#include "api/upload.h"

#include <pthread.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/record.h"
#include "upload/sales.h"

/* What is left to be done with the log. */
struct note {
    bool all;      /* all events go; else those of subscriptions are exchanged */
    u32 key_epoch; /* before that */
    i64 now_ms;    /* the time of the events */
};

static const struct record_member members[] = {
    RECORD(1, RECORD_BOOL, struct note, all),
    RECORD(2, RECORD_U32, struct note, key_epoch),
    RECORD(3, RECORD_I64, struct note, now_ms),
};

static const struct slice names[] = {{"revenue", sizeof "revenue" - 1}};

static void show(void *context) {
    directory_show(context);
}

/* The tables' half, then the log's. Nobody knows which of the two a failed write to the log was. */
static enum err change_both(struct context *context, const struct directory_set *set,
                            const struct note *note, struct amend_request *request) {
    char memory[DIRECTORY_NOTE_MAX];
    struct slice record;
    struct directory_change *change;
    check(record_write(members, ARRAY_COUNT(members), note, memory, sizeof memory, &record) ==
          ERR_OK);
    enum err err = directory_begin(context->directory, context->agg, request->account, set, record,
                                   note->now_ms, &change);
    if (err != ERR_OK) {
        return err;
    }
    fault_point("upload.tables-changed");
    request->shown = show;
    request->shown_context = change;
    err = pipeline_amend(context->pipeline, request);
    fault_point("upload.both-changed");
    enum err end = directory_end(change, err == ERR_OK   ? DIRECTORY_KEEP
                                         : err == ERR_IO ? DIRECTORY_LEAVE
                                                         : DIRECTORY_UNDO);
    if (end != ERR_OK) {
        log_error("upload_note_stays", "account=%u reason=%s log=%s", request->account,
                  err_text(end), err_text(err));
    }
    /* Tables that could not be put back are no refusal: the next start finishes what they began. */
    return err != ERR_OK && end != ERR_OK ? ERR_IO : err;
}

/* --- what was cut off --------------------------------------------------------------------------
 */

static struct amend_request clear_request(u32 account, bool all) {
    return (struct amend_request){.account = account,
                                  .kind = STORE_CLEAR,
                                  .source = all ? DIM_NONE : SOURCE_CSV,
                                  .names = all ? NULL : names,
                                  .name_count = all ? 0 : ARRAY_COUNT(names)};
}

/* Events that retention would have removed by now are left out; those before them go. */
static enum err finish_sales(struct context *context, u32 account, const struct note *note) {
    struct upload upload;
    bool expired = note->now_ms < pipeline_oldest_ms(context->pipeline);
    upload_init(&upload, UPLOAD_REVENUE, note->now_ms);
    const struct book *book = directory_acquire(context->directory, account);
    enum err err = expired ? ERR_OK : sales_events(&upload, book);
    if (err == ERR_OK) {
        err = upload_replace(context, account, &upload, names, ARRAY_COUNT(names));
    }
    directory_release(context->directory, book);
    upload_free(&upload);
    return err;
}

static enum err finish_log(struct context *context, u32 account, const struct note *note) {
    if (!note->all) {
        return finish_sales(context, account, note);
    }
    if (store_key_epoch(context->store, account) != note->key_epoch) {
        return ERR_OK;
    }
    struct amend_request request = clear_request(account, true);
    return pipeline_amend(context->pipeline, &request);
}

static enum err finish(struct context *context, u32 account, struct slice record) {
    struct note note;
    enum err err = record_read(members, ARRAY_COUNT(members), record, &note);
    if (err == ERR_CORRUPT) { /* it says nothing, and is not to be in the way of the next upload */
        log_error("upload_note_damaged", "account=%u", account);
        return directory_forget_note(context->directory, account);
    }
    if (err == ERR_OK) {
        fault_point("upload.unfinished");
        err = finish_log(context, account, &note);
        fault_point("upload.finished");
    }
    if (err == ERR_OK) {
        err = directory_forget_note(context->directory, account);
    }
    if (err == ERR_OK) {
        log_info("upload_finished", "account=%u kind=%s", account, note.all ? "clear" : "revenue");
    } else {
        log_error("upload_not_finished", "account=%u reason=%s action=\"tried again later\"",
                  account, err_text(err));
    }
    return err;
}

/* Uploads and clears take turns: a note is of the tables and of the epoch that there are, and only
 * of what was cut off. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* In turn: the first account after `after` with a note gets its other half. */
static enum err finish_next(struct context *context, u32 after, u32 *account) {
    char memory[DIRECTORY_NOTE_MAX];
    usize bytes = 0;
    enum err err = directory_note(context->directory, after, account, memory, &bytes);
    return err == ERR_OK ? finish(context, *account, (struct slice){memory, bytes}) : err;
}

bool upload_finish(struct context *context) {
    u32 account = 0;
    bool all = true;
    pthread_mutex_lock(&turn);
    for (;;) {
        u32 before = account;
        enum err err = finish_next(context, before, &account);
        all = all && (err == ERR_OK || err == ERR_NOT_FOUND);
        if (account <= before) {
            break;
        }
    }
    pthread_mutex_unlock(&turn);
    return all;
}

/* --- changing ----------------------------------------------------------------------------------
 */

/* What was cut off comes first: its note would be lost. */
static enum err change_in_turn(struct context *context, const struct directory_set *set,
                               struct amend_request *request, i64 now_ms) {
    char memory[DIRECTORY_NOTE_MAX];
    usize bytes = 0;
    u32 account;
    pthread_mutex_lock(&turn);
    enum err err =
        directory_note(context->directory, request->account - 1, &account, memory, &bytes);
    if (err == ERR_OK && account == request->account) {
        err = finish(context, account, (struct slice){memory, bytes});
    }
    if (err == ERR_OK || err == ERR_NOT_FOUND) {
        const struct note note = {request->source == DIM_NONE,
                                  store_key_epoch(context->store, request->account), now_ms};
        err = change_both(context, set, &note, request);
    }
    pthread_mutex_unlock(&turn);
    return err;
}

enum err upload_sales(struct context *context, u32 account, struct sales *sales, i64 now_ms) {
    const struct directory_set set = sales_set(sales);
    struct amend_request request;
    enum err err =
        upload_request(context, account, &sales->upload, names, ARRAY_COUNT(names), &request);
    if (err == ERR_OK) {
        err = change_in_turn(context, &set, &request, now_ms);
        upload_request_free(&request);
    }
    return err;
}

enum err upload_clear(struct context *context, u32 account, bool all, i64 now_ms) {
    const struct directory_set nothing = {.source = DIRECTORY_UPLOAD};
    struct amend_request request = clear_request(account, all);
    return change_in_turn(context, &nothing, &request, now_ms);
}
