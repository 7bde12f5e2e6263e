/*
 * fuzz_snapshot: arbitrary bytes as a snapshot file and as the index of a segment; as they are, and
 * with the first checksum made right.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "storage/index.h"
#include "storage/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SNAPSHOT_HASH_AT 32 /* offset of the header's checksum, over the bytes before it */
#define INDEX_HASH_AT (40 - 8 + 8 * INDEX_DIMS)
#define INDEX_DIRECTORY_AT 12 /* u32 bytes, then u64 checksum at 16 */

static void try_index(const u8 *data, usize size) {
    struct slice index = {(const char *)data, size};
    for (u32 dim = 0; dim < INDEX_DIMS; dim++) {
        struct index_term term = {dim, 5};
        struct index_rows *rows;
        static u32 taken[FRAME_ROWS_MAX];
        if (index_match(index, &term, 1, &rows) == ERR_OK) {
            u32 count = index_rows_take(rows, 1024, 2048, taken);
            check((count > 0) == index_rows_any(rows, 1024, 2048));
            index_rows_free(rows);
        }
    }
    index_verify(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct snapshot_position position;
    snapshot_verify(data, size, &position);
    try_index(data, size);
    u8 *copy = malloc(size > 0 ? size : 1);
    check(copy != NULL);
    memcpy(copy, data, size);
    if (size >= SNAPSHOT_HASH_AT + 8) {
        u64 hash = hash64(copy, SNAPSHOT_HASH_AT, 0);
        memcpy(copy + SNAPSHOT_HASH_AT, &hash, 8);
        snapshot_verify(copy, size, &position);
        memcpy(copy, data, size);
    }
    if (size >= INDEX_HASH_AT + 8) {
        u32 directory_bytes;
        u64 bytes = size;
        memcpy(&directory_bytes, copy + INDEX_DIRECTORY_AT, 4);
        if (directory_bytes <= size - INDEX_HASH_AT - 8) {
            u64 hash = hash64(copy + INDEX_HASH_AT + 8, directory_bytes, 0);
            memcpy(copy + 16, &hash, 8);
        }
        memcpy(copy + 24, &bytes, 8);
        u64 hash = hash64(copy, INDEX_HASH_AT, 0);
        memcpy(copy + INDEX_HASH_AT, &hash, 8);
        try_index(copy, size);
    }
    free(copy);
    return 0;
}
