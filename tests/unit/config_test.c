/* config_test.c: every source of a setting, their order, and every way a value can be wrong. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config loaded;
static struct buf said;

/* Loads with the flags given (NULL at the end) and leaves the message as text in said.data. */
static enum err load(char *const *envp, ...) __attribute__((sentinel));

static enum err load(char *const *envp, ...) {
    static char *const nothing[] = {NULL};
    char *argv[16] = {"margind"};
    int argc = 1;
    va_list args;
    va_start(args, envp);
    while ((argv[argc] = va_arg(args, char *)) != NULL) {
        argc++;
    }
    va_end(args);
    buf_free(&said);
    buf_init(&said, CONFIG_MESSAGE_BYTES_MAX);
    enum err err = config_load(argc, argv, envp != NULL ? envp : nothing, &loaded, &said);
    cr_assert_not(said.failed);
    cr_assert(err == ERR_OK || memchr(said.data, '\n', said.bytes) == NULL, "one line");
    buf_put(&said, "", 1);
    return err;
}

static void expect_error(enum err err, const char *text) {
    cr_expect_eq(err, ERR_INVALID, "%s", text);
    cr_expect_neq(strstr(said.data, text), NULL, "\"%s\" lacks \"%s\"", said.data, text);
}

static char file_path[64];

