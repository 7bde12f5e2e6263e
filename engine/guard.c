/* guard.c: see guard.h. State is static: there is one process. */
#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/notify.h"
#include "process/paths.h"
#include "process/sandbox.h"
#include "process/user.h"

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_change = PTHREAD_COND_INITIALIZER;
static u32 gate_waiting;
static bool gate_open;
static bool own_files; /* no others can be opened */

/* Everything it opens from here on: its data, what SIGHUP reads again, and what it may ask the
 * system about itself. */
static bool restrict_paths(const struct config *config) {
    char parent[CONFIG_PATH_BYTES_MAX + 4];
    snprintf(parent, sizeof parent, "%s/..", config->data_dir);
    const struct paths_rule rules[] = {
        {config->data_dir, PATHS_OWN},
        {parent, PATHS_LIST}, /* a new directory is synced there */
        {config->price_models, PATHS_BESIDE},
        {config->price_providers, PATHS_BESIDE},
        {config->price_extra, PATHS_BESIDE},
        {config->tls_certificate, PATHS_BESIDE},
        {config->tls_key, PATHS_BESIDE},
        {"/etc/ssl", PATHS_READ},
        {"/proc/self", PATHS_READ},
        {"/proc/sys/kernel/io_uring_disabled", PATHS_READ},
        {config->core_dumps != 0 ? "." : "", PATHS_OWN}, /* where they go, unless to a program */
    };
    /* Where it cannot be made, whoever opens it says why. */
    return (mkdir(config->data_dir, 0700) == 0 || errno == EEXIST) &&
           paths_restrict(rules, ARRAY_COUNT(rules));
}

enum err guard_begin(const struct config *config, char *const *environment, char *why,
                     usize why_bytes) {
    user_harden(config->core_dumps != 0);
    notify_open(environment);
    return config->user[0] == '\0' ? ERR_OK : user_enter(config->user, why, why_bytes);
}

enum err guard_own_files(const struct config *config, char *why, usize why_bytes) {
    enum err err = user_give(config->data_dir, why, why_bytes);
    if (err == ERR_OK && config->sandbox != SANDBOX_OFF) {
        own_files = restrict_paths(config);
    }
    return err;
}

void guard_bind_begin(void) {
    user_raise();
}

enum err guard_bind_end(const struct config *config, char *why, usize why_bytes) {
    enum err err = user_drop(why, why_bytes);
    user_harden(config->core_dumps != 0);
    return err;
}

/* --- the gate --------------------------------------------------------------------------------- */

void guard_pass(void) {
    pthread_mutex_lock(&gate_lock);
    gate_waiting++;
    pthread_cond_broadcast(&gate_change);
    while (!gate_open) {
        pthread_cond_wait(&gate_change, &gate_lock);
    }
    pthread_mutex_unlock(&gate_lock);
}

static void await(u32 fronts) {
    pthread_mutex_lock(&gate_lock);
    while (gate_waiting < fronts) {
        pthread_cond_wait(&gate_change, &gate_lock);
    }
    pthread_mutex_unlock(&gate_lock);
}

static void open_gate(void) {
    pthread_mutex_lock(&gate_lock);
    gate_open = true;
    pthread_cond_broadcast(&gate_change);
    pthread_mutex_unlock(&gate_lock);
}

/* One line says what holds. */
static void say_closed(const struct config *config, const char *without) {
    bool entered = without[0] == '\0';
    char calls[64] = "off";
    if (entered) {
        snprintf(calls, sizeof calls, "%u", sandbox_calls());
    }
    log_line(entered || config->sandbox == SANDBOX_OFF ? LOG_INFO : LOG_WARN, "sandbox",
             "calls=%s refused=%s files=%s uid=%u new_privileges=no core_dumps=%s%s%s%s", calls,
             !entered                          ? "none"
             : config->sandbox == SANDBOX_KILL ? "killed"
                                               : "EPERM",
             own_files ? "own" : "any", (unsigned)getuid(), config->core_dumps != 0 ? "yes" : "no",
             without[0] == '\0' ? "" : " cause=\"", without, without[0] == '\0' ? "" : "\"");
}

static enum err close_all(const struct config *config, char *why, usize why_bytes) {
    char without[256] = "--sandbox off";
    if (config->sandbox != SANDBOX_OFF) {
        without[0] = '\0';
        if (!sandbox_enter(config->sandbox == SANDBOX_KILL, without, sizeof without) &&
            config->sandbox != SANDBOX_AUTO) {
            snprintf(why, why_bytes, "no sandbox: %s", without);
            return ERR_SYSTEM;
        }
    }
    say_closed(config, without);
    return ERR_OK;
}

enum err guard_close(const struct config *config, u32 fronts, char *why, usize why_bytes) {
    await(fronts);
    enum err err = close_all(config, why, why_bytes);
    open_gate();
    return err;
}

/* --- supervision ------------------------------------------------------------------------------ */

void guard_tell_ready(void) {
    notify_send("READY=1\nSTATUS=Serving.");
    if (getuid() == 0) {
        log_warn("runs_as_root",
                 "action=\"start it with --user NAME, or as a service of systemd\"");
    }
}

void guard_tell_stopping(void) {
    notify_send("STOPPING=1\nSTATUS=Finishing what is in flight.");
    notify_close();
}

u64 guard_refused(void) {
    u32 last;
    return sandbox_refused(&last);
}

void guard_look(void) {
    static u64 said;
    u32 last;
    u64 count = sandbox_refused(&last);
    if (count != said) {
        log_warn("sandbox_refused", "calls=%llu last=%u action=\"the call failed with EPERM\"",
                 (unsigned long long)count, last);
        said = count;
    }
}

bool guard_must_tell_alive(u64 now_ns) {
    static u64 told_ns;
    u64 every_ns = notify_watchdog_ns();
    if (every_ns == 0 || now_ns - told_ns < every_ns / 2) {
        return false;
    }
    told_ns = now_ns;
    return true;
}

void guard_tell_alive(void) {
    notify_send("WATCHDOG=1");
}

bool guard_is_service(void) {
    return notify_is_on();
}
