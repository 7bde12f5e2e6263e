/*
 * words.c: words, braces and functions: banned calls, floating point near money, long functions,
 * and code that nobody uses. It reads C with comments and literals blanked and counts braces, which
 * is enough for a tree that clang-format keeps in shape; it does not expand macros.
 */
#include "tidy.h"

#define FUNCTION_LINES_MAX 70
#define LIBRARY_HEADER "include/margin.h" /* its users are elsewhere */

struct word {
    const char *name;
    const char *instead;
};

/* Calls that engine/ and storage/ do not make. */
static const struct word banned_calls[] = {
    {"strcpy", "memcpy with a known length"},
    {"strncpy", "memcpy with a known length"},
    {"strcat", "a struct buf"},
    {"strncat", "a struct buf"},
    {"sprintf", "snprintf or a struct buf"},
    {"vsprintf", "vsnprintf or a struct buf"},
    {"atoi", "a parser that reports errors"},
    {"atol", "a parser that reports errors"},
    {"atoll", "a parser that reports errors"},
    {"atof", "a parser that reports errors"},
    {"strtok", "slices"},
    {"gets", "read"},
    {"exit", "an enum err that main turns into an exit code"},
    {"abort", "check()"},
    {"printf", "log_line"},
    {"vprintf", "log_line"},
    {"puts", "log_line"},
    {"putchar", "log_line"},
    {"alloca", "an arena or a bounded array"},
    {"fork", "a thread: an LMDB environment does not survive a fork"},
    {"vfork", "a thread: an LMDB environment does not survive a fork"},
    {"system", "a library"},
    {"popen", "a library"},
};

/* Where money is counted, in integers only. */
static const char *const money_places[] = {"engine/price/", "engine/agg/", "engine/event/",
                                           "storage/"};
static const char *const float_words[] = {"float", "double", "strtod", "strtof"};

#define FUNCTIONS_MAX 32768
#define WORDS_MAX ((u32)1 << 20) /* slots; a power of two */
#define MANY (UINT32_MAX - 1)

struct function {
    u32 file;
    u32 line;
    struct slice name;
};

/* Which file uses a word: one, or MANY. */
struct use {
    struct slice word;
    u32 file;
    u32 header; /* a header that declares it, or NONE */
};

static struct function functions[FUNCTIONS_MAX];
static u32 function_count;
static struct use uses[WORDS_MAX];
static u32 use_count;

/* --- words ------------------------------------------------------------------------------------ */

/* The entry of a word, made if missing. */
static struct use *use_of(struct slice word) {
    u32 hash = 2166136261u; /* FNV-1a */
    for (usize i = 0; i < word.bytes; i++) {
        hash = (hash ^ (u8)word.data[i]) * 16777619u;
    }
    for (u32 slot = hash;; slot++) {
        struct use *use = &uses[slot & (WORDS_MAX - 1)];
        if (use->word.data == NULL) {
            if (++use_count > WORDS_MAX / 2) {
                fail("too many words", "raise WORDS_MAX");
            }
            *use = (struct use){word, NONE, NONE};
            return use;
        }
        if (use->word.bytes == word.bytes && memcmp(use->word.data, word.data, word.bytes) == 0) {
            return use;
        }
    }
}

static void note_use(u32 file, struct slice word) {
    struct use *use = use_of(word);
    use->file = use->file == NONE || use->file == file ? file : MANY;
}

struct scan {
    u32 file;
    u32 line;
    u32 depth;               /* of braces */
    bool function;           /* the braces are a function's body */
    char last;               /* the last character that is not blank */
    const char *declaration; /* where the one at depth 0 begins; NULL: none yet */
    u32 declaration_line;
};

static bool in_money_place(const struct file *file) {
    for (usize i = 0; i < ARRAY_COUNT(money_places); i++) {
        if (begins(file->path, money_places[i])) {
            return true;
        }
    }
    return false;
}

/* `typedef struct x {` and `typedef struct x y;`, but not a type of functions or pointers. */
static bool hides_struct(const char *after_typedef) {
    struct slice word = word_at(skip_blanks(after_typedef));
    if (!slice_is(word, "struct") && !slice_is(word, "enum") && !slice_is(word, "union")) {
        return false;
    }
    const char *at = skip_blanks(word.data + word.bytes);
    at = skip_blanks(at + word_at(at).bytes);
    return *at == '{' || is_word(*at);
}

static void check_word(const struct scan *scan, struct slice word) {
    const struct file *file = &files[scan->file];
    usize offset = (usize)(word.data - file->code);
    const char *after = skip_blanks(word.data + word.bytes);
    bool member = scan->last == '.' || scan->last == '>';
    for (usize i = 0; i < ARRAY_COUNT(banned_calls) && is_product(file) && !member; i++) {
        if (*after == '(' && slice_is(word, banned_calls[i].name) &&
            !is_allowed(file, offset, word)) {
            finding(file, scan->line, "%s is banned; use %s", banned_calls[i].name,
                    banned_calls[i].instead);
        }
    }
    for (usize i = 0; i < ARRAY_COUNT(float_words) && in_money_place(file); i++) {
        if (slice_is(word, float_words[i]) && !is_allowed(file, offset, word)) {
            finding(file, scan->line, "%s where money is counted", float_words[i]);
        }
    }
    bool ours = is_product(file) || begins(file->path, "include/");
    if (ours && slice_is(word, "typedef") && hides_struct(word.data + word.bytes) &&
        !is_allowed(file, offset, word)) {
        finding(file, scan->line, "a typedef hides a struct, union or enum");
    }
}

