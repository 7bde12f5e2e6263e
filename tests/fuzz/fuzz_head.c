/*
 * fuzz_head.c: any bytes as a request head. It must give the same answer whole, byte by byte and in
 * halves; what it says of a good head must lie within it and agree with itself; and what follows
 * the head must not matter.
 */
#include "http/head.h"

#include <stdlib.h>
#include <string.h>

static enum http_head_answer parse(struct http_head *head, const char *data, usize bytes,
                                   usize step, usize *consumed) {
    http_head_init(head);
    enum http_head_answer answer = HEAD_INCOMPLETE;
    for (usize end = 0; end < bytes && answer == HEAD_INCOMPLETE;) {
        end = MIN(bytes, end + step);
        char *exact = malloc(end); /* so that a read past what has come is seen */
        check(exact != NULL);
        memcpy(exact, data, end);
        answer = http_head_parse(head, exact, end, consumed);
        free(exact);
    }
    return answer;
}

static void check_range(struct http_range range, usize consumed) {
    check((usize)range.at + range.bytes <= consumed);
}

static void check_good(const struct http_head *head, const char *data, usize consumed) {
    check(consumed >= 16 && memcmp(data + consumed - 4, "\r\n\r\n", 4) == 0);
    check(memmem(data, consumed - 4, "\r\n\r\n", 4) == NULL);
    check(memchr(data, 0, consumed) == NULL && memchr(data, 0x7f, consumed) == NULL);
    check(head->field_count <= HTTP_HEADERS_MAX && consumed <= HTTP_HEAD_BYTES_MAX);
    check(!(head->has_length && head->is_chunked) && head->minor_version <= 1);
    check(!head->is_chunked || head->minor_version == 1);
    check(head->has_length || head->content_bytes == 0);
    check_range(head->path, consumed);
    check_range(head->query, consumed);
    check_range(head->authority, consumed);
    check(head->path.bytes > 0 && head->path.bytes <= HTTP_TARGET_BYTES_MAX);
    u32 hosts = 0;
    for (u32 i = 0; i < head->field_count; i++) {
        struct slice name = http_range_of(data, head->field[i].name);
        struct slice value = http_range_of(data, head->field[i].value);
        check_range(head->field[i].name, consumed);
        check_range(head->field[i].value, consumed);
        check(name.bytes > 0 && name.data[name.bytes] == ':');
        check(memchr(value.data, '\n', value.bytes) == NULL);
        check(value.bytes == 0 || (value.data[0] > ' ' || (u8)value.data[0] >= 0x80) ||
              value.data[0] == '\t');
        hosts += http_text_is(name, "host");
    }
    check(hosts == 1 || (hosts == 0 && head->minor_version == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct http_head whole;
    static struct http_head other;
    const char *text = (const char *)data;
    usize consumed = 0;
    usize slow = 0;
    if (size == 0 || size > 2 * HTTP_HEAD_BYTES_MAX) {
        return 0;
    }
    enum http_head_answer answer = parse(&whole, text, size, size, &consumed);
    if (answer == HEAD_CONSUMED) {
        check_good(&whole, text, consumed);
        check(parse(&other, text, consumed, consumed, &slow) == HEAD_CONSUMED && slow == consumed);
    }
    const usize steps[] = {size < 1024 ? 1 : 61, size / 2 + 1};
    for (usize i = 0; i < ARRAY_COUNT(steps); i++) {
        check(parse(&other, text, size, steps[i], &slow) == answer);
        check(answer != HEAD_MALFORMED ||
              (other.status == whole.status && strcmp(other.error, whole.error) == 0));
        check(answer != HEAD_CONSUMED ||
              (slow == consumed && other.field_count == whole.field_count &&
               other.content_bytes == whole.content_bytes && other.coding == whole.coding &&
               other.keep_alive == whole.keep_alive &&
               memcmp(other.field, whole.field, whole.field_count * sizeof *whole.field) == 0));
    }
    return 0;
}
