/*
 * db.c: see db.h. Why the settings are what they are: full sync, because acknowledged is durable;
 * no WRITEMAP, because a stray write would corrupt and a full disk would be a SIGBUS; NOTLS,
 * because readers are not tied to threads; a large map from the start, because growing one under
 * readers moves it.
 */
#include "storage/db.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "limits.h"
#include "storage/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAP_BYTES_MIN (64 * MIB)
#define PATH_BYTES_MAX 4096
#define READER_CHECK_NS ((u64)3600 * 1000000000) /* between looks for killed readers */
#define CHECK_TRIES 100
#define NO_TABLE UINT32_MAX        /* that a read-only environment does not have */
#define DISK_FULL_BYTES (64 * MIB) /* below this a failed write is taken for a full disk */
#define FREE_TABLE 0               /* where LMDB notes free pages, by the commit that freed them */
#define TRIM_PAGES 16384           /* looked at in one call: a millisecond or two */
#define PUNCH_PAGES 2048           /* given back in one: 5 to 8 us each, while appends wait */

struct db {
    MDB_env *env;
    MDB_dbi tables[DB_TABLES_MAX];
    u32 table_count;
    usize map_bytes;
    pid_t pid;
    u64 readers_checked_ns; /* guarded by LMDB's write lock */
    char path[PATH_BYTES_MAX];
};

static enum err err_of(int code) {
    switch (code) {
    case MDB_SUCCESS:
        return ERR_OK;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_KEYEXIST:
        return ERR_EXISTS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_NO_SPACE;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case MDB_READERS_FULL:
        return ERR_BUSY;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return ERR_CORRUPT;
    case MDB_VERSION_MISMATCH:
        return ERR_VERSION;
    case MDB_PANIC:
    case EIO:
        return ERR_IO;
    default:
        return ERR_SYSTEM;
    }
}

/* A full disk may show as a short write, which LMDB reports as EIO: ask the file system. Nothing of
 * the transaction is visible then, and a later attempt writes and syncs all its pages again. */
static bool disk_is_full(const struct db *db) {
    struct statvfs stat;
    return statvfs(db->path, &stat) == 0 && (u64)stat.f_bavail * stat.f_frsize < DISK_FULL_BYTES;
}

/* Where the very last write failed, the one that makes a commit count, LMDB does nothing any more.
 */
static bool is_given_up(const struct db *db) {
    MDB_txn *txn;
    int code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        mdb_txn_abort(txn);
    }
    return code == MDB_PANIC;
}

static enum err commit_err(const struct db *db, int code) {
    enum err err = err_of(code);
    if (code != 0 && is_given_up(db)) {
        return ERR_IO;
    }
    if (err == ERR_IO && code == EIO && disk_is_full(db)) {
        err = ERR_NO_SPACE;
    }
    /* Whatever else stops a commit half way is as bad as a failed write. */
    return err == ERR_SYSTEM ? ERR_IO : err;
}

/* LMDB takes pages for what their parents say, and aborts where one is not (a torn page, or zeros
 * in a file that was cut). While reading, nothing is locked or half done, so we jump out of it
 * instead: damage is an answer. The cursor that was in use is closed behind the jump. */
static _Thread_local jmp_buf *on_assert;
static _Thread_local MDB_cursor *reading;

static enum err after_assert(void) {
    on_assert = NULL;
    if (reading != NULL) {
        mdb_cursor_close(reading);
        reading = NULL;
    }
    return ERR_CORRUPT;
}