/* Notes an external function that begins at the declaration and whose body begins at `brace`. */
static void note_function(const struct scan *scan, const char *brace) {
    struct slice name = {NULL, 0};
    for (const char *at = scan->declaration; at < brace;) {
        struct slice word = word_at(at);
        if (slice_is(word, "static") || slice_is(word, "main")) {
            return;
        }
        if (word.bytes == 0 && *at == '(' && name.bytes > 0 && !slice_is(name, "__attribute__")) {
            break;
        }
        if (word.bytes > 0) {
            name = word;
        }
        at += word.bytes > 0 ? word.bytes : 1;
    }
    if (function_count == FUNCTIONS_MAX) {
        fail("too many functions", "raise FUNCTIONS_MAX");
    }
    functions[function_count++] = (struct function){scan->file, scan->declaration_line, name};
}

static void open_brace(struct scan *scan, const char *brace) {
    const struct file *file = &files[scan->file];
    if (scan->depth == 0 && scan->last == '"') { /* extern "C" {: the depth stays */
        scan->declaration = NULL;
        return;
    }
    if (scan->depth == 0) {
        scan->function = scan->last == ')' && scan->declaration != NULL;
        bool noted = is_product(file) || begins(file->path, "tools/client/");
        if (scan->function && noted && ends(file->path, ".c")) {
            note_function(scan, brace);
        }
    }
    scan->depth++;
}

static void close_brace(struct scan *scan) {
    scan->depth -= scan->depth > 0;
    if (scan->depth > 0) {
        return;
    }
    u32 lines = scan->line - scan->declaration_line + 1;
    if (scan->function && lines > FUNCTION_LINES_MAX) {
        finding(&files[scan->file], scan->declaration_line, "function of %u lines, at most %u",
                lines, FUNCTION_LINES_MAX);
    }
    scan->function = false;
    scan->declaration = NULL;
}

/* A word of code; returns where it ends. A word of a header outside of braces is a declaration. */
static const char *scan_word(struct scan *scan, const char *at, bool directive) {
    const struct file *file = &files[scan->file];
    struct slice word = word_at(at);
    if (*at < '0' || *at > '9') {
        check_word(scan, word);
        if (is_header(file) && scan->depth == 0 && !directive) {
            use_of(word)->header = scan->file;
        } else {
            note_use(scan->file, word);
        }
    }
    scan->last = 'w';
    return at + word.bytes;
}

/* A preprocessor line with its continuations; returns its newline. */
static const char *scan_directive(struct scan *scan, const char *at) {
    while (*at != 0 && *at != '\n') {
        if (at[0] == '\\' && at[1] == '\n') {
            scan->line++;
            at += 2;
        } else if (is_word(*at)) {
            at = scan_word(scan, at, true);
        } else {
            at++;
        }
    }
    return at;
}

void scan_file(u32 index) {
    struct scan scan = {.file = index, .line = 1};
    bool line_begins = true;
    for (const char *at = files[index].code; *at != 0;) {
        if (*at == '\n') {
            scan.line++;
            line_begins = true;
            at++;
            continue;
        }
        if (*at == '#' && line_begins) {
            at = scan_directive(&scan, at);
            continue;
        }
        if (*at == ' ') {
            at++;
            continue;
        }
        line_begins = false;
        if (scan.depth == 0 && scan.declaration == NULL && *at != ';' && *at != '}') {
            scan.declaration = at;
            scan.declaration_line = scan.line;
        }
        if (is_word(*at)) {
            at = scan_word(&scan, at, false);
            continue;
        }
        if (*at == '{') {
            open_brace(&scan, at);
        } else if (*at == '}') {
            close_brace(&scan);
        } else if (*at == ';' && scan.depth == 0) {
            scan.declaration = NULL;
        }
        scan.last = *at++;
    }
    if (scan.depth != 0) {
        finding(&files[index], scan.line, "braces do not match");
    }
}

/* What a whole unused file defines is not listed besides. */
static void check_function_used(const struct function *function) {
    const struct file *file = &files[function->file];
    const struct use *use = use_of(function->name);
    int bytes = (int)function->name.bytes;
    if (use->file == MANY) {
        return;
    }
    if (use->header == NONE) {
        finding(file, function->line, "%.*s is used only here: make it static", bytes,
                function->name.data);
    } else if (file->functions_in > 0 && strcmp(files[use->header].path, LIBRARY_HEADER) != 0) {
        finding(file, function->line, "nobody but this file uses %.*s", bytes, function->name.data);
    }
}

void check_functions(void) {
    for (u32 i = 0; i < function_count; i++) {
        struct file *file = &files[functions[i].file];
        file->functions++;
        file->functions_in += use_of(functions[i].name)->file == MANY;
    }
    for (u32 i = 0; i < function_count; i++) {
        check_function_used(&functions[i]);
    }
    for (u32 i = 0; i < file_count; i++) {
        if (files[i].functions > 0 && files[i].functions_in == 0) {
            finding(&files[i], 1, "nobody uses this file");
        }
    }
}
