/*
 * process.c: see process.h.
 */
#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define AWAIT_NS ((u64)30 * 1000000000)
#define STOP_NS ((u64)60 * 1000000000)
#define POLL_NS 20000000
#define UNPRIVILEGED "nobody"

static void pause_briefly(void) {
    struct timespec time = {.tv_nsec = POLL_NS};
    nanosleep(&time, NULL);
}

/* --- starting and stopping -------------------------------------------------------------------- */

_Noreturn static void become(const struct server *server, const char *const argv[],
                             const struct passwd *user) {
    char output[RACE_PATH_MAX + 32];
    snprintf(output, sizeof output, "%s/output", server->dir);
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int none = open("/dev/null", O_RDONLY);
    dup2(none, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    setpgid(0, 0); /* Control-C is for the race, which stops its servers in order */
    if (user != NULL &&
        (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
        _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none_blocked;
    sigemptyset(&none_blocked);
    sigprocmask(SIG_SETMASK, &none_blocked, NULL);
    execv(argv[0], (char *const *)(usize)argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

bool process_start(struct server *server, const char *const argv[], bool unprivileged) {
    const struct passwd *user = NULL;
    if (unprivileged && geteuid() == 0) {
        user = getpwnam(UNPRIVILEGED);
        if (user == NULL || chown(server->dir, user->pw_uid, user->pw_gid) != 0) {
            return race_failed("an unprivileged user", UNPRIVILEGED);
        }
    }
    fflush(NULL);
    server->pid = fork();
    if (server->pid == 0) {
        become(server, argv, user);
    }
    return server->pid > 0 || race_failed("fork", strerror(errno));
}

static void show_output(const struct server *server) {
    char path[RACE_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/output", server->dir);
    FILE *file = fopen(path, "r");
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        fprintf(stderr, "    %s", line);
    }
    if (file != NULL) {
        fclose(file);
    }
}

bool process_run(struct server *server, const char *const argv[], bool unprivileged) {
    int status;
    if (!process_start(server, argv, unprivileged)) {
        return false;
    }
    pid_t pid = server->pid;
    server->pid = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        show_output(server);
        return race_failed(argv[0], "did not end well");
    }
    return true;
}

bool process_await(struct server *server, bool (*answers)(struct server *server)) {
    u64 begin_ns = clock_monotonic_ns();
    while (!answers(server)) {
        bool ended = waitpid(server->pid, NULL, WNOHANG) == server->pid;
        if (ended) {
            server->pid = 0;
        }
        if (ended || race_stopped() || clock_monotonic_ns() - begin_ns > AWAIT_NS) {
            show_output(server);
            return race_failed("the server", ended ? "ended" : "does not answer");
        }
        pause_briefly();
    }
    return true;
}

void process_stop(struct server *server, int signal) {
    if (server->pid <= 0) {
        return;
    }
    kill(server->pid, signal);
    u64 begin_ns = clock_monotonic_ns();
    while (waitpid(server->pid, NULL, WNOHANG) == 0) {
        if (clock_monotonic_ns() - begin_ns > STOP_NS) {
            race_failed("the server", "did not stop and was killed");
            kill(server->pid, SIGKILL);
            waitpid(server->pid, NULL, 0);
            break;
        }
        pause_briefly();
    }
    server->pid = 0;
}

static struct sockaddr_in loopback(u16 port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

bool process_listens(u16 port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0);
    bool good = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return good;
}

u16 process_free_port(void) {
    struct sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0 &&
          getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* --- measuring -------------------------------------------------------------------------------- */

static u64 status_kib(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static usize read_file(const char *path, char *to, usize to_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? 0 : read(fd, to, to_bytes - 1);
    if (fd >= 0) {
        close(fd);
    }
    to[MAX(bytes, 0)] = 0;
    return (usize)MAX(bytes, 0);
}

/* Private memory adds up; what is shared is the same for all processes of a server. */
static void add_memory(pid_t pid, u64 *private_kib, u64 *shared_kib) {
    char path[64];
    char text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (read_file(path, text, sizeof text) > 0) {
        *private_kib += status_kib(text, "RssAnon:");
        *shared_kib = MAX(*shared_kib, status_kib(text, "RssShmem:"));
    }
}

u64 process_memory(pid_t pid) {
    u64 private_kib = 0;
    u64 shared_kib = 0;
    char path[64];
    char children[4096];
    add_memory(pid > 0 ? pid : getpid(), &private_kib, &shared_kib);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (pid > 0 && read_file(path, children, sizeof children) > 0) {
        char *at = children;
        for (long child = strtol(at, &at, 10); child > 0; child = strtol(at, &at, 10)) {
            add_memory((pid_t)child, &private_kib, &shared_kib);
        }
    }
    return (private_kib + shared_kib) * KIB;
}

/* nftw() has no argument for its visitor; one thread measures. */
static const char *disk_passing;
static u64 disk_total;

static int visit_file(const char *path, const struct stat *status, int type, struct FTW *place) {
    if (type == FTW_D && disk_passing != NULL && strcmp(path + place->base, disk_passing) == 0) {
        return FTW_SKIP_SUBTREE;
    }
    if (type == FTW_F) {
        disk_total += (u64)status->st_blocks * 512;
    }
    return FTW_CONTINUE;
}

u64 process_disk(const char *path, const char *passing) {
    disk_passing = passing;
    disk_total = 0;
    nftw(path, visit_file, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    return disk_total;
}

/* --- the directory ---------------------------------------------------------------------------- */

bool process_write_file(const struct server *server, const char *name, const char *text) {
    char path[RACE_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", server->dir, name);
    FILE *file = fopen(path, "w");
    bool good = file != NULL && fputs(text, file) >= 0;
    good = (file == NULL || fclose(file) == 0) && good;
    return good || race_failed(path, strerror(errno));
}

bool process_make_dir(struct server *server) {
    snprintf(server->dir, sizeof server->dir, "%s/margin-race.XXXXXX", server->options->dir);
    return mkdtemp(server->dir) != NULL || race_failed(server->dir, strerror(errno));
}

static int remove_file(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void process_remove_dir(const struct server *server) {
    nftw(server->dir, remove_file, 16, FTW_DEPTH | FTW_PHYS);
}
