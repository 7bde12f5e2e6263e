/*
 * fuzz_run: arbitrary bytes as a file of keys, and as its records and filter with all checksums
 * made right: the set refuses it, or looks keys up in it without leaving it.
 */
#include "dedup/dedup.h"
#include "dedup/filter.h"
#include "store.h"

#include "base/hash.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER_RECORDS_AT 16
#define HEADER_ID_AT 48
#define RECORDS_MAX 600
#define LOOKED_UP 64

static char dir[64];

static void make_dir(void) {
    char keys[96];
    log_set_level(LOG_ERROR + 1);
    snprintf(dir, sizeof dir, "%s/margind-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    check(mkdtemp(dir) != NULL);
    snprintf(keys, sizeof keys, "%s/keys", dir);
    check(mkdir(keys, 0700) == 0);
}

static void remove_dir(void) {
    char keys[96];
    run_keep_only(dir, NULL, 0, true);
    snprintf(keys, sizeof keys, "%s/keys", dir);
    rmdir(keys);
    rmdir(dir);
}

/* Uses the run as a start would, and asks for some keys, of which the bytes are the first. */
static void use(u64 id, u64 records, const u8 *data, usize size) {
    static struct event_batch batch;
    u8 verdict[LOOKED_UP];
    const u64 name[2] = {id, records};
    struct dedup *dedup;
    const struct dedup_options options = {.dir = dir, .memory_bytes = GIB};
    check(dedup_open(&options, &dedup) == ERR_OK);
    if (dedup_restore_runs(dedup, name, sizeof name) == ERR_OK) {
        batch.count = LOOKED_UP;
        for (u32 i = 0; i < LOOKED_UP; i++) {
            struct hash128 hash = {hash_mix(i), i};
            if ((i + 1) * sizeof hash <= size && i < LOOKED_UP / 2) {
                memcpy(&hash, data + i * sizeof hash, sizeof hash);
            }
            batch.present[i] = TEXT_BIT(TEXT_KEY);
            batch.key_hash[i] = hash;
        }
        enum err err = dedup_claim(dedup, &batch, 0, LOOKED_UP, verdict);
        check(err == ERR_OK || err == ERR_CORRUPT);
        dedup_undo(dedup);
    }
    dedup_destroy(dedup);
    run_remove(dir, id);
}

/* The bytes as they are, named as their header says. */
static void use_file(const u8 *data, usize size) {
    char path[128];
    u64 id;
    u64 records;
    memcpy(&id, data + HEADER_ID_AT, sizeof id);
    memcpy(&records, data + HEADER_RECORDS_AT, sizeof records);
    snprintf(path, sizeof path, "%s/keys/%020llu.run", dir, (unsigned long long)id);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
    use(id, records, data, size);
}

/* Two bytes say how many records there are; they and the filter are cut from the others. */
static void use_parts(const u8 *data, usize size) {
    static u8 records[RECORDS_MAX * RUN_RECORD_BYTES];
    static u8 filter[8 * RECORDS_MAX];
    u32 count = 1 + ((u32)data[0] | (u32)data[1] << 8) % RECORDS_MAX;
    usize image_bytes = filter_image_bytes(count);
    check(image_bytes <= sizeof filter);
    data += 2;
    size -= 2;
    memset(records, 0, sizeof records);
    memset(filter, 0, sizeof filter);
    usize bytes = MIN(size, (usize)count * RUN_RECORD_BYTES);
    memcpy(records, data, bytes);
    memcpy(filter, data + bytes, MIN(size - bytes, image_bytes));
    struct run_writer *writer;
    u64 id;
    check(run_begin(dir, "fuzz", &writer) == ERR_OK);
    check(run_add(writer, records, count) == ERR_OK);
    check(run_finish(writer, filter, image_bytes, &id) == ERR_OK);
    use(id, count, records, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (dir[0] == '\0') {
        make_dir();
        atexit(remove_dir);
    }
    if (size >= HEADER_ID_AT + 8) {
        use_file(data, size);
    }
    if (size >= 2) {
        use_parts(data, size);
    }
    return 0;
}
