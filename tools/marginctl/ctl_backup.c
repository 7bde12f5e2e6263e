/*
 * ctl_backup.c: `backup` and `restore`: a data directory copied, beside a running server if need
 * be, and read again before the copy gets its name (storage/backup.c).
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "store.h"
#include "tools/marginctl/ctl.h"

#define NICE 10              /* the server comes first */
#define SHOWN_MS 100         /* between two lines of progress on a terminal, */
#define SHOWN_SLOWLY_MS 5000 /* in a file */

struct shown {
    bool on_terminal;
    i64 last_ms;
    const char *step;
};

static void show(void *context, const char *step, u64 done, u64 total) {
    struct shown *shown = context;
    i64 now_ms = clock_wall_ms();
    i64 pause_ms = shown->on_terminal ? SHOWN_MS : SHOWN_SLOWLY_MS;
    bool due = shown->step == NULL || strcmp(step, shown->step) != 0 || done == total ||
               now_ms - shown->last_ms >= pause_ms;
    if (!due) {
        return;
    }
    char count[2][CTL_MONEY_BYTES];
    fprintf(stderr, "%s%s: %s of %s events%s", shown->on_terminal ? "\r\033[K" : "", step,
            ctl_count(done, count[0]), ctl_count(total, count[1]), shown->on_terminal ? "" : "\n");
    shown->last_ms = now_ms;
    shown->step = step;
}

static int copy(const char *from, const char *to, bool back) {
    static const char *const files[] = {"api-key"};
    struct shown shown = {.on_terminal = isatty(STDERR_FILENO) != 0};
    struct store_copy what = {.from = from,
                              .to = to,
                              .files = files,
                              .file_count = ARRAY_COUNT(files),
                              .progress = show,
                              .context = &shown};
    char why[1024];
    setpriority(PRIO_PROCESS, 0, NICE);
    enum err err = (back ? store_restore : store_backup)(&what, why, sizeof why);
    if (shown.on_terminal) {
        fputs("\r\033[K", stderr);
    }
    if (err != ERR_OK) {
        return ctl_fail("%s", why);
    }
    char count[CTL_MONEY_BYTES];
    printf("%s holds %s events, read again and found whole\n", to, ctl_count(what.events, count));
    if (back) {
        printf("start it with: margind --data-dir %s\n", to);
    }
    return 0;
}

int ctl_backup(const struct ctl_options *options, int argc, char **argv) {
    if (argc != 1) {
        return ctl_usage("backup takes one argument, the directory to make");
    }
    return copy(options->data_dir, argv[0], false);
}

int ctl_restore(const struct ctl_options *options, int argc, char **argv) {
    (void)options;
    if (argc != 2) {
        return ctl_usage("restore takes two arguments, the backup and the directory to make");
    }
    return copy(argv[0], argv[1], true);
}
