/*
 * json_model.c: our reader of JSON and our decoding of events against another reader, jansson (for
 * tests only). Generated documents, half of them damaged: both must give the same verdict, and the
 * same values where it is good. Where the two differ by design (is_open) neither is asked.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/decoder.h"
#include "tests/support/json_cases.h"
#include "tests/support/json_peer.h"
#include "json/reader.h"

#define DOCUMENTS 60000
#define BODIES 4000
#define TEXT_MAX (256 * KIB)
#define SLACK (16 * KIB)
#define NOW_MS ((i64)1777700000000)

static u64 random_state;

static u64 random_next(void) {
    random_state += 0x9e3779b97f4a7c15u;
    u64 z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static u32 pick(u32 bound) {
    return (u32)(random_next() % bound);
}

static u64 seed;
static void fail(const char *why, struct slice text) {
    fprintf(stderr, "json_model: %s (seed %" PRIu64 "): %.*s\n", why, seed, (int)text.bytes,
            text.data);
    _Exit(1);
}

/* --- documents -------------------------------------------------------------------------------- */

static char document[TEXT_MAX];
static usize document_bytes;

static void put_bytes(const char *data, usize bytes) {
    check(document_bytes + bytes <= sizeof document);
    memcpy(document + document_bytes, data, bytes);
    document_bytes += bytes;
}

static void put(const char *text) {
    put_bytes(text, strlen(text));
}

static void put_space(void) {
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t", "\r\n", "  "};
    put(spaces[pick((u32)ARRAY_COUNT(spaces))]);
}

static void put_string(void) {
    static const char *const parts[] = {
        "a",
        "Bc",
        "0",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u0041",
        "\\u00e9",
        "\\u20AC",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\\ud83d\\ude00",
        "\\t",
        " ",
        "{",
        "]",
        ",",
        ":",
        "a longer piece of text, so that vectors have something to do with it",
        "\x7f"};
    put("\"");
    for (u32 i = pick(6); i > 0; i--) {
        put(parts[pick((u32)ARRAY_COUNT(parts))]);
    }
    put("\"");
}

static void put_number(void) {
    char text[64];
    switch (pick(6)) {
    case 0:
        snprintf(text, sizeof text, "%u", pick(10));
        break;
    case 1:
        snprintf(text, sizeof text, "-%u", pick(UINT32_MAX));
        break;
    case 2:
        snprintf(text, sizeof text, "%" PRId64, (i64)random_next());
        break;
    case 3:
        snprintf(text, sizeof text, "%u.%0*u", pick(100000), (int)pick(9) + 1, pick(10));
        break;
    case 4:
        snprintf(text, sizeof text, "%u.%ue%d", pick(10), pick(1000), (int)pick(20) - 10);
        break;
    default:
        snprintf(text, sizeof text, "-%uE%s%u", pick(100), pick(2) == 0 ? "+" : "", pick(12));
    }
    put(text);
}

static void put_value(u32 room) {
    static const char *const words[] = {"null", "true", "false"};
    u32 kind = room == 0 ? pick(3) : pick(5);
    if (kind == 0) {
        put_number();
    } else if (kind == 1) {
        put_string();
    } else if (kind == 2) {
        put(words[pick(3)]);
    } else {
        u32 count = pick(5);
        put(kind == 3 ? "[" : "{");
        put_space();
        for (u32 i = 0; i < count; i++) {
            char name[32];
            put(i > 0 ? "," : "");
            put_space();
            if (kind == 4) { /* names differ, for jansson keeps one of a name */
                snprintf(name, sizeof name, pick(9) == 0 ? "\"\\u006b%u\"" : "\"k%u\"", i);
                put(name);
                put_space();
                put(":");
                put_space();
            }
            put_value(room - 1);
            put_space();
        }
        put(kind == 3 ? "]" : "}");
    }
}

