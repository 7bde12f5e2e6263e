/*
 * schemas.h: the shared parts of the documentation: JSON Schemas of bodies and descriptions of
 * parameters, read from the files of engine/api/schema/ that the program carries.
 */
#ifndef MARGIN_API_SCHEMAS_H
#define MARGIN_API_SCHEMAS_H

#include "base.h"
#include "limits.h"

struct schema {
    struct slice name;
    struct slice json; /* as it stands in the file */
};

struct schemas {
    struct schema schema[SCHEMAS_MAX];
    u32 count;
    struct schema parameter[PARAMETERS_MAX];
    u32 parameter_count;
    char *text; /* what the slices point into; owned */
};

/* ERR_CORRUPT: a file is not an object of objects. ERR_LIMIT, ERR_NO_MEMORY. Free it in any case.
 */
enum err schemas_read(struct schemas *schemas);
void schemas_free(struct schemas *schemas);

/* NULL: there is none of that name. */
const struct schema *schemas_find(const struct schemas *schemas, struct slice name);
const struct schema *schemas_find_parameter(const struct schemas *schemas, struct slice name);

/* Takes the next name off a list such as "limit offset"; false at the end. */
bool schemas_next_name(struct slice *names, struct slice *name);
/* The text of a member of a parameter's description, such as "name"; empty if it has none. */
struct slice schemas_member(const struct schema *schema, const char *member);

#endif
