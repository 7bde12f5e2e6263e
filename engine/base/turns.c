/* turns.c: see turns.h. */
#include "base/turns.h"

#include "base.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS 100000         /* the shortest that Linux grants */
#define FLAG_KEEP_POLICY 0x08u /* SCHED_FLAG_KEEP_POLICY */

/* What sched_setattr() takes; not all C libraries say. */
struct turns {
    u32 size;
    u32 policy;
    u64 flags;
    i32 nice;
    u32 priority;
    u64 runtime_ns;
    u64 deadline_ns;
    u64 period_ns;
};

void turns_shorten(void) {
    struct turns turns = {.size = sizeof turns,
                          .flags = FLAG_KEEP_POLICY,
                          .nice = getpriority(PRIO_PROCESS, 0),
                          .runtime_ns = TURN_NS};
    syscall(SYS_sched_setattr, 0, &turns, 0);
}
