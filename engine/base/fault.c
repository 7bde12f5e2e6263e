/* fault.c: see fault.h. In the product there is nothing here. */
#include "base/fault.h"

#ifdef FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

/* The linker's: both ends of the section. */
extern struct fault_place *const __start_fault_places[];
extern struct fault_place *const __stop_fault_places[];

static struct fault_place *wanted;
static u32 wanted_at;
static bool hangs;

void fault_reach(struct fault_place *place) {
    u32 times = atomic_fetch_add(&place->reached, 1) + 1;
    if (place == wanted && times == wanted_at) {
        while (hangs) {
            sleep(1000);
        }
        kill(getpid(), SIGKILL);
    }
}

static void list_places(void) {
    for (struct fault_place *const *at = __start_fault_places; at < __stop_fault_places; at++) {
        dprintf(STDOUT_FILENO, "%s\n", (*at)->name);
    }
}

/* NAME:N, or NAME for the first time; behind "hang:". */
static bool choose(const char *text) {
    static const char hang[] = "hang:";
    hangs = strstr(text, hang) == text;
    text += hangs ? sizeof hang - 1 : 0;
    usize bytes = strcspn(text, ":");
    wanted_at = text[bytes] == ':' ? (u32)strtoul(text + bytes + 1, NULL, 10) : 1;
    for (struct fault_place *const *at = __start_fault_places; at < __stop_fault_places; at++) {
        if (strlen((*at)->name) == bytes && memcmp((*at)->name, text, bytes) == 0) {
            wanted = *at;
        }
    }
    return wanted != NULL && wanted_at > 0;
}

bool fault_take_argument(int *argc, char **argv, int *code) {
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--fault") != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        const char *text = i + 1 < *argc ? argv[++i] : "";
        if (strcmp(text, "list") == 0) {
            list_places();
            *code = 0;
            return false;
        }
        if (!choose(text)) {
            dprintf(STDERR_FILENO, "margind: --fault %s: no such place\n", text);
            *code = EXIT_USAGE;
            return false;
        }
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}
#endif
