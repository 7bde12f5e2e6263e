/*
 * includes.c: who may include what: the layers, one file a library, headers that stand alone and
 * are used.
 */
#include "tidy.h"

#include <stdio.h>

enum library_users { ONE_FILE, ONE_FILE_A_FOLDER, TESTS_ONLY, BENCH_ONLY };

/* Third-party headers, by the beginning of their name, and who may include them. */
static const struct {
    const char *header;
    enum library_users users;
} libraries[] = {
    {"liburing", ONE_FILE},
    {"lmdb.h", ONE_FILE},
    {"xxhash.h", ONE_FILE},
    {"roaring/", ONE_FILE},
    {"openssl/crypto", ONE_FILE},
    {"openssl/evp", ONE_FILE},
    {"openssl/hmac", ONE_FILE},
    {"openssl/ssl", ONE_FILE_A_FOLDER},
    {"openssl/err", ONE_FILE_A_FOLDER},
    {"openssl/x509", ONE_FILE_A_FOLDER},
    {"zlib.h", ONE_FILE},
    {"ini.h", ONE_FILE},
    {"seccomp.h", ONE_FILE},
    {"zstd", ONE_FILE_A_FOLDER},
    {"curl/", ONE_FILE},
    {"cmocka", TESTS_ONLY},
    {"criterion/", TESTS_ONLY},
    {"simdjson", BENCH_ONLY},
};

#define INCLUDES_MAX 32768
#define LAYERS_MAX 64

struct include {
    u32 file;
    u32 line;
    u32 target; /* project file, or NONE */
    bool quoted;
    char name[128];
};

struct layer {
    char name[32];
    u32 rank;
};

struct layers {
    struct layer layer[LAYERS_MAX];
    u32 count;
};

static struct include includes[INCLUDES_MAX];
static u32 include_count;
static struct layers layers_of[TREES];

/* --- includes --------------------------------------------------------------------------------- */

static u32 find_file(const char *path) {
    for (u32 i = 0; i < file_count; i++) {
        if (strcmp(files[i].path, path) == 0) {
            return i;
        }
    }
    return NONE;
}

/* Where the compiler finds a header: beside the file, then -I. -Iinclude -Iengine. */
static u32 resolve(const struct file *from, const char *name) {
    char path[2 * TIDY_PATH_BYTES_MAX];
    const char *slash = strrchr(from->path, '/');
    snprintf(path, sizeof path, "%.*s/%s", (int)(slash - from->path), from->path, name);
    u32 found = find_file(path);
    static const char *const prefixes[] = {"", "include/", "engine/"};
    for (usize i = 0; i < ARRAY_COUNT(prefixes) && found == NONE; i++) {
        snprintf(path, sizeof path, "%s%s", prefixes[i], name);
        found = find_file(path);
    }
    return found;
}

static void read_include(u32 index, u32 line, const char *text) {
    struct include include = {.file = index, .line = line, .target = NONE};
    struct file *file = &files[index];
    char close = *text == '<' ? '>' : '"';
    const char *end = *text == '<' || *text == '"' ? strchr(text + 1, close) : NULL;
    if (end == NULL || (usize)(end - text) > sizeof include.name) {
        return;
    }
    memcpy(include.name, text + 1, (usize)(end - text - 1));
    include.quoted = close == '"';
    if (include.quoted) {
        include.target = resolve(file, include.name);
        if (include.target == NONE) {
            finding(file, line, "there is no project file %s", include.name);
        }
    }
    if (include_count == INCLUDES_MAX) {
        fail("too many includes", file->path);
    }
    includes[include_count++] = include;
    file->includes++;
}

