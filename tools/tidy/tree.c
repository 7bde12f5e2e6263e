/*
 * tree.c: which files there are, their text, and the rules that need no more than lines.
 */
#include "tidy.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define COLUMNS_MAX 100
#define FILE_LINES_MAX 800

static const char *const roots[] = {"bench", "engine", "include", "storage", "tests", "tools"};
static const char *const skipped[] = {"tests/fuzz/corpus", "tests/data"};
static const char *const extensions[] = {".c", ".h", ".cc", ".py", ".sh"};

/* Split so that this file passes its own check. */
static const char *const leftovers[] = {"TO"
                                        "DO",
                                        "FIX"
                                        "ME",
                                        "XX"
                                        "X",
                                        "HA"
                                        "CK"};

struct file files[TIDY_FILES_MAX];
u32 file_count;
u32 finding_count;

_Noreturn void fail(const char *what, const char *detail) {
    fprintf(stderr, "tidy: %s: %s\n", what, detail);
    exit(2);
}

void finding(const struct file *file, u32 line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s:%u: ", file->path, line);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    finding_count++;
}

bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

bool ends(const char *text, const char *with) {
    usize bytes = strlen(text);
    usize wanted = strlen(with);
    return bytes >= wanted && strcmp(text + bytes - wanted, with) == 0;
}

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_c(const struct file *file) {
    return ends(file->path, ".c") || ends(file->path, ".h") || ends(file->path, ".cc");
}

bool is_header(const struct file *file) {
    return ends(file->path, ".h");
}

bool is_product(const struct file *file) {
    return begins(file->path, "engine/") || begins(file->path, "storage/");
}

bool slice_is(struct slice word, const char *text) {
    return word.bytes == strlen(text) && memcmp(word.data, text, word.bytes) == 0;
}

struct slice word_at(const char *at) {
    usize bytes = 0;
    while (is_word(at[bytes])) {
        bytes++;
    }
    return (struct slice){at, bytes};
}

bool is_allowed(const struct file *file, usize at, struct slice word) {
    usize first = at;
    for (u32 newlines = 0; first > 0; first--) {
        newlines += file->text[first - 1] == '\n';
        if (newlines == 2) {
            break;
        }
    }
    const char *mark = strstr(file->text + first, "tidy: allow ");
    const char *end = strchr(file->text + at, '\n');
    if (mark == NULL || (end != NULL && mark > end)) {
        return false;
    }
    struct slice named = word_at(mark + strlen("tidy: allow "));
    return named.bytes == word.bytes && memcmp(named.data, word.data, word.bytes) == 0 &&
           named.data[named.bytes] == ',';
}