static void note_assert(MDB_env *env, const char *what) {
    (void)env;
    log_error("database_damaged", "what=\"%s\"", what);
    if (on_assert != NULL) {
        longjmp(*on_assert, 1);
    }
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum err explain(char *why, usize why_bytes, enum err err, const char *what,
                        const char *path, int code) {
    const char *text = code < 0 ? mdb_strerror(code) : strerror(code);
    snprintf(why, why_bytes, "%s %s: %s", what, path, text);
    return err;
}

static int env_try(const struct db_options *options, struct db *db, usize map_bytes) {
    MDB_env *env;
    MDB_envinfo info;
    int code = mdb_env_create(&env);
    if (code != 0) {
        return code;
    }
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
    flags |= options->read_only ? MDB_RDONLY : 0u;
    flags |= options->skip_sync ? MDB_NOSYNC : 0u;
    code = mdb_env_set_assert(env, note_assert);
    code = code != 0 ? code : mdb_env_set_mapsize(env, map_bytes);
    code = code != 0 ? code : mdb_env_set_maxreaders(env, DB_READERS_MAX);
    code = code != 0 ? code : mdb_env_set_maxdbs(env, DB_TABLES_MAX);
    code = code != 0 ? code : mdb_env_open(env, db->path, flags, 0600);
    code = code != 0 ? code : mdb_env_info(env, &info);
    if (code != 0) {
        mdb_env_close(env);
        return code;
    }
    db->env = env;
    db->map_bytes = info.me_mapsize;
    return 0;
}

/* LMDB writes the first pages of a new file where it will stay, and does not sync them: a start
 * that is cut off there would leave a file that no later start can open. So it is made under
 * another name, synced, and renamed. */
static int env_make(const struct db *db) {
    char fresh[PATH_BYTES_MAX + 16];
    char path[PATH_BYTES_MAX + 16];
    MDB_env *env;
    snprintf(fresh, sizeof fresh, "%s/data.new", db->path);
    snprintf(path, sizeof path, "%s/data.mdb", db->path);
    if (access(path, F_OK) == 0) {
        return 0;
    }
    if (unlink(fresh) != 0 && errno != ENOENT) {
        return errno;
    }
    int code = mdb_env_create(&env);
    if (code == 0) {
        code = mdb_env_open(env, fresh, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
        code = code != 0 ? code : mdb_env_sync(env, 1);
        mdb_env_close(env);
    }
    fault_point("db.fresh-synced");
    code = code == 0 && rename(fresh, path) != 0 ? errno : code;
    fault_point("db.fresh-renamed");
    return code;
}

/* Address space may be rationed (RLIMIT_AS, valgrind): a smaller log is better than none. */
static int env_open(const struct db_options *options, struct db *db) {
    usize map_bytes = options->map_bytes;
    int code = env_try(options, db, map_bytes);
    while ((code == ENOMEM || code == EINVAL) && map_bytes / 2 >= MAP_BYTES_MIN) {
        map_bytes /= 2;
        code = env_try(options, db, map_bytes);
    }
    if (code == 0 && map_bytes != options->map_bytes) {
        log_warn("map_reduced", "env=%s wanted_bytes=%zu map_bytes=%zu", options->name,
                 options->map_bytes, map_bytes);
    }
    return code;
}

/* A file may end before its last page: pages that one transaction made and freed are never written.
 * If it was cut, reading past its end through the map would be a SIGBUS. So it is filled up, and
 * what is missing is found by its checksum; never by ftruncate(), which could shorten a file that
 * grew meanwhile. */
static int env_fill_up(const struct db_options *options, struct db *db, u64 missing) {
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;
    int code = mdb_env_info(db->env, &info);
    code = code != 0 ? code : mdb_env_stat(db->env, &stat);
    code = code != 0 ? code : mdb_env_get_fd(db->env, &fd);
    if (code == 0 && fstat(fd, &file) != 0) {
        code = errno;
    }
    if (code != 0) {
        return code;
    }
    u64 bytes = ((u64)info.me_last_pgno + 1) * stat.ms_psize;
    u64 found = (u64)file.st_size;
    if (missing > 0) {
        log_warn("file_cut", "file=\"%s/data.mdb\" bytes=%llu missing_pages=%llu", db->path,
                 (unsigned long long)found, (unsigned long long)missing);
    }
    if (options->read_only) {
        return missing > 0 ? MDB_CORRUPTED : 0;
    }
    if (found >= bytes) {
        return 0;
    }
    if (bytes - found > found + GIB) {
        return MDB_CORRUPTED; /* rather the number of the last page than the file */
    }
    if (fallocate(fd, 0, (off_t)found, (off_t)(bytes - found)) != 0) {
        return errno == EOPNOTSUPP ? MDB_CORRUPTED : errno;
    }
    return 0;
}

/* What pages.h says, as LMDB's code. */
static int code_of(const struct db *db, enum err err, const char *what) {
    if (err == ERR_CORRUPT) {
        log_error("database_damaged", "file=\"%s/data.mdb\" what=\"%s\"", db->path, what);
        return MDB_CORRUPTED;
    }
    return err == ERR_OK ? 0 : err == ERR_NO_MEMORY ? ENOMEM : err == ERR_BUSY ? EAGAIN : EIO;
}

static int heads_check(const struct db *db, char *what, usize what_bytes) {
    char path[PATH_BYTES_MAX + 16];
    snprintf(path, sizeof path, "%s/data.mdb", db->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    enum err err = pages_check_heads(fd, what, what_bytes);
    close(fd);
    return code_of(db, err, what);
}

/* As somebody else may write meanwhile, inside a read transaction; if the head that it is by was
 * written over before we came to it, inside another one. */
static int trees_check(const struct db *db, bool any_order, u64 *missing, char *what,
                       usize what_bytes) {
    int fd;
    enum err err = ERR_BUSY;
    int code = mdb_env_get_fd(db->env, &fd);
    for (u32 tries = 0; tries < CHECK_TRIES && code == 0 && err == ERR_BUSY; tries++) {
        MDB_txn *txn;
        code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
        if (code == 0) {
            err = pages_check(fd, mdb_txn_id(txn), any_order, missing, what, what_bytes);
            mdb_txn_abort(txn);
        }
    }
    return code != 0 ? code : code_of(db, err, what);
}

static int tables_open(const struct db_options *options, struct db *db) {
    MDB_txn *txn;
    int dead;
    mdb_reader_check(db->env, &dead);
    int code = mdb_txn_begin(db->env, NULL, options->read_only ? MDB_RDONLY : 0, &txn);
    if (code != 0) {
        return code;
    }
    unsigned flags = options->read_only ? 0u : MDB_CREATE;
    for (u32 i = 0; i < options->table_count && code == 0; i++) {
        code = mdb_dbi_open(txn, options->tables[i], flags, &db->tables[i]);
        if (code == MDB_NOTFOUND && (options->optional >> i & 1) != 0) {
            db->tables[i] = NO_TABLE;
            code = 0;
        }
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    db->table_count = options->table_count;
    fault_point("db.tables-put");
    code = mdb_txn_commit(txn);
    fault_point("db.tables-committed");
    return code;
}

enum err db_open(const struct db_options *options, struct db **out, char *why, usize why_bytes) {
    check(options->table_count <= DB_TABLES_MAX);
    struct db *db = calloc(1, sizeof *db);
    if (db == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_NO_MEMORY;
    }
    db->pid = getpid();
    int length = snprintf(db->path, sizeof db->path, "%s/%s", options->dir, options->name);
    int code = length < 0 || (usize)length >= sizeof db->path ? ENAMETOOLONG : 0;
    if (code == 0 && options->create && mkdir(db->path, 0700) != 0 && errno != EEXIST) {
        code = errno;
    }
    char what[128] = "";
    u64 missing = 0;
    code = code != 0 || !options->create ? code : env_make(db);
    code = code != 0 ? code : heads_check(db, what, sizeof what);
    code = code != 0 ? code : env_open(options, db);
    code = code != 0 ? code : trees_check(db, options->any_order, &missing, what, sizeof what);
    code = code != 0 ? code : env_fill_up(options, db, missing);
    code = code != 0 ? code : tables_open(options, db);
    if (code != 0) {
        enum err err = code == ENOENT ? ERR_NOT_FOUND : err_of(code);
        explain(why, why_bytes, err, "cannot open", db->path, code);
        if (what[0] != '\0') {
            snprintf(why, why_bytes, "%s/data.mdb is damaged: %s; restore a backup", db->path,
                     what);
        }
        db_close(db);
        return err;
    }
    if (options->create && !options->skip_sync) {
        enum err err = db_dir_sync(db->path);
        err = err == ERR_OK ? db_dir_sync(options->dir) : err;
        if (err != ERR_OK) {
            explain(why, why_bytes, err, "cannot sync", db->path, errno);
            db_close(db);
            return err;
        }
    }
    *out = db;
    return ERR_OK;
}

void db_close(struct db *db) {
    if (db != NULL) {
        if (db->env != NULL) {
            mdb_env_close(db->env);
        }
        free(db);
    }
}

/* --- transactions ----------------------------------------------------------------------------- */

enum err db_begin(struct db *db, bool write, struct db_txn *txn) {
    check(db->pid == getpid());
    *txn = (struct db_txn){.db = db, .write = write};
    MDB_txn *handle = NULL;
    int code = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &handle);
    if (code == MDB_READERS_FULL) {
        int dead; /* slots of killed processes */
        mdb_reader_check(db->env, &dead);
        code = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &handle);
    }
    if (code == 0 && write && clock_monotonic_ns() - db->readers_checked_ns > READER_CHECK_NS) {
        int dead; /* a killed reader's slot would keep every page since then from being used again
                   */
        mdb_reader_check(db->env, &dead);
        db->readers_checked_ns = clock_monotonic_ns();
    }
    txn->handle = code == 0 ? handle : NULL;
    txn->err = err_of(code);
    return txn->err;
}

void db_abort(struct db_txn *txn) {
    if (txn->handle != NULL) {
        mdb_txn_abort(txn->handle);
        txn->handle = NULL;
    }
}

enum err db_commit(struct db_txn *txn) {
    if (txn->err != ERR_OK) {
        db_abort(txn);
        return txn->err;
    }
    int code = mdb_txn_commit(txn->handle);
    txn->handle = NULL;
    txn->err = commit_err(txn->db, code);
    return txn->err;
}

static MDB_val val_of(struct slice slice) {
    /* LMDB does not write through the pointers of what it is given. */
    return (MDB_val){slice.bytes, (void *)(uintptr_t)slice.data};
}

static struct slice slice_of(MDB_val val) {
    return (struct slice){val.mv_data, val.mv_size};
}

static MDB_dbi table_of(const struct db_txn *txn, u32 table) {
    check(table < txn->db->table_count);
    return txn->db->tables[table];
}

static enum err get(struct db_txn *txn, u32 table, struct slice key, struct slice *value) {
    MDB_val mdb_key = val_of(key);
    MDB_val found;
    MDB_dbi dbi = table_of(txn, table);
    int code = dbi == NO_TABLE ? MDB_NOTFOUND : mdb_get(txn->handle, dbi, &mdb_key, &found);
    if (code == 0) {
        *value = slice_of(found);
    }
    return err_of(code);
}

static enum err get_before(struct db_txn *txn, u32 table, struct slice key, struct slice *found,
                           struct slice *value) {
    MDB_cursor *cursor;
    MDB_dbi dbi = table_of(txn, table);
    int code = dbi == NO_TABLE ? MDB_NOTFOUND : mdb_cursor_open(txn->handle, dbi, &cursor);
    if (code != 0) {
        return err_of(code);
    }
    reading = cursor;
    MDB_val at = val_of(key);
    MDB_val data;
    code = mdb_cursor_get(cursor, &at, &data, MDB_SET_RANGE);
    if (code == 0 && (at.mv_size != key.bytes || memcmp(at.mv_data, key.data, key.bytes) != 0)) {
        code = mdb_cursor_get(cursor, &at, &data, MDB_PREV);
    } else if (code == MDB_NOTFOUND) {
        code = mdb_cursor_get(cursor, &at, &data, MDB_LAST);
    }
    if (code == 0) {
        *found = slice_of(at);
        *value = slice_of(data);
    }
    reading = NULL;
    mdb_cursor_close(cursor);
    return err_of(code);
}

enum err db_get(struct db_txn *txn, u32 table, struct slice key, struct slice *value) {
    jmp_buf jump;
    if (setjmp(jump) != 0) {
        return after_assert();
    }
    on_assert = &jump;
    enum err err = get(txn, table, key, value);
    on_assert = NULL;
    return err;
}

enum err db_get_before(struct db_txn *txn, u32 table, struct slice key, struct slice *found,
                       struct slice *value) {
    jmp_buf jump;
    if (setjmp(jump) != 0) {
        return after_assert();
    }
    on_assert = &jump;
    enum err err = get_before(txn, table, key, found, value);
    on_assert = NULL;
    return err;
}

void db_will_need(struct slice value) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)value.data & ~(page_bytes - 1);
    (void)madvise((void *)from, (uintptr_t)value.data + value.bytes - from, MADV_WILLNEED);
}

