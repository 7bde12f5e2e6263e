/*
 * embedded.h: files compiled into the program by tools/embed: model prices, schemas. The binary so
 * needs no files beside it.
 */
#ifndef MARGIN_BASE_EMBEDDED_H
#define MARGIN_BASE_EMBEDDED_H

#include "base.h"

struct embedded_file {
    const char *name; /* with its folder: "data/models.json" */
    const unsigned char *data;
    usize bytes;
};

extern const struct embedded_file embedded_files[];
extern const u32 embedded_file_count;

#endif
