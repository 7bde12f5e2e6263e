/*
 * pages.c: see pages.h. The shapes below are those of LMDB's files (mdb.c: MDB_page, MDB_meta,
 * MDB_db, MDB_node), on a 64-bit little-endian machine.
 */
#include "storage/pages.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAGIC 0xBEEFC0DEu
#define FILE_VERSION 1
#define PAGE_BYTES_MIN 512
#define PAGE_BYTES_MAX 65536
#define HEAD_TRIES 100 /* while somebody writes */
#define KEY_BYTES_MAX 511
#define DEPTH_MAX 32
#define NO_PAGE UINT64_MAX
#define FIRST_PAGE 2 /* behind the heads */

enum page_flags { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum node_flags { NODE_BIG = 1, NODE_TREE = 2 };
#define TREE_INTEGER_KEYS 8   /* of the list of free pages, where */
#define FILE_NO_FOLDER 0x4000 /* it also says how the file was opened first */

struct page_head {
    u64 number;
    u16 pad;
    u16 flags;
    u16 lower; /* end of the offsets; of an overflow page this and the next are its page count */
    u16 upper; /* begin of the nodes */
};

struct tree {
    u32 pad; /* of the list of free pages: bytes of a page */
    u16 flags;
    u16 depth;
    u64 branch_pages;
    u64 leaf_pages;
    u64 overflow_pages;
    u64 entries;
    u64 root;
};

struct meta {
    u32 magic;
    u32 version;
    u64 address;
    u64 map_bytes;
    struct tree free;
    struct tree main;
    u64 last_page;
    u64 txn;
};

struct node {
    u16 low; /* of a leaf: data bytes; of a branch: page number, with `flags` on top */
    u16 high;
    u16 flags;
    u16 key_bytes;
};

_Static_assert(sizeof(struct page_head) == 16 && sizeof(struct tree) == 48, "as LMDB has them");
_Static_assert(sizeof(struct meta) == 136 && sizeof(struct node) == 8, "as LMDB has them");

enum kind { TREE_MAIN, TREE_TABLE, TREE_FREE };

struct bounds { /* of the keys below a branch; NULL data: none */
    struct slice from;
    struct slice to;
};

struct check {
    int fd;
    u64 file_pages;
    u64 missing; /* pages of values, behind the end of the file */
    u64 last_page;
    usize page_bytes;
    bool any_order; /* of keys in tables */
    u8 *seen;       /* a bit for each page */
    char *what;
    usize what_bytes;
};

static enum err damage(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum err damage(struct check *check, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(check->what, check->what_bytes, format, args);
    va_end(args);
    return ERR_CORRUPT;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err read_at(int fd, void *into, usize bytes, u64 at) {
    char *to = into;
    while (bytes > 0) {
        ssize_t got = pread(fd, to, bytes, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? ERR_IO : ERR_NOT_FOUND;
        }
        to += got;
        at += (u64)got;
        bytes -= (usize)got;
    }
    return ERR_OK;
}

static enum err read_page(struct check *check, u64 number, void *into, usize bytes) {
    enum err err = read_at(check->fd, into, bytes, number * check->page_bytes);
    return err == ERR_NOT_FOUND ? damage(check, "page %llu is behind the end of the file",
                                         (unsigned long long)number)
                                : err;
}

/* Pages [first, first + count) have one user. */
static enum err take_pages(struct check *check, u64 first, u64 count) {
    if (first < FIRST_PAGE || first > check->last_page || count > check->last_page - first + 1) {
        return damage(check, "page %llu, %llu of them: behind the last page %llu",
                      (unsigned long long)first, (unsigned long long)count,
                      (unsigned long long)check->last_page);
    }
    for (u64 page = first; page < first + count; page++) {
        u8 bit = (u8)(1u << (page % 8));
        if ((check->seen[page / 8] & bit) != 0) {
            return damage(check, "page %llu is used twice", (unsigned long long)page);
        }
        check->seen[page / 8] |= bit;
    }
    return ERR_OK;
}

/* --- heads ------------------------------------------------------------------------------------ */

static enum err read_meta(int fd, u64 at, struct page_head *head, struct meta *meta) {
    enum err err = read_at(fd, head, sizeof *head, at);
    return err == ERR_OK ? read_at(fd, meta, sizeof *meta, at + sizeof *head) : err;
}

static bool is_head(const struct page_head *head, const struct meta *meta) {
    return (head->flags & PAGE_META) != 0 && meta->magic == FILE_MAGIC &&
           meta->version == FILE_VERSION;
}

/* Each transaction writes the head that its number's last bit names, so the two follow each other.
 * A new file has two heads of transaction 0. */
static bool heads_follow(const struct meta *even, const struct meta *odd) {
    if (even->txn == 0 && odd->txn == 0) {
        return true;
    }
    return even->txn % 2 == 0 && odd->txn % 2 == 1 &&
           (even->txn + 1 == odd->txn || odd->txn + 1 == even->txn);
}

static bool page_bytes_hold(u32 bytes) {
    return bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

/* Both heads, as they are at one moment. */
static enum err read_heads(struct check *check, struct meta meta[2]) {
    struct page_head head[2];
    for (u32 tries = 0; tries < HEAD_TRIES; tries++) {
        enum err err = read_meta(check->fd, 0, &head[0], &meta[0]);
        u32 bytes = meta[0].free.pad;
        if (err != ERR_OK || !is_head(&head[0], &meta[0]) || !page_bytes_hold(bytes)) {
            return err == ERR_IO ? err : damage(check, "page 0 is no head of a database");
        }
        check->page_bytes = bytes;
        err = read_meta(check->fd, bytes, &head[1], &meta[1]);
        if (err != ERR_OK || !is_head(&head[1], &meta[1]) || meta[1].free.pad != bytes) {
            return err == ERR_IO ? err : damage(check, "page 1 is no head of a database");
        }
        if (heads_follow(&meta[0], &meta[1])) {
            return ERR_OK;
        }
    }
    return damage(check, "the heads do not follow each other: transactions %llu and %llu",
                  (unsigned long long)meta[0].txn, (unsigned long long)meta[1].txn);
}

enum err pages_check_heads(int fd, char *what, usize what_bytes) {
    struct check check = {.fd = fd, .what = what, .what_bytes = what_bytes};
    struct meta meta[2];
    return read_heads(&check, meta);
}

/* --- nodes ------------------------------------------------------------------------------------ */

struct page {
    u64 number;
    u32 count; /* of nodes */
    bool branch;
    u8 *data; /* the whole page */
};

static struct node node_at(const struct page *page, u32 index, usize *offset) {
    u16 at;
    struct node node;
    memcpy(&at, page->data + sizeof(struct page_head) + 2 * index, sizeof at);
    memcpy(&node, page->data + at, sizeof node);
    *offset = at;
    return node;
}

static struct slice key_at(const struct page *page, u32 index) {
    usize offset;
    struct node node = node_at(page, index, &offset);
    return (struct slice){(const char *)page->data + offset + sizeof node, node.key_bytes};
}

static usize data_bytes(struct node node) {
    return (usize)node.high << 16 | node.low;
}

static u64 child_of(struct node node) {
    return (u64)node.flags << 32 | (u64)node.high << 16 | node.low;
}

static usize node_bytes(const struct page *page, struct node node) {
    usize bytes = sizeof node + node.key_bytes;
    if (!page->branch) {
        bytes += (node.flags & NODE_BIG) != 0 ? sizeof(u64) : data_bytes(node);
    }
    return bytes + (bytes & 1);
}

/* The nodes fill the page from `upper` on, without a gap and without sharing a byte. */
static enum err check_places(struct check *check, const struct page *page, u16 upper) {
    u8 used[PAGE_BYTES_MAX / 16] = {0}; /* a bit for two bytes */
    usize sum = 0;
    for (u32 i = 0; i < page->count; i++) {
        u16 at;
        memcpy(&at, page->data + sizeof(struct page_head) + 2 * i, sizeof at);
        bool inside = at >= upper && at % 2 == 0 && at + sizeof(struct node) <= check->page_bytes;
        usize offset;
        struct node node = inside ? node_at(page, i, &offset) : (struct node){0};
        usize bytes = node_bytes(page, node);
        if (!inside || bytes > check->page_bytes - at) {
            return damage(check, "page %llu: node %u is not within it",
                          (unsigned long long)page->number, i);
        }
        for (usize two = at / 2u; two < (at + bytes) / 2; two++) {
            u8 bit = (u8)(1u << (two % 8));
            if ((used[two / 8] & bit) != 0) {
                return damage(check, "page %llu: node %u lies over another one",
                              (unsigned long long)page->number, i);
            }
            used[two / 8] |= bit;
        }
        sum += bytes;
    }
    return sum == check->page_bytes - upper ? ERR_OK
                                            : damage(check, "page %llu: its nodes do not fill it",
                                                     (unsigned long long)page->number);
}

static int compare(enum kind kind, struct slice a, struct slice b) {
    if (kind == TREE_FREE) {
        u64 number[2];
        memcpy(&number[0], a.data, sizeof number[0]);
        memcpy(&number[1], b.data, sizeof number[1]);
        return (number[0] > number[1]) - (number[0] < number[1]);
    }
    int order = memcmp(a.data, b.data, MIN(a.bytes, b.bytes));
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* Keys ascend and are within what the branches above say. A branch's first key is not looked at. */
static enum err check_keys(struct check *check, const struct page *page, enum kind kind,
                           const struct bounds *bounds) {
    struct slice before = bounds->from;
    bool equal = true; /* a page may begin with its bound */
    bool ordered = kind != TREE_TABLE || !check->any_order;
    for (u32 i = page->branch ? 1 : 0; i < page->count; i++) {
        struct slice key = key_at(page, i);
        bool good = key.bytes > 0 && key.bytes <= KEY_BYTES_MAX &&
                    (kind != TREE_FREE || key.bytes == sizeof(u64));
        if (good && ordered && before.data != NULL) {
            int order = compare(kind, before, key);
            good = order < 0 || (order == 0 && equal);
        }
        if (!good || (ordered && bounds->to.data != NULL && compare(kind, key, bounds->to) >= 0)) {
            return damage(check, "page %llu: key %u is out of order",
                          (unsigned long long)page->number, i);
        }
        before = key;
        equal = false;
    }
    return ERR_OK;
}

/* --- trees ------------------------------------------------------------------------------------ */

static enum err check_tree(struct check *check, enum kind kind, const struct tree *tree);

/* The pages of a value that lies apart. Those that a cut file lacks, and zeros that stand for them
 * since, are found by the value's checksum, and LMDB gives none of them free. */
static enum err check_overflow(struct check *check, u64 number, usize bytes) {
    struct page_head head;
    u64 need = (sizeof head + bytes - 1) / check->page_bytes + 1;
    if (number >= check->file_pages) {
        check->missing += need;
        return take_pages(check, number, need);
    }
    enum err err = read_page(check, number, &head, sizeof head);
    u64 count = (u64)head.upper << 16 | head.lower;
    if (err != ERR_OK) {
        return err;
    }
    if (head.number == 0 && head.flags == 0 && count == 0) {
        return take_pages(check, number, need);
    }
    if (head.number != number || head.flags != PAGE_OVERFLOW || count < need) {
        return damage(check, "page %llu is not the first of a value's", (unsigned long long)number);
    }
    check->missing += number + need > check->file_pages ? number + need - check->file_pages : 0;
    return take_pages(check, number, count);
}

/* A list of free pages: how many, and their numbers, descending. */
static enum err check_free(struct check *check, const u8 *list, usize bytes) {
    u64 count;
    memcpy(&count, list, sizeof count);
    if (count > (bytes - sizeof count) / sizeof count) {
        return damage(check, "a list of free pages is longer than it can be");
    }
    for (u64 i = 0; i < count; i++) {
        u64 number;
        memcpy(&number, list + (i + 1) * sizeof number, sizeof number);
        enum err err = take_pages(check, number, 1);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

static enum err check_free_apart(struct check *check, u64 number, usize bytes) {
    u8 *list = malloc(bytes);
    enum err err = list == NULL ? ERR_NO_MEMORY
                                : read_at(check->fd, list, bytes,
                                          number * check->page_bytes + sizeof(struct page_head));
    if (err == ERR_NOT_FOUND) {
        err = damage(check, "a list of free pages is behind the end of the file");
    }
    if (err == ERR_OK) {
        err = check_free(check, list, bytes);
    }
    free(list);
    return err;
}

static enum err check_leaf_node(struct check *check, const struct page *page, u32 index,
                                enum kind kind) {
    usize offset;
    struct node node = node_at(page, index, &offset);
    const u8 *data = page->data + offset + sizeof node + node.key_bytes;
    usize bytes = data_bytes(node);
    bool table = kind == TREE_MAIN;
    bool apart = node.flags == NODE_BIG && !table;
    if (!apart && node.flags != (table ? NODE_TREE : 0)) {
        return damage(check, "page %llu: node %u is of no kind there is",
                      (unsigned long long)page->number, index);
    }
    if (kind == TREE_FREE && (bytes < sizeof(u64) || bytes % sizeof(u64) != 0)) {
        return damage(check, "a list of free pages has a length that it cannot have");
    }
    if (table) {
        struct tree tree;
        memcpy(&tree, data, sizeof tree);
        return bytes == sizeof tree ? check_tree(check, TREE_TABLE, &tree)
                                    : damage(check, "page %llu: node %u is no table",
                                             (unsigned long long)page->number, index);
    }
    if (apart) {
        u64 number;
        memcpy(&number, data, sizeof number);
        enum err err = check_overflow(check, number, bytes);
        return err == ERR_OK && kind == TREE_FREE ? check_free_apart(check, number, bytes) : err;
    }
    return kind == TREE_FREE ? check_free(check, data, bytes) : ERR_OK;
}

static enum err read_tree_page(struct check *check, u64 number, struct page *page) {
    struct page_head head;
    enum err err = take_pages(check, number, 1);
    if (err == ERR_OK) {
        err = read_page(check, number, page->data, check->page_bytes);
    }
    if (err != ERR_OK) {
        return err;
    }
    memcpy(&head, page->data, sizeof head);
    page->number = number;
    page->branch = head.flags == PAGE_BRANCH;
    page->count = (head.lower - (u32)sizeof head) / 2;
    bool good = head.number == number && (page->branch || head.flags == PAGE_LEAF) &&
                head.lower >= sizeof head && head.lower <= head.upper &&
                head.upper <= check->page_bytes && head.lower % 2 == 0 &&
                page->count >= (page->branch ? 2 : 1);
    return good ? check_places(check, page, head.upper)
                : damage(check, "page %llu is no page of a tree", (unsigned long long)number);
}

static enum err check_page(struct check *check, enum kind kind, u64 number, u32 levels,
                           const struct bounds *bounds) {
    struct page page = {.data = malloc(check->page_bytes)};
    enum err err = page.data == NULL ? ERR_NO_MEMORY : read_tree_page(check, number, &page);
    if (err == ERR_OK && page.branch != (levels > 1)) {
        err = damage(check, "page %llu is at the wrong depth", (unsigned long long)number);
    }
    if (err == ERR_OK) {
        err = check_keys(check, &page, kind, bounds);
    }
    for (u32 i = 0; i < page.count && err == ERR_OK; i++) {
        if (!page.branch) {
            err = check_leaf_node(check, &page, i, kind);
            continue;
        }
        usize offset;
        const struct bounds below = {i > 0 ? key_at(&page, i) : bounds->from,
                                     i + 1 < page.count ? key_at(&page, i + 1) : bounds->to};
        err = check_page(check, kind, child_of(node_at(&page, i, &offset)), levels - 1, &below);
    }
    free(page.data);
    return err;
}

static enum err check_tree(struct check *check, enum kind kind, const struct tree *tree) {
    u16 wanted = kind == TREE_FREE ? TREE_INTEGER_KEYS : 0;
    u16 ignored = kind == TREE_FREE ? FILE_NO_FOLDER : 0;
    const struct bounds bounds = {{NULL, 0}, {NULL, 0}};
    if ((tree->flags & ~ignored) != wanted || tree->depth > DEPTH_MAX ||
        (tree->root == NO_PAGE) != (tree->depth == 0)) {
        return damage(check, "a tree's description does not hold");
    }
    return tree->depth > 0 ? check_page(check, kind, tree->root, tree->depth, &bounds) : ERR_OK;
}

enum err pages_check(int fd, u64 txn, bool any_order, u64 *missing, char *what, usize what_bytes) {
    struct check check = {.fd = fd, .any_order = any_order, .what = what, .what_bytes = what_bytes};
    struct meta meta[2];
    enum err err = read_heads(&check, meta);
    if (err != ERR_OK) {
        return err;
    }
    const struct meta *newest = &meta[txn % 2];
    if (newest->txn != txn) {
        return newest->txn > txn
                   ? ERR_BUSY
                   : damage(&check, "transaction %llu has no head", (unsigned long long)txn);
    }
    off_t end = lseek(fd, 0, SEEK_END);
    check.file_pages = end < 0 ? 0 : (u64)end / check.page_bytes;
    check.last_page = newest->last_page;
    if (end < 0 || check.last_page >= (u64)INT64_MAX / PAGE_BYTES_MAX) {
        return end < 0 ? ERR_IO : damage(&check, "its last page cannot be");
    }
    check.seen = calloc(check.last_page / 8 + 1, 1);
    if (check.seen == NULL && check.last_page > check.file_pages) {
        return damage(&check, "its last page is far behind its end");
    }
    err = check.seen == NULL ? ERR_NO_MEMORY : check_tree(&check, TREE_MAIN, &newest->main);
    if (err == ERR_OK) {
        err = check_tree(&check, TREE_FREE, &newest->free);
    }
    free(check.seen);
    *missing = check.missing;
    return err;
}