static void write_file(const char *text) {
    snprintf(file_path, sizeof file_path, "/tmp/margin-config-XXXXXX");
    int fd = mkstemp(file_path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

Test(config, defaults) {
    cr_assert_eq(load(NULL, NULL), ERR_OK);
    cr_expect_not(loaded.print_only);
    cr_expect_str_eq(loaded.data_dir, "./data");
    cr_expect_str_eq(loaded.file, "");
    cr_expect_str_eq(loaded.http.host, "127.0.0.1");
    cr_expect_eq(loaded.http.port, 8080);
    cr_expect_str_eq(loaded.wire.host, "127.0.0.1");
    cr_expect_eq(loaded.wire.port, 8081);
    cr_expect(loaded.front_threads >= 1 && loaded.front_threads <= FRONT_THREADS_MAX);
    cr_expect_eq(loaded.net, EDGE_AUTO);
    cr_expect_eq(loaded.connections_max, CONNECTIONS_MAX);
    cr_expect_eq(loaded.idle_seconds, 120);
    cr_expect_eq(loaded.log_map_bytes, 1024 * GIB);
    cr_expect_eq(loaded.snapshot_events, 10000000);
    cr_expect_eq(loaded.log_level, LOG_INFO);
    cr_expect_eq(said.bytes, 1, "nothing to say");
}

Test(config, flags) {
    cr_assert_eq(load(NULL, "--data-dir", "/srv/m", "--http-listen=[::1]:0", "--wire-listen",
                      "0.0.0.0:65535", "--front-threads", "3", "--net", "epoll",
                      "--log-map-bytes=2g", "--log-level", "error", NULL),
                 ERR_OK);
    cr_expect_str_eq(loaded.data_dir, "/srv/m");
    cr_expect_str_eq(loaded.http.host, "::1");
    cr_expect_eq(loaded.http.port, 0);
    cr_expect_str_eq(loaded.wire.host, "0.0.0.0");
    cr_expect_eq(loaded.wire.port, 65535);
    cr_expect_eq(loaded.front_threads, 3);
    cr_expect_eq(loaded.net, EDGE_EPOLL);
    cr_expect_eq(loaded.log_map_bytes, 2 * GIB);
    cr_expect_eq(loaded.log_level, LOG_ERROR);
}

Test(config, precedence) {
    write_file("; comment\n[storage]\ndata-dir = /from/file\nsnapshot-events = 5000\n"
               "[net]\nedge = uring\nidle-seconds = 7\n[log]\nlevel = warn\n");
    char config_env[96];
    snprintf(config_env, sizeof config_env, "MARGIND_CONFIG=%s", file_path);
    char *const env[] = {"HOME=/",
                         config_env,
                         "MARGIND_NET=epoll",
                         "MARGIND_LOG_LEVEL=",
                         "MARGIND_IDLE_SECONDS_NOT=x",
                         "MARGIND_IDLE_SECONDS=8",
                         "MARGIND_IDLE=1",
                         NULL};
    cr_assert_eq(load(env, "--idle-seconds", "9", NULL), ERR_OK, "%s", said.data);
    cr_expect_str_eq(loaded.data_dir, "/from/file", "file beats default");
    cr_expect_str_eq(loaded.file, file_path);
    cr_expect_eq(loaded.snapshot_events, 5000);
    cr_expect_eq(loaded.net, EDGE_EPOLL, "environment beats file");
    cr_expect_eq(loaded.log_level, LOG_WARN, "an empty variable is none");
    cr_expect_eq(loaded.idle_seconds, 9, "flag beats environment");
    cr_assert_eq(load(env, "--config", "/nonexistent/margind.ini", NULL), ERR_INVALID);
    unlink(file_path);
}

Test(config, wrong_values) {
    static const char *const listens[] = {
        "8080",           "localhost:80", "127.0.0.1:", "127.0.0.1:x", "1.2.3.4:65536", "::1:80",
        "[127.0.0.1]:80", "[::1]",        "1.2.3.4:-1", "1.2.3:80",    ":80",           ""};
    for (usize i = 0; i < ARRAY_COUNT(listens); i++) {
        enum err err = load(NULL, "--http-listen", listens[i], NULL);
        expect_error(err, "is not a numeric HOST:PORT");
    }
    static const char *const sizes[] = {
        "", "K", "1X", "1.5G", "-1", "99999999999999999999", "16777217T", "1K", "65T", "1GB"};
    for (usize i = 0; i < ARRAY_COUNT(sizes); i++) {
        enum err err = load(NULL, "--log-map-bytes", sizes[i], NULL);
        expect_error(err, "is not a size from 1M to 64T");
    }
    expect_error(load(NULL, "--memory-max", "4", NULL), "is not 0 or a size from 128M to 1T");
    cr_assert_eq(load(NULL, "--memory-max", "0", NULL), ERR_OK);
    cr_assert_eq(load(NULL, "--memory-max", "128M", NULL), ERR_OK);
    static const char *const counts[] = {"0", "65", "", "two", "1K", "18446744073709551617"};
    for (usize i = 0; i < ARRAY_COUNT(counts); i++) {
        enum err err = load(NULL, "--front-threads", counts[i], NULL);
        expect_error(err, "is not a whole number from 1 to 64 or auto");
    }
    expect_error(load(NULL, "--net", "kqueue", NULL), "--net: \"kqueue\" is not one of auto|");
    expect_error(load(NULL, "--idle-seconds", "auto", NULL), "from 1 to 86400");
    expect_error(load(NULL, "--data-dir", "", NULL), "is empty");
    char *const env[] = {"MARGIND_NET=io", NULL};
    expect_error(load(env, "--net", "epoll", NULL), "MARGIND_NET: \"io\"");
}

Test(config, wrong_usage) {
    expect_error(load(NULL, "--frobnicate", NULL), "unknown option --frobnicate");
    expect_error(load(NULL, "-x", NULL), "unknown option -x");
    expect_error(load(NULL, "--net", NULL), "--net needs a value");
    expect_error(load(NULL, "--net", "epoll", "serve", NULL), "unexpected argument serve");
}

Test(config, wrong_files) {
    static const struct {
        const char *text;
        const char *problem;
    } cases[] = {
        {"[net]\nedge = kqueue\n", ":2: edge: \"kqueue\" is not one of"},
        {"[net]\n\nedgy = auto\n", ":3: there is no setting [net] edgy"},
        {"edge = auto\n", ":1: edge stands below no [section]"},
        {"[storage]\nnonsense\n", ":2: neither [section] nor name = value"},
    };
    for (usize i = 0; i < ARRAY_COUNT(cases); i++) {
        write_file(cases[i].text);
        enum err err = load(NULL, "--config", file_path, NULL);
        expect_error(err, cases[i].problem);
        unlink(file_path);
    }
    expect_error(load(NULL, "--config", "/nonexistent/margind.ini", NULL), "cannot be read");
}

Test(config, plans) {
    cr_assert_eq(load(NULL, NULL), ERR_OK);
    cr_expect_eq(loaded.signup, 1);
    cr_expect_str_eq(loaded.account_plan, "unlimited");
    cr_expect_eq(loaded.plans.count, 4);
    write_file("[account]\nplan = mine\nsignup = off\n[plan mine]\nevent-ingest = 5\n"
               "price-usd-month = 9.9\n[plan free]\nevent-ingest = unlimited\n");
    cr_assert_eq(load(NULL, "--config", file_path, NULL), ERR_OK, "%s", said.data);
    cr_expect_eq(loaded.signup, 0);
    cr_expect_str_eq(loaded.account_plan, "mine");
    const struct plan *mine = plans_find(&loaded.plans, "mine");
    cr_assert(mine != NULL && mine->limit[PLAN_EVENT_INGEST] == 5 && mine->price_cents == 990);
    cr_expect_eq(plans_find(&loaded.plans, "free")->limit[PLAN_EVENT_INGEST], PLAN_UNLIMITED);
    unlink(file_path);
    expect_error(load(NULL, "--account-plan", "mine", NULL), "there is no plan mine");
    expect_error(load(NULL, "--account-plan", "A B", NULL), "is not the name of a plan");
    expect_error(load(NULL, "--signup", "maybe", NULL), "is not one of on|off");
    static const char *const bad[][2] = {
        {"[plan mine]\nevent-ingest = many\n", ":2: event-ingest: \"many\": a plan's limit"},
        {"[plan mine]\n\ncolour = red\n", ":3: colour: \"red\": a plan has"},
        {"[plan My Plan]\nevent-ingest = 1\n", "a plan's name"},
        {"[plan ]\nevent-ingest = 1\n", "a plan's name"}};
    for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
        write_file(bad[i][0]);
        expect_error(load(NULL, "--config", file_path, NULL), bad[i][1]);
        unlink(file_path);
    }
}

Test(config, long_lines_of_a_file) {
    char path[600];
    char text[800];
    memset(path, 'd', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = 0;
    snprintf(text, sizeof text, "[storage]\ndata-dir = %s\n[log]\nlevel = debug\n", path);
    write_file(text);
    cr_assert_eq(load(NULL, "--config", file_path, NULL), ERR_OK, "%s", said.data);
    cr_expect_str_eq(loaded.data_dir, path);
    cr_expect_eq(loaded.log_level, LOG_DEBUG);
    unlink(file_path);
}

Test(config, help_and_version) {
    cr_assert_eq(load(NULL, "--net", "nonsense", "--help", NULL), ERR_OK);
    cr_expect(loaded.print_only);
    static const char *const wanted[] = {"--data-dir DIR", "MARGIND_HTTP_LISTEN", "[net] edge",
                                         "default 1T"};
    for (usize i = 0; i < ARRAY_COUNT(wanted); i++) {
        cr_expect_neq(strstr(said.data, wanted[i]), NULL, "%s", wanted[i]);
    }
    cr_assert_eq(load(NULL, "--version", NULL), ERR_OK);
    cr_expect(loaded.print_only);
    cr_expect_eq(strncmp(said.data, "margind ", 8), 0);
}
