/* amend.c: see amend.h. A new overlay is made beside the one in force, so that readers never wait
 * for one and never see half of one. */
#include "storage/amend.h"

#include "base/hash.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define NAME_HEAD_BYTES 2
#define GROUP_BITS 7
#define GROUPS_MAX 5 /* of a 32-bit number */
#define REVENUE_ROW_BYTES (sizeof(u64) + sizeof(i64) + 1)
#define ACCOUNT_ROW_BYTES (sizeof(u32) + sizeof(i64) + sizeof(u64))
#define SERIES_ROUND 4096

static u64 record_hash(const char *record, usize bytes) {
    u64 head = hash64(record, offsetof(struct amend_header, hash), AMEND_MAGIC);
    usize body = sizeof(struct amend_header);
    return bytes > body ? hash64(record + body, bytes - body, head) : head;
}

/* --- writing ---------------------------------------------------------------------------------- */

static usize body_bytes_max(const struct store_amendment *amendment) {
    usize bytes = (usize)amendment->series_count * GROUPS_MAX +
                  (usize)amendment->revenue_count * REVENUE_ROW_BYTES + sizeof(i64) +
                  (usize)amendment->account_count * ACCOUNT_ROW_BYTES;
    for (u32 i = 0; i < amendment->name_count; i++) {
        bytes += NAME_HEAD_BYTES + amendment->names[i].bytes;
    }
    return bytes;
}

static bool is_valid(const struct store_amendment *amendment) {
    bool good = amendment->account < ACCOUNTS_MAX && amendment->name_count <= AMEND_NAMES_MAX;
    for (u32 i = 0; good && i < amendment->name_count; i++) {
        good = amendment->names[i].bytes > 0 && amendment->names[i].bytes <= EVENT_NAME_MAX;
    }
    for (u32 i = 1; good && i < amendment->series_count; i++) {
        good = amendment->series[i] > amendment->series[i - 1];
    }
    for (u32 i = 0; good && i < amendment->revenue_count; i++) {
        const struct store_revenue *revenue = &amendment->revenues[i];
        good = revenue->source < REVENUE_SOURCES && (i == 0 || revenue->id > revenue[-1].id);
    }
    for (u32 i = 0; good && i < amendment->account_count; i++) {
        const struct store_received *received = &amendment->accounts[i];
        good = received->account < ACCOUNTS_MAX &&
               (i == 0 || received->account > received[-1].account);
    }
    if (amendment->kind == STORE_EXPIRE) {
        return good && amendment->revenue_count == 0 && amendment->series_count == 0 &&
               amendment->name_count == 0 && amendment->before_ms > 0;
    }
    good = good && amendment->account_count == 0;
    if (amendment->kind == STORE_CLEAR) {
        return good && amendment->revenue_count == 0 &&
               (amendment->source < EVENT_SOURCES || amendment->source == DIM_NONE);
    }
    return good && amendment->kind == STORE_REVENUE && amendment->series_count == 0 &&
           amendment->name_count == 0 && amendment->revenue_count > 0;
}

static char *put_clear(char *out, const struct store_amendment *amendment) {
    for (u32 i = 0; i < amendment->name_count; i++) {
        u16 bytes = (u16)amendment->names[i].bytes;
        memcpy(out, &bytes, NAME_HEAD_BYTES);
        memcpy(out + NAME_HEAD_BYTES, amendment->names[i].data, bytes);
        out += NAME_HEAD_BYTES + bytes;
    }
    u32 before = 0;
    for (u32 i = 0; i < amendment->series_count; i++) {
        u32 difference = amendment->series[i] - before;
        before = amendment->series[i];
        for (; difference >> GROUP_BITS != 0; difference >>= GROUP_BITS) {
            *out++ = (char)(u8)(difference | 0x80);
        }
        *out++ = (char)(u8)difference;
    }
    return out;
}

static char *put_revenues(char *out, const struct store_amendment *amendment) {
    u32 count = amendment->revenue_count;
    char *amounts = out + count * sizeof(u64);
    char *sources = amounts + count * sizeof(i64);
    for (u32 i = 0; i < count; i++) {
        const struct store_revenue *revenue = &amendment->revenues[i];
        memcpy(out + i * sizeof(u64), &revenue->id, sizeof(u64));
        memcpy(amounts + i * sizeof(i64), &revenue->revenue, sizeof(i64));
        sources[i] = (char)revenue->source;
    }
    return sources + count;
}