/* One or two small accidents. */
static void damage(void) {
    static const char bytes[] = "\"\\{}[],:01eE+-.ntu \n\x01\x80\xc3\xff/a'";
    for (u32 i = 1 + pick(2); i > 0 && document_bytes > 0; i--) {
        u32 at = pick((u32)document_bytes);
        switch (pick(4)) {
        case 0:
            document[at] = bytes[pick((u32)sizeof bytes - 1)];
            break;
        case 1:
            memmove(document + at, document + at + 1, document_bytes - at - 1);
            document_bytes--;
            break;
        case 2:
            check(document_bytes < sizeof document);
            memmove(document + at + 1, document + at, document_bytes - at);
            document[at] = bytes[pick((u32)sizeof bytes - 1)];
            document_bytes++;
            break;
        default:
            document_bytes = at;
        }
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

struct tally {
    u32 good;
    u32 bad;
    u32 open;
};

static void compare_value(struct json_reader *reader, const void *other, struct slice text);

static void must_be(const void *other, enum peer_kind kind, struct slice text) {
    if (json_peer_kind(other) != kind) {
        fail("another kind", text);
    }
}

static void compare_number(struct slice number, const void *other, struct slice text) {
    i64 value;
    if (json_peer_kind(other) == PEER_WHOLE) {
        if (number_scale(number, 0, NUMBER_EXACT, &value) != ERR_OK ||
            value != json_peer_whole(other)) {
            fail("another whole number", text);
        }
        return;
    }
    must_be(other, PEER_REAL, text);
    double real = json_peer_real(other);
    enum err err = number_scale(number, 6, NUMBER_HALF_UP, &value);
    bool same = err == ERR_OK ? fabs((double)value / 1e6 - real) <= 6e-7 + fabs(real) * 1e-14
                              : err == ERR_LIMIT && fabs(real) > 9.2e12;
    if (!same) {
        fail("another number", text);
    }
}

static void compare_object(struct json_reader *reader, const void *other, struct slice text) {
    struct slice name;
    usize count = 0;
    must_be(other, PEER_OBJECT, text);
    json_read_object(reader);
    while (json_read_member(reader, &name)) {
        compare_value(reader, json_peer_member(other, name), text);
        count++;
    }
    if (count != json_peer_count(other)) {
        fail("fewer members", text);
    }
}

static void compare_array(struct json_reader *reader, const void *other, struct slice text) {
    usize count = 0;
    must_be(other, PEER_ARRAY, text);
    json_read_array(reader);
    while (json_read_element(reader)) {
        compare_value(reader, json_peer_element(other, count++), text);
    }
    if (count != json_peer_count(other)) {
        fail("fewer elements", text);
    }
}

static bool same_text(struct slice a, struct slice b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static void compare_value(struct json_reader *reader, const void *other, struct slice text) {
    struct slice value;
    bool truth;
    switch (json_read_kind(reader)) {
    case JSON_OBJECT:
        compare_object(reader, other, text);
        break;
    case JSON_ARRAY:
        compare_array(reader, other, text);
        break;
    case JSON_STRING:
        must_be(other, PEER_TEXT, text);
        if (!json_read_string(reader, &value) || !same_text(value, json_peer_text(other))) {
            fail("another string", text);
        }
        break;
    case JSON_NUMBER:
        if (!json_read_raw(reader, &value)) {
            fail("no number", text);
        }
        compare_number(value, other, text);
        break;
    case JSON_NULL:
        must_be(other, PEER_NULL, text);
        if (!json_read_null(reader)) {
            fail("not null", text);
        }
        break;
    default:
        must_be(other, PEER_TRUTH, text);
        if (!json_read_bool(reader, &truth) || truth != json_peer_truth(other)) {
            fail("another truth", text);
        }
    }
}

/* Whether the two differ by design: our depth; NUL, which we leave out of strings and jansson
 * passes over outside of them. Brackets in strings are counted, too: no matter. */
static bool is_open(struct slice text) {
    u32 opened = 0;
    for (usize i = 0; i < text.bytes; i++) {
        opened += text.data[i] == '[' || text.data[i] == '{';
    }
    return opened > JSON_DEPTH_MAX ||
           (text.bytes > 0 && memchr(text.data, 0, text.bytes) != NULL) ||
           memmem(text.data, text.bytes, "\\u0000", 6) != NULL;
}

static void compare_text(struct slice text, enum json_verdict given, void *context) {
    struct tally *tally = context;
    enum peer_verdict verdict;
    void *other = json_peer_load(text, &verdict);
    if (verdict == PEER_UNABLE || given == JSON_OPEN || is_open(text)) {
        json_peer_free(other);
        tally->open++;
        return;
    }
    char *copy = malloc(MAX(text.bytes, (usize)1));
    check(copy != NULL);
    memcpy(copy, text.data, text.bytes);
    struct json_reader reader = json_reader(copy, text.bytes);
    json_read_skip(&reader);
    bool good = json_read_finish(&reader);
    if (good != (verdict == PEER_GOOD)) {
        fail(good ? "jansson refuses it" : "jansson takes it", text);
    }
    if (good) {
        reader = json_reader(copy, text.bytes);
        compare_value(&reader, other, text);
        tally->good++;
    }
    tally->bad += !good;
    json_peer_free(other);
    free(copy);
}

static struct tally compare_documents(void) {
    struct tally tally = {0};
    for (u32 i = 0; i < DOCUMENTS; i++) {
        document_bytes = 0;
        put_space();
        put_value(pick(5));
        put_space();
        if (pick(2) == 0) {
            damage();
        }
        compare_text((struct slice){document, document_bytes}, JSON_GOOD, &tally);
    }
    return tally;
}

/* --- events ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    u32 column;
    bool number;
} members[] = {
    {"eventName", TEXT_EVENT_NAME, false},
    {"customerReferenceId", TEXT_CUSTOMER, false},
    {"featureKey", TEXT_FEATURE, false},
    {"model", TEXT_MODEL, false},
    {"idempotencyKey", TEXT_KEY, false},
    {"traceId", TEXT_TRACE, false},
    {"spanId", TEXT_SPAN, false},
    {"agentId", TEXT_AGENT, false},
    {"inputTokens", NUM_INPUT, true},
    {"outputTokens", NUM_OUTPUT, true},
    {"reasoningTokens", NUM_REASONING, true},
    {"durationMs", NUM_DURATION, true},
};

static void put_event(void) {
    u32 order = pick((u32)ARRAY_COUNT(members));
    bool any = false;
    put("{");
    for (u32 i = 0; i < ARRAY_COUNT(members); i++) {
        u32 at = (i + order) % (u32)ARRAY_COUNT(members);
        if (at > 2 && pick(3) == 0) {
            continue;
        }
        put(any ? "," : "");
        put_space();
        any = true;
        put("\"");
        put(members[at].name);
        put("\"");
        put_space();
        put(":");
        put_space();
        if (pick(60) == 0) {
            put_value(1);
        } else if (members[at].number) {
            char text[32];
            snprintf(text, sizeof text, "%u", pick(1000000));
            put(text);
        } else {
            put_string();
        }
    }
    put(pick(2) == 0 ? ",\"other\":" : ",\"\":");
    put_value(2);
    put("}");
}

static void put_body(void) {
    document_bytes = 0;
    put("{\"events\":[");
    for (u32 i = 0, count = 1 + pick(5); i < count; i++) {
        put(i > 0 ? "," : "");
        put_event();
        put_space();
    }
    put("]}");
}

/* What jansson says the member is must be what the row has. */
static void compare_event(const struct event_batch *batch, u32 row, const void *event,
                          struct slice text) {
    for (u32 i = 0; i < ARRAY_COUNT(members); i++) {
        struct slice name = {members[i].name, strlen(members[i].name)};
        const void *member = json_peer_member(event, name);
        enum peer_kind kind = json_peer_kind(member);
        bool given = kind != PEER_NONE && kind != PEER_NULL;
        bool same;
        if (members[i].number) {
            enum event_number column = (enum event_number)members[i].column;
            double slack = column == NUM_DURATION ? 0.5 : 0; /* it is rounded */
            same = given == event_has_number(batch, row, column) &&
                   (!given ||
                    fabs((double)batch->number[column][row] - json_peer_real(member)) <= slack);
        } else {
            struct slice other = given ? json_peer_text(member) : (struct slice){NULL, 0};
            same = same_text(event_text_of(batch, row, (enum event_text)members[i].column), other);
        }
        if (!same) {
            fail(members[i].name, text);
        }
    }
}

static void compare_events(const struct event_batch *batch, const struct decode_result *result,
                           const void *events, struct slice text) {
    if (result->sent != json_peer_count(events)) {
        fail("another number of events", text);
    }
    u32 row = result->first;
    u32 reject = 0;
    for (u32 i = 0; i < result->sent; i++) {
        if (reject < result->reject_count && result->rejects[reject].index == i) {
            reject++;
        } else {
            compare_event(batch, row++, json_peer_element(events, i), text);
        }
    }
    check(row == result->first + result->count && reject == result->reject_count);
}

/* Half of a pair makes an event bad, and not the body; to jansson it is no JSON. */
static bool has_half_a_pair(struct slice text) {
    struct json_cursor cursor = json_cursor(text.data, text.bytes, &scan_scalar);
    struct json_value value;
    return json_step_value(&cursor, JSON_DEPTH_MAX, &value) && cursor.lone_surrogate;
}

static struct tally compare_bodies(void) {
    static struct decode_result result;
    struct tally tally = {0};
    struct decoder *decoder;
    struct event_batch *batch = calloc(1, sizeof *batch);
    char *copy = malloc(TEXT_MAX + SLACK);
    check(batch != NULL && copy != NULL && decoder_create(1, &decoder) == ERR_OK);
    buf_init(&result.messages, MIB);
    for (u32 i = 0; i < BODIES; i++) {
        put_body();
        if (pick(4) == 0) {
            damage();
        }
        struct slice text = {document, document_bytes};
        memcpy(copy, document, document_bytes);
        memset(copy + document_bytes, 0, SLACK);
        batch->text = copy;
        batch->text_bytes = (u32)document_bytes;
        batch->text_bytes_max = (u32)(document_bytes + SLACK - EVENT_TEXT_PADDING);
        batch->count = 0;
        struct decode_error refusal;
        enum err err = decode_ingest(decoder, batch, (struct text_ref){0, (u32)document_bytes},
                                     NOW_MS, &result, &refusal);
        enum peer_verdict verdict;
        void *other = json_peer_load(text, &verdict);
        const void *events = json_peer_kind(other) == PEER_OBJECT
                                 ? json_peer_member(other, (struct slice){"events", 6})
                                 : NULL;
        if (verdict == PEER_UNABLE || is_open(text) || has_half_a_pair(text)) {
            tally.open++;
        } else if ((err == ERR_OK) != (json_peer_kind(events) == PEER_ARRAY)) {
            fail(err == ERR_OK ? "jansson refuses the body" : refusal.text, text);
        } else if (err == ERR_OK) {
            compare_events(batch, &result, events, text);
            tally.good += result.count;
            tally.bad += result.reject_count;
        }
        json_peer_free(other);
    }
    buf_free(&result.messages);
    decoder_destroy(decoder);
    free(batch);
    free(copy);
    return tally;
}

int main(int argc, char **argv) {
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    random_state = seed;
    struct tally cases = {0};
    json_cases_each(compare_text, &cases);
    struct tally documents = compare_documents();
    struct tally events = compare_bodies();
    check(cases.good > 300 && documents.good > 1000 && documents.bad > 1000 && events.good > 1000);
    printf("json_model: cases %u good, %u bad, %u open; documents %u, %u, %u; events %u, %u, %u\n",
           cases.good, cases.bad, cases.open, documents.good, documents.bad, documents.open,
           events.good, events.bad, events.open);
    return 0;
}
