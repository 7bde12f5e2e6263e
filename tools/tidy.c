/*
 * tidy: the house rules that a compiler does not know, checked over the whole tree: length of
 * lines, functions and files, banned calls, floating point near money, which folder may include
 * which, one file for each library, and code that nobody uses. What is forbidden stands in
 * tables at the head of the files of tools/tidy/. The layers come from the Makefile:
 *
 *     tidy --layers "base http,json event" --layers-storage "base column block" DIR
 *
 * names left to right, nothing includes to its right, names joined by a comma do not include each
 * other. Findings are `file:line: text`; exit 1 if there is one. A line that must break a rule on
 * words says so beside it, with the reason: `tidy: allow WORD, because ...`.
 */
#include "tidy/tidy.h"

#include <stdio.h>

static void check_tree(void) {
    for (u32 i = 0; i < file_count; i++) {
        check_lines(&files[i]);
        check_header_comment(&files[i]);
        if (is_c(&files[i])) {
            scan_file(i);
            read_includes(i);
        }
    }
    check_includes();
    check_functions();
}

int main(int argc, char **argv) {
    const char *root = NULL;
    u32 trees = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--layers") == 0 && i + 1 < argc) {
            read_layers(TREE_ENGINE, argv[++i]);
            trees++;
        } else if (strcmp(argv[i], "--layers-storage") == 0 && i + 1 < argc) {
            read_layers(TREE_STORAGE, argv[++i]);
            trees++;
        } else {
            root = argv[i];
        }
    }
    if (root == NULL || trees != TREES) {
        fail("usage", "tidy --layers \"base event main\" --layers-storage \"base db store\" DIR");
    }
    tree_read(root);
    check_tree();
    printf("tidy: %u files, %u findings\n", file_count, finding_count);
    return finding_count > 0;
}
