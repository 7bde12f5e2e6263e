/*
 * replay.c: feeds every file of the directories given to a fuzzer's entry point, without the
 * fuzzing engine: the corpus as a regression test. Says which file it is at when one fails.
 */
#include "base.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *current = "";

static bool replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return false;
    }
    current = path;
    usize capacity = 64 * KIB;
    usize bytes = 0;
    u8 *data = malloc(capacity);
    check(data != NULL);
    for (usize got; (got = fread(data + bytes, 1, capacity - bytes, file)) > 0;) {
        bytes += got;
        if (bytes == capacity) {
            capacity *= 2;
            data = realloc(data, capacity);
            check(data != NULL);
        }
    }
    fclose(file);
    /* An exact copy, so that the sanitizer sees the first byte behind it. */
    u8 *exact = malloc(MAX(bytes, (usize)1));
    check(exact != NULL);
    memcpy(exact, data, bytes);
    free(data);
    LLVMFuzzerTestOneInput(exact, bytes);
    free(exact);
    return true;
}

static int replay_directory(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL) {
        perror(path);
        return -1;
    }
    int files = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (!replay_file(name)) {
            files = -1;
            break;
        }
        files++;
    }
    closedir(directory);
    return files;
}

/* A failed check or sanitizer ends the process; this still runs for the latter. */
static void say_where(void) {
    if (current[0] != 0) {
        fprintf(stderr, "stopped at %s\n", current);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
        return 2;
    }
    atexit(say_where);
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int files = replay_directory(argv[i]);
        if (files < 0) {
            return 1;
        }
        total += files;
    }
    current = "";
    printf("%s: %d files\n", argv[0], total);
    return total > 0 ? 0 : 1;
}