void read_includes(u32 index) {
    const struct file *file = &files[index];
    u32 line = 1;
    for (const char *at = file->code; at != NULL && *at != 0; line++) {
        const char *word = at;
        while (*word == ' ' || *word == '#') {
            word++;
        }
        if (*at == '#' && slice_is(word_at(word), "include")) {
            const char *name = skip_blanks(word + strlen("include"));
            read_include(index, line, file->text + (name - file->code));
        }
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
}

void read_layers(enum tree tree, const char *text) {
    struct layers *layers = &layers_of[tree];
    u32 rank = 0;
    for (const char *at = text; *at != 0;) {
        usize bytes = strcspn(at, ", ");
        struct layer *layer = &layers->layer[layers->count];
        if (bytes == 0 || bytes >= sizeof layer->name || layers->count + 1 == LAYERS_MAX) {
            fail("these layers make no sense", text);
        }
        memcpy(layer->name, at, bytes);
        layer->rank = rank;
        layers->count++;
        at += bytes;
        rank += *at == ' ';
        at += *at != 0;
    }
}

/* The layer of a file: its folder below the root, or its name up to an underscore, as in
 * column_avx2.c. NULL: no layer has that name. */
static const struct layer *layer_of(const struct layers *layers, const char *path) {
    const char *at = strchr(path, '/') + 1;
    usize bytes = strcspn(at, "/.");
    for (;;) {
        for (u32 i = 0; i < layers->count; i++) {
            const char *name = layers->layer[i].name;
            if (strlen(name) == bytes && memcmp(name, at, bytes) == 0) {
                return &layers->layer[i];
            }
        }
        while (bytes > 0 && at[bytes - 1] != '_') {
            bytes--;
        }
        if (bytes == 0) {
            return NULL;
        }
        bytes--;
    }
}

/* Both files are in the same tree. */
static void check_layers(const struct include *include, const struct layers *layers) {
    const struct file *from = &files[include->file];
    const struct file *to = &files[include->target];
    const struct layer *user = layer_of(layers, from->path);
    const struct layer *used = layer_of(layers, to->path);
    if (user == NULL || used == NULL) {
        return; /* check_has_layer() says so once a file */
    }
    if (used->rank > user->rank) {
        finding(from, include->line, "%s may not include %s: it is to its right in LAYERS",
                user->name, to->path);
    } else if (used->rank == user->rank && used != user && strcmp(used->name, "base") != 0) {
        finding(from, include->line, "%s may not include %s: they are siblings in LAYERS",
                user->name, to->path);
    }
}

static void check_direction(const struct include *include) {
    const struct file *from = &files[include->file];
    const char *to = files[include->target].path;
    bool product = is_product(from) || begins(from->path, "include/");
    if (!product || begins(to, "include/")) {
        return;
    }
    if (begins(from->path, "include/")) {
        finding(from, include->line, "include/ may not depend on %s", to);
    } else if (begins(to, "engine/") && begins(from->path, "engine/")) {
        check_layers(include, &layers_of[TREE_ENGINE]);
    } else if (begins(to, "storage/") && begins(from->path, "storage/")) {
        check_layers(include, &layers_of[TREE_STORAGE]);
    } else if (begins(to, "storage/")) {
        finding(from, include->line, "the engine sees storage through include/store.h only");
    } else if (!begins(to, "engine/base/")) {
        finding(from, include->line, "%s may not include %s", from->path, to);
    }
}

static void check_has_layer(const struct file *file) {
    bool engine = begins(file->path, "engine/");
    if ((engine || begins(file->path, "storage/")) &&
        layer_of(engine ? &layers_of[TREE_ENGINE] : &layers_of[TREE_STORAGE], file->path) == NULL) {
        finding(file, 1, "in no layer of the Makefile's LAYERS");
    }
}

/* --- libraries -------------------------------------------------------------------------------- */

/* True if `include` is another file's than `first`, in a place the library's rule counts. */
static bool is_second_user(const struct include *first, const struct include *include,
                           enum library_users users) {
    const char *a = files[first->file].path;
    const char *b = files[include->file].path;
    usize folder = strcspn(a, "/") + 1;
    return first->file != include->file && (users == ONE_FILE || strncmp(a, b, folder) == 0);
}

static void check_library(usize library) {
    const char *header = libraries[library].header;
    enum library_users users = libraries[library].users;
    const struct include *first[8]; /* one a folder */
    u32 first_count = 0;
    for (u32 i = 0; i < include_count; i++) {
        const struct include *include = &includes[i];
        const struct file *file = &files[include->file];
        bool test = begins(file->path, "tests/");
        bool bench = begins(file->path, "bench/");
        if (include->quoted || !begins(include->name, header)) {
            continue;
        }
        if ((users == TESTS_ONLY && !test) || (users == BENCH_ONLY && !bench)) {
            finding(file, include->line, "%s is for %s/ only", include->name,
                    users == TESTS_ONLY ? "tests" : "bench");
        }
        if (users > ONE_FILE_A_FOLDER || test || bench) {
            continue;
        }
        if (is_header(file)) {
            finding(file, include->line, "a header may not show %s to others", include->name);
        }
        for (u32 k = 0; k < first_count; k++) {
            if (is_second_user(first[k], include, users)) {
                finding(file, include->line, "%s belongs to %s", include->name,
                        files[first[k]->file].path);
                break;
            }
        }
        if (first_count < ARRAY_COUNT(first)) {
            first[first_count++] = include;
        }
    }
}

/* --- headers and what is used ----------------------------------------------------------------- */

/* True if the two are x.c and x.h of one folder. */
static bool is_pair(const char *source, const char *header) {
    usize bytes = strlen(header) - 2;
    return strlen(source) == bytes + 2 && memcmp(source, header, bytes) == 0 &&
           ends(source, ".c") && ends(header, ".h");
}

static void count_includers(void) {
    for (u32 i = 0; i < include_count; i++) {
        const struct include *include = &includes[i];
        if (include->target != NONE &&
            !is_pair(files[include->file].path, files[include->target].path)) {
            files[include->target].includers++;
        }
    }
}

/* x.c includes x.h first, which shows that x.h needs nothing before it. */
static void check_own_header(u32 index) {
    const struct file *file = &files[index];
    char header[TIDY_PATH_BYTES_MAX];
    snprintf(header, sizeof header, "%.*s.h", (int)strcspn(file->path, "."), file->path);
    u32 own = find_file(header);
    if (!ends(file->path, ".c") || own == NONE) {
        return;
    }
    for (u32 i = 0; i < include_count; i++) {
        if (includes[i].file == index) {
            if (includes[i].target != own) {
                finding(file, includes[i].line, "the first include is not its own %s", header);
            }
            return;
        }
    }
    finding(file, 1, "does not include its own %s", header);
}

/* The word behind `#directive` at the first directive of a header; empty if it is another one. */
static struct slice directive(const char **at, const char *name) {
    const char *hash = strchr(*at, '#');
    if (hash == NULL || !slice_is(word_at(skip_blanks(hash + 1)), name)) {
        return (struct slice){NULL, 0};
    }
    const char *word = skip_blanks(skip_blanks(hash + 1) + strlen(name));
    *at = word;
    return word_at(word);
}

/* #ifndef GUARD, #define GUARD, and no other header with the same word. */
static void check_guard(u32 index) {
    static struct slice guards[TIDY_FILES_MAX];
    const struct file *file = &files[index];
    const char *at = file->code;
    struct slice guard = directive(&at, "ifndef");
    struct slice defined = directive(&at, "define");
    if (guard.bytes == 0 || guard.bytes != defined.bytes ||
        memcmp(guard.data, defined.data, guard.bytes) != 0) {
        if (strstr(file->text, "tidy: allow inclusion, ") != NULL) {
            return; /* meant to be included several times */
        }
        finding(file, 1, "no include guard");
        return;
    }
    for (u32 i = 0; i < index; i++) {
        if (guards[i].bytes == guard.bytes &&
            memcmp(guards[i].data, guard.data, guard.bytes) == 0) {
            finding(file, 1, "has the include guard of %s", files[i].path);
        }
    }
    guards[index] = guard;
}

static void check_header_used(const struct file *file) {
    if (is_header(file) && file->includers == 0) {
        finding(file, 1, "nobody includes this header");
    }
}

void check_includes(void) {
    count_includers();
    for (u32 i = 0; i < include_count; i++) {
        if (includes[i].target != NONE) {
            check_direction(&includes[i]);
        }
    }
    for (usize i = 0; i < ARRAY_COUNT(libraries); i++) {
        check_library(i);
    }
    for (u32 i = 0; i < file_count; i++) {
        check_has_layer(&files[i]);
        check_own_header(i);
        check_header_used(&files[i]);
        if (is_header(&files[i])) {
            check_guard(i);
        }
    }
}
