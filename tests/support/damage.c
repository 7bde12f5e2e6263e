/* damage.c: see damage.h. */
#include "tests/support/damage.h"

#include "base/hash.h"
#include "limits.h"
#include "tests/support/require.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 32
#define LIVE_MAX 4096
#define TABLES_MAX 4
#define PAGE_BYTES 4096
#define SECTOR_BYTES 512
#define HEAD_BYTES 128      /* of what begins with a header */
#define RUN_HEADER_BYTES 56 /* of the first page of a run; nobody reads the rest of it */

struct file {
    char name[300];
    u8 *data;
    usize bytes;
    u8 *sound; /* as it was */
    usize sound_bytes;
};

struct live {
    usize at;
    usize bytes;
    u32 table;
    bool key;
};

static struct file files[FILES_MAX];
static u32 file_count;
static u32 run_count; /* of the files, the last ones */
static struct live live[2][LIVE_MAX];
static u32 live_count[2];
static u64 state; /* of chance */

void damage_seed(u64 seed) {
    state = seed;
    damage_chance(2);
}

u64 damage_chance(u64 below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static void take_file(const char *dir, const char *name) {
    char path[512];
    struct file *file = &files[file_count++];
    require(file_count < FILES_MAX);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(file->name, sizeof file->name, "%s", name);
    FILE *stream = fopen(path, "rb");
    require(stream != NULL && fseek(stream, 0, SEEK_END) == 0);
    file->bytes = (usize)ftell(stream);
    file->data = malloc(file->bytes + 1);
    rewind(stream);
    require(file->data != NULL && fread(file->data, 1, file->bytes, stream) == file->bytes);
    fclose(stream);
    file->sound = malloc(file->bytes + 1);
    file->sound_bytes = file->bytes;
    require(file->sound != NULL);
    memcpy(file->sound, file->data, file->bytes);
}

/* All of a directory whose names end so. */
static u32 take_directory(const char *dir, const char *directory, const char *suffix) {
    char path[512];
    const struct dirent *entry;
    u32 before = file_count;
    snprintf(path, sizeof path, "%s/%s", dir, directory);
    DIR *stream = opendir(path);
    require(stream != NULL);
    while ((entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, suffix) != NULL) {
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
            take_file(dir, path);
        }
    }
    closedir(stream);
    return file_count - before;
}

void damage_take(const char *dir) {
    take_file(dir, "FORMAT");
    take_file(dir, "log/data.mdb");
    take_file(dir, "control/data.mdb");
    require(take_directory(dir, "snapshots", ".snap") == SNAPSHOTS_KEPT);
    run_count = take_directory(dir, "keys", ".run");
    require(run_count > 0);
}

