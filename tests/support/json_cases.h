/*
 * json_cases.h: what is JSON by RFC 8259 and what is not, as data: scalars, each put into several
 * documents, and whole documents. Used by the reader's unit tests and to compare it with another
 * reader.
 */
#ifndef MARGIN_TESTS_JSON_CASES_H
#define MARGIN_TESTS_JSON_CASES_H

#include "base.h"

enum json_verdict {
    JSON_GOOD,
    JSON_BAD,
    JSON_OPEN /* the RFC leaves it open: grammar that some readers refuse */
};

/* Calls back for every case and returns how many there were. The text lasts for the call only. */
u32 json_cases_each(void (*see)(struct slice text, enum json_verdict verdict, void *context),
                    void *context);

#endif
