/*
 * tidy.h: what the parts of tidy share: the files of the tree, and how to report.
 */
#ifndef MARGIN_TOOLS_TIDY_H
#define MARGIN_TOOLS_TIDY_H

#include <string.h>

#include "base.h"

#define TIDY_FILES_MAX 4096
#define TIDY_PATH_BYTES_MAX 512
#define NONE UINT32_MAX

struct file {
    char path[TIDY_PATH_BYTES_MAX]; /* from the root: engine/base/buf.c */
    char *text;
    char *code; /* the text with comments and the insides of literals blanked */
    usize bytes;
    u32 lines;
    u32 includes;     /* how many it has */
    u32 includers;    /* how many other files include it, its own source left out */
    u32 functions;    /* external ones it defines */
    u32 functions_in; /* of these, how many another file uses */
};

extern struct file files[TIDY_FILES_MAX];
extern u32 file_count;
extern u32 finding_count;

/* A broken rule; goes on. */
void finding(const struct file *file, u32 line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something tidy itself cannot do; ends it with 2. */
_Noreturn void fail(const char *what, const char *detail);

bool begins(const char *text, const char *with);
bool ends(const char *text, const char *with);
bool is_word(char c);
bool is_c(const struct file *file);
bool is_header(const struct file *file);
bool is_product(const struct file *file); /* engine/ or storage/: the strict rules */
bool slice_is(struct slice word, const char *text);
struct slice word_at(const char *at); /* empty if none begins there */
const char *skip_blanks(const char *at);
/* True if the line of `offset` or the one above says `tidy: allow WORD, ...`. */
bool is_allowed(const struct file *file, usize offset, struct slice word);

/* tree.c: reads all files below the root, in the order of names; then checks of one file. */
void tree_read(const char *root);
void check_lines(struct file *file);
void check_header_comment(const struct file *file);

/* words.c: words, braces and functions of C. scan_file() for all files, then the rest. */
void scan_file(u32 index);
void check_functions(void);

/* includes.c: who includes what. read_includes() for all files, then the rest. */
enum tree { TREE_ENGINE, TREE_STORAGE, TREES };
void read_layers(enum tree tree, const char *text);
void read_includes(u32 index);
void check_includes(void);

#endif