/* The whole directory anew, from memory. */
void damage_put(const char *dir) {
    char path[512];
    snprintf(path, sizeof path,
             "cd %s && rm -rf log control snapshots lock keys FORMAT && "
             "mkdir log control snapshots keys",
             dir);
    require(system(path) == 0);
    for (u32 i = 0; i < file_count; i++) {
        snprintf(path, sizeof path, "%s/%.299s", dir, files[i].name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        require(fd >= 0 && write(fd, files[i].data, files[i].bytes) == (ssize_t)files[i].bytes);
        close(fd);
    }
}

void damage_note_live(u32 which, u32 table, const char *map, struct slice slice, bool key) {
    u32 *count = &live_count[which];
    if (slice.bytes > 0 && *count < LIVE_MAX) {
        live[which][(*count)++] = (struct live){(usize)(slice.data - map), slice.bytes, table, key};
    }
}

/* --- damage ----------------------------------------------------------------------------------- */

static void renew_files(void) {
    for (u32 i = 0; i < file_count; i++) {
        files[i].bytes = files[i].sound_bytes;
        memcpy(files[i].data, files[i].sound, files[i].sound_bytes);
    }
}

static bool is_database(const struct file *file) {
    return strstr(file->name, "data.mdb") != NULL;
}

/* In any of the tables: a small one is as important as a large one. */
static const struct live *choose_live(u32 which) {
    u64 table = damage_chance(TABLES_MAX);
    const struct live *one = NULL;
    for (u32 tries = 0; tries < 1000 && (one == NULL || one->table != table); tries++) {
        one = &live[which][damage_chance(live_count[which])];
    }
    return one;
}

/* Headers decide over more than what stands behind them, and so do ends. */
static usize place_in(usize bytes) {
    usize head = MIN(bytes, (usize)HEAD_BYTES);
    u64 way = damage_chance(6);
    return way < 2    ? damage_chance(head)
           : way == 2 ? bytes - 1 - damage_chance(head)
                      : damage_chance(bytes);
}

/* Most of those in databases go to what is alive, some to the pages that lead there. */
static usize choose_place(const struct file *file) {
    if (!is_database(file)) {
        return place_in(file->bytes);
    }
    u64 way = damage_chance(12);
    if (way < 7) {
        const struct live *one = choose_live(file == &files[1] ? 0 : 1);
        return MIN(one->at + place_in(one->bytes), file->bytes - 1);
    }
    if (way == 7) { /* LMDB's two heads */
        return damage_chance(2) * PAGE_BYTES + damage_chance(160);
    }
    for (u32 tries = 0; tries < 1000 && way < 11; tries++) {
        usize page = damage_chance(file->bytes / PAGE_BYTES) * PAGE_BYTES;
        u8 flags = file->data[page + 10];
        if (flags == 1 || flags == 2) {
            return page + damage_chance(damage_chance(2) == 0 ? 160 : PAGE_BYTES);
        }
    }
    return damage_chance(file->bytes);
}

static void damage_sector(struct file *file, usize at, u64 way) {
    at = at / SECTOR_BYTES * SECTOR_BYTES;
    usize bytes = MIN(file->bytes - at, (usize)SECTOR_BYTES);
    usize from = damage_chance(file->bytes / SECTOR_BYTES + 1) * SECTOR_BYTES;
    for (usize i = 0; i < bytes; i++) {
        u8 other = from + i < file->bytes ? file->data[from + i] : 0;
        file->data[at + i] = way == 0 ? 0 : way == 1 ? (u8)damage_chance(256) : other;
    }
}

/* Of what somebody reads in it. */
static u64 hash_file(const struct file *file) {
    usize head = strncmp(file->name, "keys/", 5) == 0 ? RUN_HEADER_BYTES : PAGE_BYTES;
    u64 hash = hash64(file->data, MIN(head, file->bytes), 0);
    return file->bytes <= PAGE_BYTES
               ? hash
               : hash64(file->data + PAGE_BYTES, file->bytes - PAGE_BYTES, hash);
}

bool damage_make(char *did, usize did_bytes) {
    renew_files();
    static const u8 weight[] = {0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4};
    bool of_keys = damage_chance(8) == 0;
    struct file *file = of_keys ? &files[file_count - 1 - damage_chance(run_count)]
                                : &files[weight[damage_chance(ARRAY_COUNT(weight))]];
    u64 way = damage_chance(16);
    usize at = choose_place(file);
    usize bytes = file->bytes;
    u64 before = hash_file(file);
    if (way < 9) {
        file->data[at] ^= (u8)(1u << damage_chance(8));
    } else if (way < 11) {
        for (u64 bits = 2 + damage_chance(7); bits > 0; bits--) {
            usize near = at + damage_chance(64);
            file->data[MIN(near, file->bytes - 1)] ^= (u8)(1u << damage_chance(8));
        }
    } else if (way < 15) {
        damage_sector(file, at, way - 11);
    } else {
        file->bytes = damage_chance(file->bytes);
    }
    int used = snprintf(did, did_bytes, "%s way %llu at %zu of %zu", file->name,
                        (unsigned long long)way, at, file->bytes);
    u32 which = file == &files[1] ? 0 : 1;
    for (u32 i = 0; i < live_count[which] && is_database(file); i++) {
        const struct live *one = &live[which][i];
        if (at >= one->at && at - one->at < one->bytes) {
            snprintf(did + used, did_bytes - (usize)used, ", byte %zu of %zu of a %s in table %u",
                     at - one->at, one->bytes, one->key ? "key" : "value", one->table);
        }
    }
    bool changed = file->bytes != bytes || hash_file(file) != before;
    if (!changed) {
        snprintf(did, did_bytes, "nothing");
    }
    return changed;
}