enum err db_put(struct db_txn *txn, u32 table, struct slice key, struct slice value,
                enum db_put how) {
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    static const unsigned flags[] = {
        [DB_REPLACE] = 0, [DB_ADD] = MDB_NOOVERWRITE, [DB_APPEND] = MDB_APPEND};
    MDB_val mdb_key = val_of(key);
    MDB_val mdb_value = val_of(value);
    int code = mdb_put(txn->handle, table_of(txn, table), &mdb_key, &mdb_value, flags[how]);
    txn->err = err_of(code);
    return txn->err;
}

enum err db_delete(struct db_txn *txn, u32 table, struct slice key) {
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    MDB_val mdb_key = val_of(key);
    txn->err = err_of(mdb_del(txn->handle, table_of(txn, table), &mdb_key, NULL));
    return txn->err;
}

enum err db_delete_any(struct db_txn *txn, u32 table, struct slice key) {
    if (txn->err == ERR_OK && db_delete(txn, table, key) == ERR_NOT_FOUND) {
        txn->err = ERR_OK;
    }
    return txn->err;
}

static enum err each(struct db_txn *txn, u32 table, struct slice from,
                     bool (*visit)(void *context, struct slice key, struct slice value),
                     void *context) {
    MDB_cursor *cursor;
    MDB_dbi dbi = table_of(txn, table);
    if (dbi == NO_TABLE) {
        return ERR_OK;
    }
    int code = mdb_cursor_open(txn->handle, dbi, &cursor);
    if (code != 0) {
        return err_of(code);
    }
    reading = cursor;
    MDB_val key = val_of(from);
    MDB_val value;
    code = mdb_cursor_get(cursor, &key, &value, from.bytes > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (code == 0 && visit(context, slice_of(key), slice_of(value))) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    reading = NULL;
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? ERR_OK : err_of(code);
}

enum err db_each(struct db_txn *txn, u32 table, struct slice from,
                 bool (*visit)(void *context, struct slice key, struct slice value),
                 void *context) {
    jmp_buf jump;
    if (setjmp(jump) != 0) {
        return after_assert();
    }
    on_assert = &jump;
    enum err err = each(txn, table, from, visit, context);
    on_assert = NULL;
    return err;
}

/* Copies the pair's value and takes the pair away. */
static int cut(MDB_cursor *cursor, u64 place, char **out, usize *bytes) {
    MDB_val key;
    MDB_val value;
    int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (u64 i = 0; i < place && code == 0; i++) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (code != 0) {
        return code;
    }
    char *copy = malloc(MAX(value.mv_size, (usize)1));
    if (copy == NULL) {
        return ENOMEM;
    }
    memcpy(copy, value.mv_data, value.mv_size);
    *out = copy;
    *bytes = value.mv_size;
    return mdb_cursor_del(cursor, 0);
}

enum err db_move(struct db_txn *txn, u32 table, u64 place, struct slice key) {
    MDB_cursor *cursor;
    char *copy = NULL;
    usize bytes = 0;
    if (txn->err != ERR_OK) {
        return txn->err;
    }
    int code = mdb_cursor_open(txn->handle, table_of(txn, table), &cursor);
    if (code == 0) {
        code = cut(cursor, place, &copy, &bytes);
        mdb_cursor_close(cursor);
    }
    txn->err = err_of(code);
    db_put(txn, table, key, (struct slice){copy, bytes}, DB_ADD);
    free(copy);
    return txn->err;
}

enum err db_sync(struct db *db) {
    int code = mdb_env_sync(db->env, 1);
    return commit_err(db, code);
}

u64 db_version(struct db *db) {
    MDB_envinfo info;
    check(mdb_env_info(db->env, &info) == 0);
    return info.me_last_txnid;
}

u64 db_txn_version(const struct db_txn *txn) {
    return mdb_txn_id(txn->handle);
}

u64 db_seen_version(struct db *db) {
    struct db_txn txn;
    u64 version = db_begin(db, false, &txn) == ERR_OK ? db_txn_version(&txn) : 0;
    db_abort(&txn);
    return version;
}

u64 db_used_bytes(struct db_txn *txn) {
    u64 bytes = 0;
    for (u32 i = 0; i < txn->db->table_count; i++) {
        MDB_stat stat;
        if (mdb_stat(txn->handle, txn->db->tables[i], &stat) == 0) {
            bytes += (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
                     stat.ms_psize;
        }
    }
    return bytes;
}

struct readers {
    u64 count;
    u64 oldest;
};

/* A line of LMDB's: process, thread, transaction; "-" where none is open. */
static int note_reader(const char *line, void *context) {
    struct readers *readers = context;
    unsigned long long transaction;
    if (sscanf(line, "%*d %*x %llu", &transaction) == 1) {
        readers->count++;
        readers->oldest = MIN(readers->oldest, (u64)transaction);
    }
    return 0;
}

void db_readers(struct db *db, u64 *count, u64 *lag) {
    struct readers readers = {.oldest = UINT64_MAX};
    mdb_reader_list(db->env, note_reader, &readers);
    u64 last = db_version(db);
    *count = readers.count;
    *lag = readers.oldest < last ? last - readers.oldest : 0;
}

u64 db_map_bytes(struct db *db) {
    return db->map_bytes;
}

/* --- giving space back ------------------------------------------------------------------------ */

struct free_pages {
    u64 *page;
    usize count;
    usize capacity;
};

static enum err free_pages_add(struct free_pages *pages, struct slice list, u64 last_page) {
    u64 count;
    if (list.bytes < sizeof count) {
        return ERR_CORRUPT;
    }
    memcpy(&count, list.data, sizeof count);
    if (count > list.bytes / sizeof count - 1) {
        return ERR_CORRUPT;
    }
    if (pages->count + count > pages->capacity) {
        usize capacity = MAX(pages->count + count, (usize)TRIM_PAGES);
        u64 *page = realloc(pages->page, capacity * sizeof *page);
        if (page == NULL) {
            return ERR_NO_MEMORY;
        }
        pages->page = page;
        pages->capacity = capacity;
    }
    memcpy(pages->page + pages->count, list.data + sizeof count, count * sizeof count);
    for (u64 i = 0; i < count; i++, pages->count++) {
        u64 page = pages->page[pages->count];
        if (page < 2 || page > last_page) { /* the first two are the heads */
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

/* The lists of the commits from *from to `to`, until there are enough. */
static enum err gather_free(MDB_txn *txn, u64 *from, u64 to, u64 last_page,
                            struct free_pages *pages) {
    u64 id = *from;
    MDB_cursor *cursor;
    MDB_val key = {sizeof id, &id};
    MDB_val list;
    int code = mdb_cursor_open(txn, FREE_TABLE, &cursor);
    if (code != 0) {
        return err_of(code);
    }
    enum err err = ERR_OK;
    reading = cursor;
    code = mdb_cursor_get(cursor, &key, &list, MDB_SET_RANGE);
    for (*from = 0; code == 0 && err == ERR_OK;) {
        memcpy(&id, key.mv_data, sizeof id);
        if (id > to) {
            break;
        }
        if (pages->count >= TRIM_PAGES) {
            *from = id;
            break;
        }
        err = free_pages_add(pages, slice_of(list), last_page);
        code = mdb_cursor_get(cursor, &key, &list, MDB_NEXT);
    }
    reading = NULL;
    mdb_cursor_close(cursor);
    return err == ERR_OK && code != 0 && code != MDB_NOTFOUND ? err_of(code) : err;
}

static int by_number(const void *a, const void *b) {
    u64 first = *(const u64 *)a;
    u64 second = *(const u64 *)b;
    return (first > second) - (first < second);
}

/* From *page on; sets it to where it stopped, or to 0 behind the last. */
static enum err punch(struct db *db, struct free_pages *pages, u32 pages_min, u32 page_bytes,
                      u64 *page) {
    int fd;
    int code = mdb_env_get_fd(db->env, &fd);
    if (pages->count > 0) {
        qsort(pages->page, pages->count, sizeof *pages->page, by_number);
    }
    u64 from = *page;
    u64 left = PUNCH_PAGES;
    *page = 0;
    for (usize i = 0, end; i < pages->count && code == 0 && *page == 0; i = end) {
        u64 first = pages->page[i];
        for (end = i + 1; end < pages->count && pages->page[end] == first + (end - i); end++) {
        }
        u64 skip = from > first ? MIN(from - first, end - i) : 0;
        u64 some = end - i < pages_min ? 0 : MIN(end - i - skip, left);
        if (some > 0 &&
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)((first + skip) * page_bytes), (off_t)(some * page_bytes)) != 0) {
            code = errno;
        }
        left -= some;
        *page = left == 0 ? first + skip + some : 0;
    }
    return err_of(code);
}

/* In a read transaction, as no other one may read the lists. What commit N - 1 or one before it
 * freed, neither N nor N - 1 has, so it is nothing that a start after a crash comes back to: LMDB
 * itself writes over it in N + 1. */
static enum err list_free(struct db *db, MDB_txn *txn, u64 *from, u64 to,
                          struct free_pages *pages) {
    jmp_buf jump;
    if (setjmp(jump) != 0) {
        return after_assert();
    }
    on_assert = &jump;
    u64 count;
    u64 lag;
    MDB_envinfo info;
    check(mdb_env_info(db->env, &info) == 0);
    db_readers(db, &count, &lag);
    u64 before = mdb_txn_id(txn) - MIN(lag + 1, (u64)mdb_txn_id(txn));
    enum err err = gather_free(txn, from, MIN(to, before), info.me_last_pgno, pages);
    on_assert = NULL;
    return err;
}

enum err db_trim(struct db *db, struct db_trim *place, u64 to, u32 pages_min) {
    struct db_txn lock; /* keeps others from taking the pages meanwhile */
    struct db_txn txn = {0};
    struct free_pages pages = {0};
    u64 next = place->commit;
    MDB_stat stat;
    check(mdb_env_stat(db->env, &stat) == 0);
    enum err err = db_begin(db, true, &lock);
    if (err == ERR_OK) {
        err = db_begin(db, false, &txn);
    }
    if (err == ERR_OK) {
        err = list_free(db, txn.handle, &next, to, &pages);
    }
    if (err == ERR_OK) {
        fault_point("db.trim-listed");
        err = punch(db, &pages, pages_min, stat.ms_psize, &place->page);
        place->commit = place->page == 0 ? next : place->commit;
    }
    db_abort(&txn);
    db_abort(&lock);
    free(pages.page);
    return err;
}
