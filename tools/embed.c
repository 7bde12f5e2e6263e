/*
 * embed: prints a C file that holds the bytes of the files named on the command line, as
 * `embedded_files` (engine/base/embedded.h). Bytes are written as numbers: string literals have a
 * length limit in ISO C, and a compiler reads 300 KB of numbers in a fraction of a second.
 */
#include <stdio.h>
#include <string.h>

#define BYTES_A_LINE 32

/* The last folder and the file: "schema/events.json". */
static const char *name_of(const char *path) {
    int slashes = 0;
    const char *at = path + strlen(path);
    while (at > path && (at[-1] != '/' || ++slashes < 2)) {
        at--;
    }
    return at;
}

/* Prints the array of one file. Returns its size, or -1. */
static long print_data(const char *path, int index) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    printf("static const unsigned char data_%d[] = {", index);
    long bytes = 0;
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
        printf("%s%d,", bytes % BYTES_A_LINE == 0 ? "\n" : "", c);
        bytes++;
    }
    /* An array cannot be empty; the zero behind the end is not counted. */
    printf("\n0};\n\n");
    if (ferror(file) != 0) {
        perror(path);
        bytes = -1;
    }
    fclose(file);
    return bytes;
}

static int print_table(int count, char **paths, const long *bytes) {
    printf("const struct embedded_file embedded_files[] = {\n");
    for (int i = 0; i < count; i++) {
        const char *name = name_of(paths[i]);
        if (strpbrk(name, "\"\\") != NULL) {
            fprintf(stderr, "embed: a file name cannot hold quotes or backslashes: %s\n", name);
            return 1;
        }
        printf("    {\"%s\", data_%d, %ld},\n", name, i, bytes[i]);
    }
    printf("    {0, 0, 0},\n};\nconst u32 embedded_file_count = %d;\n", count);
    return 0;
}

int main(int argc, char **argv) {
    enum { FILES_MAX = 256 };
    long bytes[FILES_MAX];
    int count = argc - 1;
    if (count > FILES_MAX) {
        fprintf(stderr, "embed: at most %d files\n", FILES_MAX);
        return 2;
    }
    printf("/* Made by tools/embed. */\n#include \"base/embedded.h\"\n\n");
    for (int i = 0; i < count; i++) {
        bytes[i] = print_data(argv[i + 1], i);
        if (bytes[i] < 0) {
            return 1;
        }
    }
    if (print_table(count, argv + 1, bytes) != 0 || fflush(stdout) != 0 || ferror(stdout) != 0) {
        return 1;
    }
    return 0;
}
