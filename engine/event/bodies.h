/*
 * bodies.h: the captured request and response of a model call (Observe 2.1). They are shown with
 * the single event only, so they share one column that lists never read: TEXT_REFS of an event with
 * EVENT_FLAG_BODIES is an object of one or both,
 *
 *     {"requestBody":...,"responseBody":...}
 *
 * with the values as they were received. One that is too long is dropped, which the event's
 * properties then say: "body_dropped":"true".
 */
#ifndef MARGIN_EVENT_BODIES_H
#define MARGIN_EVENT_BODIES_H

#include "event/fields.h"

/* The bodies of an event, noted while its request is read. */
struct body_note {
    u32 row;
    struct text_ref request; /* of the batch's text, quotes included; 0 bytes: none */
    struct text_ref response;
    bool dropped;
};

/* `members` have been accepted as those of row `row`; values point into the batch's text. */
struct body_note bodies_note(const struct event_batch *batch, u32 row,
                             const struct members *members);
/* Bytes of free text that bodies_settle() needs, at most. */
usize bodies_bytes(const struct event_batch *batch, const struct body_note *note);
/* Adds them to the event. */
void bodies_settle(struct event_batch *batch, const struct body_note *note);

/* The two values of such a text, JSON; empty if there is none. */
void bodies_split(struct slice text, struct slice *request, struct slice *response);

#endif
