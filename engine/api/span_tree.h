/* span_tree.h: the tree of a trace's spans (Observe API 4.2, `?tree=1`). Pure. */
#ifndef MARGIN_API_SPAN_TREE_H
#define MARGIN_API_SPAN_TREE_H

#include "api/event_rows.h"

/* Writes [{span_id, event_id, children}], rows in ascending time. A span hangs under the earliest
 * row that has its parent's span id; one whose parent is absent, itself, or already below it is a
 * root. ERR_NO_MEMORY. */
enum err span_tree_write(struct json_writer *json, const struct event_rows *rows);

#endif