const char *skip_blanks(const char *at) {
    while (*at == ' ' || *at == '\n') {
        at++;
    }
    return at;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Blanks comments and the insides of string and character literals; keeps every newline. */
static void blank(char *code) {
    enum { CODE, LINE, BLOCK, LITERAL } in = CODE;
    char quote = 0;
    for (char *c = code; *c != 0; c++) {
        if (in == CODE && c[0] == '/' && (c[1] == '/' || c[1] == '*')) {
            in = c[1] == '/' ? LINE : BLOCK;
            c[0] = c[1] = ' ';
            c++;
        } else if (in == CODE && (*c == '"' || *c == '\'')) {
            in = LITERAL;
            quote = *c;
        } else if (in == LITERAL && *c == '\\' && c[1] != 0 && c[1] != '\n') {
            c[0] = c[1] = ' ';
            c++;
        } else if (in == LITERAL && *c == quote) {
            in = CODE;
        } else if (in == BLOCK && c[0] == '*' && c[1] == '/') {
            in = CODE;
            c[0] = c[1] = ' ';
            c++;
        } else if (*c == '\n') {
            in = in == BLOCK ? BLOCK : CODE;
        } else if (in != CODE) {
            *c = ' ';
        }
    }
}

static void read_file(const char *root, const char *path) {
    char full[2 * TIDY_PATH_BYTES_MAX];
    if (file_count == TIDY_FILES_MAX) {
        fail("too many files", path);
    }
    struct file *file = &files[file_count++];
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *stream = fopen(full, "rb");
    struct stat status;
    if (stream == NULL || fstat(fileno(stream), &status) != 0) {
        fail("cannot read", full);
    }
    file->bytes = (usize)status.st_size;
    file->text = calloc(1, file->bytes + 1);
    file->code = calloc(1, file->bytes + 1);
    if (file->text == NULL || file->code == NULL ||
        fread(file->text, 1, file->bytes, stream) != file->bytes) {
        fail("cannot read", full);
    }
    fclose(stream);
    memcpy(file->code, file->text, file->bytes);
    if (is_c(file)) {
        blank(file->code);
    }
}

static bool wanted(const char *path) {
    for (usize i = 0; i < ARRAY_COUNT(extensions); i++) {
        if (ends(path, extensions[i])) {
            return true;
        }
    }
    return false;
}

static bool is_skipped(const char *path) {
    for (usize i = 0; i < ARRAY_COUNT(skipped); i++) {
        if (strcmp(path, skipped[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Reads every file below a folder, in the order of names. */
static void walk(const char *root, const char *folder) {
    char full[2 * TIDY_PATH_BYTES_MAX];
    struct dirent **entries;
    snprintf(full, sizeof full, "%s/%s", root, folder);
    int count = is_skipped(folder) ? 0 : scandir(full, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[TIDY_PATH_BYTES_MAX];
        struct stat status;
        const char *name = entries[i]->d_name;
        int bytes = snprintf(path, sizeof path, "%s/%s", folder, name);
        snprintf(full, sizeof full, "%s/%s", root, path);
        if (bytes >= (int)sizeof path) {
            fail("path too long", full);
        }
        if (name[0] != '.' && lstat(full, &status) == 0) {
            if (S_ISDIR(status.st_mode)) {
                walk(root, path);
            } else if (S_ISREG(status.st_mode) && wanted(path)) {
                read_file(root, path);
            }
        }
        free(entries[i]);
    }
    if (count > 0) {
        free(entries);
    }
}

void tree_read(const char *root) {
    for (usize i = 0; i < ARRAY_COUNT(roots); i++) {
        walk(root, roots[i]);
    }
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Characters, not bytes: continuation bytes of UTF-8 take no column. */
static u32 columns(const char *line, usize bytes) {
    u32 count = 0;
    for (usize i = 0; i < bytes; i++) {
        count += ((u8)line[i] & 0xc0) != 0x80;
    }
    return count;
}

static void check_leftovers(const struct file *file, u32 line, const char *text, usize bytes) {
    for (usize i = 0; i < bytes; i++) {
        if (!is_word(text[i]) || (i > 0 && is_word(text[i - 1]))) {
            continue;
        }
        struct slice word = word_at(text + i);
        for (usize k = 0; k < ARRAY_COUNT(leftovers); k++) {
            if (slice_is(word, leftovers[k])) {
                finding(file, line, "leftover %s", leftovers[k]);
            }
        }
    }
}

static void check_line(const struct file *file, u32 line, const char *text, usize bytes) {
    if (columns(text, bytes) > COLUMNS_MAX) {
        finding(file, line, "%u columns, at most %u", columns(text, bytes), COLUMNS_MAX);
    }
    if (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\t')) {
        finding(file, line, "trailing blanks");
    }
    if (memchr(text, '\r', bytes) != NULL) {
        finding(file, line, "carriage return");
    }
    if (is_c(file) && memchr(text, '\t', bytes) != NULL) {
        finding(file, line, "tab");
    }
    check_leftovers(file, line, text, bytes);
}

void check_lines(struct file *file) {
    const char *at = file->text;
    const char *end = file->text + file->bytes;
    while (at < end) {
        const char *newline = memchr(at, '\n', (usize)(end - at));
        file->lines++;
        check_line(file, file->lines, at, (usize)((newline != NULL ? newline : end) - at));
        at = newline != NULL ? newline + 1 : end;
    }
    if (file->bytes > 0 && end[-1] != '\n') {
        finding(file, file->lines, "no newline at the end");
    }
    if (file->lines > FILE_LINES_MAX) {
        finding(file, file->lines, "%u lines, at most %u", file->lines, FILE_LINES_MAX);
    }
}

/* The first lines say what the unit is: a comment in C, a comment or docstring behind #! else. */
void check_header_comment(const struct file *file) {
    const char *at = file->text;
    if (begins(at, "#!")) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : "";
    }
    bool good =
        is_c(file) ? begins(at, "/*") || begins(at, "//") : begins(at, "#") || begins(at, "\"\"\"");
    if (!good && file->bytes > 0) {
        finding(file, 1, "the file does not begin with a comment that says what it is");
    }
}
