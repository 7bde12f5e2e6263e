/*
 * watch.h: a thread that looks once a second whether the others go on. One that does not get on
 * with a piece of work for longer than any disk or question can make it is hung: that is said in
 * the log and in a metric, and the supervisor hears nothing until it goes on, so that it restarts
 * the process (systemd: WatchdogSec=). It touches no file, so that no disk keeps it from telling.
 */
#ifndef MARGIN_WATCH_H
#define MARGIN_WATCH_H

#include "pipeline.h"

/* How long each kind may take for a piece of work. What waits for the disk may take long: a sync of
 * minutes is a bad disk, which no restart mends. */
enum watch_kind {
    WATCH_FRONT,      /* an answer to its being woken */
    WATCH_MAIN,       /* a round of the main thread, which may write */
    WATCH_COMMIT,     /* a group of batches */
    WATCH_DISK,       /* a block, or an amendment, with its sync */
    WATCH_READER,     /* a question, an upload */
    WATCH_BACKGROUND, /* a merge, a snapshot, an expiry */
    WATCH_KINDS
};

struct watched {
    const struct pulse *pulse;
    enum watch_kind kind;
    u32 index; /* of its kind */
    u32 looks; /* at the same piece of work; a look, not a second: a machine that stood still is no
                  thread that hangs */
    u64 beats; /* when last looked at */
};

struct watch {
    struct watched watched[WATCHED_MAX];
    u32 count;
    _Atomic u64 hung; /* of them, at the last look */
};

/* Before it is started. The pulse outlives the watch. */
void watch_add(struct watch *watch, enum watch_kind kind, u32 index, const struct pulse *pulse);
void watch_add_pipeline(struct watch *watch, const struct pipeline_pulses *pulses);
/* One look; true if nobody is hung. For the thread, and for tests. */
bool watch_look(struct watch *watch);
/* Whoever is hung now. Any thread. */
u64 watch_hung(const struct watch *watch);

/* Starts the thread. After each look `wake` makes every front thread show itself, which else sleeps
 * until there is something to do. */
void watch_start(struct watch *watch, void (*wake)(void *context, u32 front), void *context);
/* Ends it. */
void watch_stop(void);

#endif
