/* run_test.c: runs come back as they were written, under the name of their content, or not at all.
 */
#include "store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

struct record {
    u64 words[2];
};

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/margind-run-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
}

static void teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert(system(command) == 0);
}

TestSuite(run, .init = setup, .fini = teardown);

static u64 write_run(u32 records, const char *extra) {
    struct run_writer *writer;
    u64 id;
    cr_assert_eq(run_begin(dir, "test", &writer), ERR_OK);
    for (u32 i = 0; i < records;) {
        struct record some[100];
        u32 count = MIN(1 + i % 100, records - i);
        for (u32 k = 0; k < count; k++) {
            some[k] = (struct record){{i + k, ~(u64)(i + k)}};
        }
        cr_assert_eq(run_add(writer, some, count), ERR_OK);
        i += count;
    }
    cr_assert_eq(run_finish(writer, extra, strlen(extra), &id), ERR_OK);
    return id;
}

static void read_run(u64 id, u32 records, const char *extra) {
    static struct record record[3 * RUN_PAGE_BYTES / sizeof(struct record)];
    struct run *run;
    char text[64] = "";
    cr_assert_eq(run_open(dir, id, &run), ERR_OK);
    cr_assert_eq(run_records(run), records);
    cr_assert_eq(run_extra_bytes(run), strlen(extra));
    cr_assert_eq(run_read_extra(run, text), ERR_OK);
    cr_assert_str_eq(text, extra);
    u32 pages = (records + RUN_PAGE_RECORDS - 1) / RUN_PAGE_RECORDS;
    for (u32 first = 0; first < pages; first += 3) {
        u32 count;
        run_want_page(run, first);
        cr_assert_eq(run_read_pages(run, first, MIN(3, pages - first), record, &count), ERR_OK);
        cr_assert_eq(count, MIN(3 * RUN_PAGE_RECORDS, records - first * RUN_PAGE_RECORDS));
        for (u32 i = 0; i < count; i++) {
            cr_assert_eq(record[i].words[0], first * RUN_PAGE_RECORDS + i);
            cr_assert_eq(record[i].words[1], ~(u64)(first * RUN_PAGE_RECORDS + i));
        }
        run_drop_pages(run, first, 1);
    }
    run_close(run);
}

static u32 files(void) {
    char path[128];
    u32 count = 0;
    snprintf(path, sizeof path, "%s/keys", dir);
    DIR *stream = opendir(path);
    const struct dirent *entry;
    cr_assert(stream != NULL);
    while ((entry = readdir(stream)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(stream);
    return count;
}

Test(run, come_back_as_they_were) {
    static const u32 sizes[] = {1, 254, 255, 256, 510, 70000};
    for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
        read_run(write_run(sizes[i], "beside"), sizes[i], "beside");
    }
    read_run(write_run(300, ""), 300, "");
    cr_expect_eq(write_run(300, ""), write_run(300, ""), "the same content has one name");
    cr_expect_neq(write_run(300, "a"), write_run(300, "b"));
    cr_expect_neq(write_run(300, "a"), write_run(301, "a"));
}

Test(run, files_go_when_nobody_names_them) {
    struct run_writer *writer;
    struct run *run;
    u64 ids[3] = {write_run(10, ""), write_run(20, ""), write_run(30, "")};
    u64 found[2];
    cr_expect_eq(run_list(dir, found, 2), 3);
    u32 count;
    static struct record page[RUN_PAGE_BYTES / sizeof(struct record)];
    cr_assert_eq(run_begin(dir, "test", &writer), ERR_OK);
    cr_expect_eq(files(), 4);
    cr_assert_eq(run_open(dir, ids[1], &run), ERR_OK);
    run_keep_only(dir, ids, 1, false);
    cr_expect_eq(files(), 2);
    cr_expect_eq(run_read_pages(run, 0, 1, page, &count), ERR_OK, "an open one can be read");
    run_close(run);
    cr_expect_eq(run_open(dir, ids[1], &run), ERR_NOT_FOUND);
    run_abort(writer);
    cr_expect_eq(files(), 1);
    cr_assert_eq(run_begin(dir, "test", &writer), ERR_OK);
    run_keep_only(dir, ids, 1, true);
    cr_expect_eq(files(), 1, "what a crash left goes, too");
    run_abort(writer);
    run_remove(dir, ids[0]);
    cr_expect_eq(files(), 0);
}

static void path_of(char *path, usize bytes, u64 id) {
    snprintf(path, bytes, "%s/keys/%020llu.run", dir, (unsigned long long)id);
}

/* Every byte of a run says something: any change to it is seen by who reads it. */
Test(run, damage_is_seen) {
    static u8 page[RUN_PAGE_BYTES];
    char path[128];
    const u32 records = 2 * RUN_PAGE_RECORDS + 7;
    u64 id = write_run(records, "beside them");
    path_of(path, sizeof path, id);
    struct stat stat;
    FILE *file = fopen(path, "r+");
    cr_assert(file != NULL && fstat(fileno(file), &stat) == 0);
    for (long at = 0; at < stat.st_size; at += at < 64 || at > 4 * 4096 - 8 ? 1 : 37) {
        fseek(file, at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 16, file);
        fflush(file);
        struct run *run = NULL;
        u32 count;
        enum err err = run_open(dir, id, &run);
        for (u32 i = 0; i < 3 && err == ERR_OK; i++) {
            err = run_read_pages(run, i, 1, page, &count);
        }
        err = err == ERR_OK ? run_read_extra(run, page) : err;
        run_close(run);
        cr_expect(err == ERR_CORRUPT || (err == ERR_OK && at >= 56 && at < 4096), "byte %ld: %s",
                  at, err_text(err));
        fseek(file, at, SEEK_SET);
        fputc(byte, file);
        fflush(file);
    }
    fclose(file);
    read_run(id, records, "beside them");
    static const long lengths[] = {0, 10, 56, 4096, 8192, 4 * 4096 + 10};
    for (u32 i = ARRAY_COUNT(lengths); i-- > 0;) {
        struct run *run;
        cr_assert(truncate(path, lengths[i]) == 0);
        cr_expect_eq(run_open(dir, id, &run), ERR_CORRUPT);
    }
}

/* A page that was written soundly at another place is not taken for this one, nor is another run.
 */
Test(run, sound_pages_in_wrong_places_are_seen) {
    static u8 page[RUN_PAGE_BYTES];
    char path[128];
    char other[128];
    u32 count;
    struct run *run;
    u64 id = write_run(3 * RUN_PAGE_RECORDS, "");
    u64 other_id = write_run(2 * RUN_PAGE_RECORDS, "");
    path_of(path, sizeof path, id);
    path_of(other, sizeof other, other_id);
    FILE *file = fopen(path, "r+");
    cr_assert(file != NULL && fseek(file, RUN_PAGE_BYTES, SEEK_SET) == 0);
    cr_assert(fread(page, 1, sizeof page, file) == sizeof page);
    cr_assert(fseek(file, 2 * RUN_PAGE_BYTES, SEEK_SET) == 0);
    cr_assert(fwrite(page, 1, sizeof page, file) == sizeof page && fclose(file) == 0);
    cr_assert_eq(run_open(dir, id, &run), ERR_OK);
    cr_expect_eq(run_read_pages(run, 0, 1, page, &count), ERR_OK);
    cr_expect_eq(run_read_pages(run, 1, 1, page, &count), ERR_CORRUPT);
    run_close(run);
    cr_assert(rename(other, path) == 0);
    cr_expect_eq(run_open(dir, id, &run), ERR_CORRUPT);
}
