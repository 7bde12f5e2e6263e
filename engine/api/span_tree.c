/*
 * span_tree.c: spans come with the name of their parent. Rows are attached in ascending time; a
 * walk up from the chosen parent finds whether the edge would close a cycle. The tree is written
 * without recursion, because a trace may be one long chain.
 */
#include "api/span_tree.h"

#include <stdlib.h>
#include <string.h>

#define NO_NODE UINT32_MAX

struct node {
    u32 parent;
    u32 first_child;
    u32 last_child;
    u32 next; /* sibling */
};

struct tree {
    const struct event_rows *rows;
    struct node *nodes; /* node i is row i */
    u32 *by_span;       /* rows ordered by span id, then by place */
    struct node roots;  /* only its children count */
};

static struct slice text_of(const struct event_rows *rows, struct text_ref ref) {
    return (struct slice){rows->text.data + ref.offset, ref.bytes};
}

static int compare_texts(struct slice a, struct slice b) {
    int order = memcmp(a.data, b.data, MIN(a.bytes, b.bytes));
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_spans(const void *a, const void *b, void *context) {
    const struct event_rows *rows = context;
    u32 left = *(const u32 *)a;
    u32 right = *(const u32 *)b;
    int order =
        compare_texts(text_of(rows, rows->rows[left].span), text_of(rows, rows->rows[right].span));
    return order != 0 ? order : (left > right) - (left < right);
}

/* The earliest row with this span id. */
static u32 find_span(const struct tree *tree, struct slice span) {
    u32 low = 0;
    u32 high = tree->rows->count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        struct text_ref ref = tree->rows->rows[tree->by_span[middle]].span;
        if (compare_texts(text_of(tree->rows, ref), span) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == tree->rows->count) {
        return NO_NODE;
    }
    u32 found = tree->by_span[low];
    bool same = compare_texts(text_of(tree->rows, tree->rows->rows[found].span), span) == 0;
    return same ? found : NO_NODE;
}

static u32 choose_parent(const struct tree *tree, u32 at) {
    const struct event_row *row = &tree->rows->rows[at];
    struct slice parent = text_of(tree->rows, row->parent);
    if (parent.bytes == 0 || compare_texts(parent, text_of(tree->rows, row->span)) == 0) {
        return NO_NODE;
    }
    u32 chosen = find_span(tree, parent);
    for (u32 up = chosen; up != NO_NODE; up = tree->nodes[up].parent) {
        if (up == at) {
            return NO_NODE;
        }
    }
    return chosen;
}

static void attach(struct tree *tree, u32 at) {
    u32 parent = choose_parent(tree, at);
    struct node *above = parent == NO_NODE ? &tree->roots : &tree->nodes[parent];
    tree->nodes[at].parent = parent;
    if (above->first_child == NO_NODE) {
        above->first_child = at;
    } else {
        tree->nodes[above->last_child].next = at;
    }
    above->last_child = at;
}

static void open_node(struct json_writer *json, const struct tree *tree, u32 at) {
    const struct event_row *row = &tree->rows->rows[at];
    json_object_begin(json);
    json_key(json, "span_id");
    if (row->span.bytes > 0) {
        json_string(json, text_of(tree->rows, row->span));
    } else {
        json_null(json);
    }
    json_key(json, "event_id");
    json_u64(json, row->id);
    json_key(json, "children");
    json_array_begin(json);
}

static void close_node(struct json_writer *json) {
    json_array_end(json);
    json_object_end(json);
}

/* Down to the first child, else along to the next sibling of the nearest node that has one. */
static void write_nodes(struct json_writer *json, const struct tree *tree) {
    u32 at = tree->roots.first_child;
    while (at != NO_NODE) {
        open_node(json, tree, at);
        if (tree->nodes[at].first_child != NO_NODE) {
            at = tree->nodes[at].first_child;
            continue;
        }
        close_node(json);
        while (at != NO_NODE && tree->nodes[at].next == NO_NODE) {
            at = tree->nodes[at].parent;
            if (at != NO_NODE) {
                close_node(json);
            }
        }
        at = at == NO_NODE ? NO_NODE : tree->nodes[at].next;
    }
}

enum err span_tree_write(struct json_writer *json, const struct event_rows *rows) {
    static const struct node empty = {NO_NODE, NO_NODE, NO_NODE, NO_NODE};
    struct tree tree = {.rows = rows, .roots = empty};
    tree.nodes = calloc(MAX(rows->count, 1u), sizeof *tree.nodes);
    tree.by_span = calloc(MAX(rows->count, 1u), sizeof *tree.by_span);
    bool enough = tree.nodes != NULL && tree.by_span != NULL;
    if (enough) {
        for (u32 i = 0; i < rows->count; i++) {
            tree.nodes[i] = empty;
            tree.by_span[i] = i;
        }
        qsort_r(tree.by_span, rows->count, sizeof *tree.by_span, compare_spans, (void *)rows);
        for (u32 i = 0; i < rows->count; i++) {
            attach(&tree, i);
        }
        json_array_begin(json);
        write_nodes(json, &tree);
        json_array_end(json);
    }
    free(tree.nodes);
    free(tree.by_span);
    return enough ? ERR_OK : ERR_NO_MEMORY;
}
