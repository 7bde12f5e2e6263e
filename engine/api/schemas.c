/* schemas.c: see schemas.h. The files are copied, since a reader may unescape in place. */
#include "api/schemas.h"

#include <stdlib.h>
#include <string.h>

#include "base/embedded.h"
#include "json/reader.h"

static const char folder[] = "schema/";
static const char parameters[] = "schema/parameters.json";

static bool is_schema_file(const struct embedded_file *file) {
    usize bytes = strlen(file->name);
    return strncmp(file->name, folder, sizeof folder - 1) == 0 && bytes > 5 &&
           strcmp(file->name + bytes - 5, ".json") == 0;
}

/* Adds the members of one file. */
static enum err read_file(char *text, usize bytes, struct schema *out, u32 *count, u32 max) {
    struct json_reader reader = json_reader(text, bytes);
    struct slice name;
    struct slice json;
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (*count == max) {
                return ERR_LIMIT;
            }
            if (json_read_kind(&reader) != JSON_OBJECT || !json_read_raw(&reader, &json)) {
                return ERR_CORRUPT;
            }
            out[(*count)++] = (struct schema){name, json};
        }
    }
    return json_read_finish(&reader) ? ERR_OK : ERR_CORRUPT;
}

enum err schemas_read(struct schemas *schemas) {
    usize bytes = 0;
    for (u32 i = 0; i < embedded_file_count; i++) {
        bytes += is_schema_file(&embedded_files[i]) ? embedded_files[i].bytes : 0;
    }
    *schemas = (struct schemas){.text = malloc(MAX(bytes, (usize)1))};
    if (schemas->text == NULL) {
        return ERR_NO_MEMORY;
    }
    char *at = schemas->text;
    enum err err = ERR_OK;
    for (u32 i = 0; i < embedded_file_count && err == ERR_OK; i++) {
        const struct embedded_file *file = &embedded_files[i];
        if (!is_schema_file(file)) {
            continue;
        }
        memcpy(at, file->data, file->bytes);
        if (strcmp(file->name, parameters) == 0) {
            err = read_file(at, file->bytes, schemas->parameter, &schemas->parameter_count,
                            PARAMETERS_MAX);
        } else {
            err = read_file(at, file->bytes, schemas->schema, &schemas->count, SCHEMAS_MAX);
        }
        at += file->bytes;
    }
    return err;
}

void schemas_free(struct schemas *schemas) {
    free(schemas->text);
    *schemas = (struct schemas){0};
}

static const struct schema *find(const struct schema *in, u32 count, struct slice name) {
    for (u32 i = 0; i < count; i++) {
        if (in[i].name.bytes == name.bytes && memcmp(in[i].name.data, name.data, name.bytes) == 0) {
            return &in[i];
        }
    }
    return NULL;
}

const struct schema *schemas_find(const struct schemas *schemas, struct slice name) {
    return find(schemas->schema, schemas->count, name);
}

const struct schema *schemas_find_parameter(const struct schemas *schemas, struct slice name) {
    return find(schemas->parameter, schemas->parameter_count, name);
}

bool schemas_next_name(struct slice *names, struct slice *name) {
    if (names->bytes == 0) {
        return false;
    }
    const char *blank = memchr(names->data, ' ', names->bytes);
    usize bytes = blank == NULL ? names->bytes : (usize)(blank - names->data);
    usize taken = blank == NULL ? bytes : bytes + 1;
    *name = (struct slice){names->data, bytes};
    *names = (struct slice){names->data + taken, names->bytes - taken};
    return true;
}

struct slice schemas_member(const struct schema *schema, const char *member) {
    /* Without escapes in the names and the text read, nothing is written to. */
    struct json_reader reader =
        json_reader((char *)(uintptr_t)schema->json.data, schema->json.bytes);
    struct slice found = {NULL, 0};
    struct slice name;
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (slice_is(name, member)) {
                json_read_string(&reader, &found);
                break;
            }
            json_read_skip(&reader);
        }
    }
    return found;
}