static char *put_expiry(char *out, const struct store_amendment *amendment) {
    u32 count = amendment->account_count;
    memcpy(out, &amendment->before_ms, sizeof(i64));
    char *accounts = out + sizeof(i64);
    char *months = accounts + count * sizeof(u32);
    char *counts = months + count * sizeof(i64);
    for (u32 i = 0; i < count; i++) {
        const struct store_received *received = &amendment->accounts[i];
        memcpy(accounts + i * sizeof(u32), &received->account, sizeof(u32));
        memcpy(months + i * sizeof(i64), &received->month_ms, sizeof(i64));
        memcpy(counts + i * sizeof(u64), &received->count, sizeof(u64));
    }
    return counts + count * sizeof(u64);
}

enum err amend_encode(const struct store_amendment *amendment, u64 sequence, u64 position,
                      u64 previous, struct slice *out) {
    if (!is_valid(amendment)) {
        return ERR_INVALID;
    }
    usize most = sizeof(struct amend_header) + body_bytes_max(amendment);
    if (most > AMEND_BYTES_MAX) {
        return ERR_LIMIT;
    }
    char *record = malloc(most);
    if (record == NULL) {
        return ERR_NO_MEMORY;
    }
    bool clear = amendment->kind == STORE_CLEAR;
    bool revenue = amendment->kind == STORE_REVENUE;
    char *body = record + sizeof(struct amend_header);
    const char *end = clear     ? put_clear(body, amendment)
                      : revenue ? put_revenues(body, amendment)
                                : put_expiry(body, amendment);
    struct amend_header header = {
        .magic = AMEND_MAGIC,
        .version = AMEND_VERSION,
        .kind = (u16)amendment->kind,
        .sequence = sequence,
        .position = position,
        .previous = previous,
        .account = amendment->account,
        .source = clear ? amendment->source : DIM_NONE,
        .name_count = amendment->name_count,
        .columns = revenue ? AMEND_COLUMN_REVENUE : 0,
        .count = clear     ? amendment->series_count
                 : revenue ? amendment->revenue_count
                           : amendment->account_count,
        .received_month_ms = amendment->received_month_ms,
        .received = amendment->received,
        .made_ms = amendment->made_ms,
        .bytes = (usize)(end - record),
    };
    memcpy(record, &header, sizeof header);
    header.hash = record_hash(record, header.bytes);
    memcpy(record, &header, sizeof header);
    *out = (struct slice){record, header.bytes};
    return ERR_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct body {
    const char *at;
    const char *end;
};

static bool skip_names(struct body *body, u32 count) {
    for (u32 i = 0; i < count; i++) {
        u16 bytes;
        if (body->end - body->at < NAME_HEAD_BYTES) {
            return false;
        }
        memcpy(&bytes, body->at, NAME_HEAD_BYTES);
        body->at += NAME_HEAD_BYTES;
        if (bytes == 0 || bytes > EVENT_NAME_MAX || body->end - body->at < bytes) {
            return false;
        }
        body->at += bytes;
    }
    return true;
}

static bool take_number(struct body *body, u64 *out) {
    *out = 0;
    for (u32 group = 0; group < GROUPS_MAX && body->at < body->end; group++) {
        u8 byte = (u8)*body->at++;
        *out |= (u64)(byte & 0x7f) << (GROUP_BITS * group);
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* Walks the series; with `cleared` enters the position. *end: behind the last one. */
static bool walk_series(struct body body, const struct amend_header *header, u64 *cleared,
                        u32 *end) {
    u64 series = 0;
    *end = 0;
    for (u32 i = 0; i < header->count; i++) {
        u64 difference;
        if (!take_number(&body, &difference) || (i > 0 && difference == 0)) {
            return false;
        }
        series += difference;
        if (series >= SERIES_MAX) {
            return false;
        }
        if (cleared != NULL) {
            cleared[series] = header->position;
        }
        *end = (u32)series + 1;
    }
    return body.at == body.end;
}

static void revenue_at(const char *body, u32 count, u32 index, struct amended *out) {
    const char *amounts = body + (usize)count * sizeof(u64);
    const char *sources = amounts + (usize)count * sizeof(i64);
    memcpy(&out->id, body + (usize)index * sizeof(u64), sizeof(u64));
    memcpy(&out->revenue, amounts + (usize)index * sizeof(i64), sizeof(i64));
    out->revenue_source = (u8)sources[index];
}

static bool revenues_hold(const char *body, const struct amend_header *header) {
    u64 before = 0;
    for (u32 i = 0; i < header->count; i++) {
        struct amended one;
        revenue_at(body, header->count, i, &one);
        if (one.id <= before || one.id >= header->position ||
            one.revenue_source >= REVENUE_SOURCES) {
            return false;
        }
        before = one.id;
    }
    return true;
}

static i64 expiry_time(const char *body) {
    i64 before_ms;
    memcpy(&before_ms, body, sizeof before_ms);
    return before_ms;
}

static struct store_received received_at(const char *body, u32 count, u32 index) {
    struct store_received out;
    const char *accounts = body + sizeof(i64);
    const char *months = accounts + (usize)count * sizeof(u32);
    const char *counts = months + (usize)count * sizeof(i64);
    memcpy(&out.account, accounts + (usize)index * sizeof(u32), sizeof(u32));
    memcpy(&out.month_ms, months + (usize)index * sizeof(i64), sizeof(i64));
    memcpy(&out.count, counts + (usize)index * sizeof(u64), sizeof(u64));
    return out;
}

static bool expiry_holds(const char *body, const struct amend_header *header) {
    bool good = expiry_time(body) > 0;
    u64 next = 0;
    for (u32 i = 0; good && i < header->count; i++) {
        struct store_received one = received_at(body, header->count, i);
        good = one.account >= next && one.account < ACCOUNTS_MAX;
        next = (u64)one.account + 1;
    }
    return good;
}

static struct body body_of(struct slice record) {
    return (struct body){record.data + sizeof(struct amend_header), record.data + record.bytes};
}

static bool body_holds(struct slice record, const struct amend_header *header) {
    struct body body = body_of(record);
    u32 end;
    if (header->kind == STORE_CLEAR) {
        return skip_names(&body, header->name_count) && walk_series(body, header, NULL, &end);
    }
    usize bytes = (usize)(body.end - body.at);
    if (header->kind == STORE_EXPIRE) {
        return bytes == sizeof(i64) + (usize)header->count * ACCOUNT_ROW_BYTES &&
               expiry_holds(body.at, header);
    }
    return bytes == (usize)header->count * REVENUE_ROW_BYTES && revenues_hold(body.at, header);
}

enum err amend_check(struct slice record, struct amend_header *header, const char **what) {
    *what = "amendment: too short";
    if (record.bytes < sizeof *header) {
        return ERR_CORRUPT;
    }
    memcpy(header, record.data, sizeof *header);
    *what = "amendment: checksum";
    if (header->magic != AMEND_MAGIC || header->bytes != record.bytes ||
        header->hash != record_hash(record.data, record.bytes)) {
        return ERR_CORRUPT;
    }
    *what = "amendment: of a newer version of the program";
    u32 columns = header->kind == STORE_REVENUE ? AMEND_COLUMN_REVENUE : 0;
    if (header->version != AMEND_VERSION || header->columns != columns ||
        header->kind < STORE_CLEAR || header->kind > STORE_EXPIRE) {
        return ERR_VERSION;
    }
    *what = "amendment: content";
    bool good = header->account < ACCOUNTS_MAX && header->name_count <= AMEND_NAMES_MAX &&
                header->zero == 0 && body_holds(record, header);
    return good ? ERR_OK : ERR_CORRUPT;
}

/* --- overlay ---------------------------------------------------------------------------------- */

void overlay_free(struct overlay *overlay) {
    if (overlay != NULL) {
        free(overlay->cleared);
        free(overlay->amended);
        free(overlay);
    }
}

void overlay_leave(struct overlay *overlay) {
    if (overlay != NULL && --overlay->references == 0) {
        overlay_free(overlay);
    }
}

const struct amended *overlay_find(const struct overlay *overlay, u64 id) {
    u32 low = 0;
    u32 high = overlay->amended_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (overlay->amended[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < overlay->amended_count && overlay->amended[low].id == id ? &overlay->amended[low]
                                                                          : NULL;
}

/* Room for series below `end`. */
static bool cleared_make(struct overlay *next, struct overlay *now, u32 end, bool alone) {
    u32 have = now == NULL ? 0 : now->series_end;
    u32 need = MAX(have, (end + SERIES_ROUND - 1) / SERIES_ROUND * SERIES_ROUND);
    next->series_end = need;
    if (need == 0) {
        return true;
    }
    if (alone && need == have) {
        next->cleared = now->cleared;
        now->cleared = NULL;
        now->series_end = 0;
        return true;
    }
    next->cleared = calloc(need, sizeof *next->cleared);
    if (next->cleared != NULL && have > 0) {
        memcpy(next->cleared, now->cleared, have * sizeof *next->cleared);
    }
    return next->cleared != NULL;
}

/* Those there are and the record's, which win, in one order. */
static bool amended_make(struct overlay *next, struct overlay *now, const char *body, u32 more,
                         bool alone) {
    u32 have = now == NULL ? 0 : now->amended_count;
    if (have + more == 0) {
        return true;
    }
    if (alone && more == 0) {
        next->amended = now->amended;
        next->amended_count = have;
        now->amended = NULL;
        now->amended_count = 0;
        return true;
    }
    next->amended = malloc(((usize)have + more) * sizeof *next->amended);
    if (next->amended == NULL) {
        return false;
    }
    u32 old = 0;
    for (u32 i = 0; i < more; i++) {
        struct amended one;
        revenue_at(body, more, i, &one);
        while (old < have && now->amended[old].id < one.id) {
            next->amended[next->amended_count++] = now->amended[old++];
        }
        old += old < have && now->amended[old].id == one.id;
        next->amended[next->amended_count++] = one;
    }
    for (; old < have; old++) {
        next->amended[next->amended_count++] = now->amended[old];
    }
    return true;
}

/* The overlay with one record more, which holds. NULL: no memory. */
static struct overlay *overlay_make(struct overlay *now, struct slice record,
                                    const struct amend_header *header, bool alone) {
    struct overlay *next = calloc(1, sizeof *next);
    struct body body = body_of(record);
    bool clear = header->kind == STORE_CLEAR;
    u32 end = 0;
    if (next == NULL) {
        return NULL;
    }
    next->references = 1;
    next->expired_ms = now == NULL ? 0 : now->expired_ms;
    if (header->kind == STORE_EXPIRE) {
        next->expired_ms = MAX(next->expired_ms, expiry_time(body.at));
    }
    if (clear) {
        check(skip_names(&body, header->name_count) && walk_series(body, header, NULL, &end));
    }
    if (!cleared_make(next, now, end, alone) ||
        !amended_make(next, now, body.at, header->kind == STORE_REVENUE ? header->count : 0,
                      alone)) {
        overlay_free(next);
        return NULL;
    }
    if (clear && header->count > 0) {
        check(walk_series(body, header, next->cleared, &end));
    }
    return next;
}

/* --- all of a log ----------------------------------------------------------------------------- */

enum err amends_plan(struct amends *amends, struct slice record, bool alone,
                     struct amend_plan *plan, const char **what) {
    *plan = (struct amend_plan){0};
    enum err err = amend_check(record, &plan->header, what);
    if (err != ERR_OK) {
        return err;
    }
    if (plan->header.sequence != amends->count + 1 || plan->header.previous != amends->chain) {
        *what = "amendment: not the successor of the one before it";
        return ERR_CORRUPT;
    }
    *what = "out of memory";
    if (amends->account == NULL) {
        plan->accounts = calloc(ACCOUNTS_MAX, sizeof *plan->accounts);
        if (plan->accounts == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    const struct amend_header *header = &plan->header;
    if (header->kind == STORE_EXPIRE) {
        plan->received = malloc((header->count + (usize)1) * sizeof *plan->received);
        for (u32 i = 0; plan->received != NULL && i < header->count; i++) {
            plan->received[i] = received_at(body_of(record).at, header->count, i);
        }
    }
    bool good = header->kind != STORE_EXPIRE || plan->received != NULL;
    plan->overlay = good ? overlay_make(amends->overlay, record, header, alone) : NULL;
    if (plan->overlay == NULL) {
        amend_plan_drop(plan);
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

void amend_plan_drop(struct amend_plan *plan) {
    overlay_free(plan->overlay);
    free(plan->accounts);
    free(plan->received);
    *plan = (struct amend_plan){0};
}

static void note_received(struct amends *amends, const struct amend_header *header,
                          const struct store_received *received) {
    struct amend_account *account = &amends->account[received->account];
    account->position = header->position;
    account->received_month_ms = received->month_ms;
    account->received = received->count;
}

struct overlay *amends_take(struct amends *amends, struct amend_plan *plan) {
    const struct amend_header *header = &plan->header;
    struct overlay *old = amends->overlay;
    if (amends->account == NULL) {
        amends->account = plan->accounts;
    }
    amends->count = header->sequence;
    amends->chain = header->hash;
    amends->overlay = plan->overlay;
    if (header->kind == STORE_CLEAR) {
        amends->account[header->account].key_epoch +=
            header->source == DIM_NONE && header->name_count == 0;
        note_received(
            amends, header,
            &(struct store_received){header->account, header->received_month_ms, header->received});
    }
    for (u32 i = 0; plan->received != NULL && i < header->count; i++) {
        note_received(amends, header, &plan->received[i]);
    }
    free(plan->received);
    plan->received = NULL;
    return old;
}
