/*
 * sim.h: what the parts of the simulator share. One process, one thread: the server's main() runs
 * unchanged, but every call it makes to the system is answered by a simulated machine (threads,
 * clocks, network, disk), whose choices all come from one seed. See README.md.
 */
#ifndef MARGIN_TEST_SIM_H
#define MARGIN_TEST_SIM_H

#include "base.h"

#define SIM_HTTP_PORT 8080
#define SIM_WIRE_PORT 8081
#define SIM_NEVER UINT64_MAX
#define SIM_US ((u64)1000)
#define SIM_MS (1000 * SIM_US)
#define SIM_S (1000 * SIM_MS)

/* State of the simulator itself is apart from the server's, which starts anew with each boot. */
#define SIM_STATE __attribute__((section("sim_state")))

/* --- chance ----------------------------------------------------------------------------------- */

u64 sim_random(void);
u32 roll(u32 sides);      /* 0 .. sides - 1 */
bool chance(u32 percent); /* true so often */
u64 between(u64 from, u64 to);
void sim_note(u64 what); /* goes into the fingerprint of the run */
u64 sim_fingerprint(void);
void sim_seed(u64 seed);

/* A promise was broken: says what, and ends the process. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line of the run's story, with --verbose. */
void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool sim_verbose(void);

#define promise(cond, ...) ((cond) ? (void)0 : sim_fail(__VA_ARGS__))

/* --- fibers and time (fiber.c, clock.c) ------------------------------------------------------- */

struct fiber;

/* `server`: dies with the machine. */
struct fiber *fiber_start(const char *name, bool server, void *(*run)(void *), void *argument);
/* Lets others run until ready(argument), or until the time has come: false. */
bool fiber_wait(bool (*ready)(void *), void *argument, u64 until_ns);
void fiber_yield(void);
void fiber_sleep(u64 ns);
/* Lets others run at times. Every simulated call begins with this: a step. */
void fiber_step(void);
bool fiber_is_server(void);
bool fiber_is_main(void); /* the server's first thread */
u32 fiber_id(void);
u32 fiber_count_server(void);
void fiber_kill_server(void);
/* The machine stops here: the calling fiber never goes on, and no other of the server does. */
_Noreturn void fiber_stop_machine(void);
/* Runs until every fiber that is not the server's has ended. */
void fiber_run_all(void);

u64 clock_now_ns(void);
i64 clock_wall_now_ms(void); /* as the server sees it */
void clock_jump(i64 ms);     /* of the wall clock */

/* --- the machine (machine.c) ------------------------------------------------------------------ */

enum machine_state { MACHINE_DOWN, MACHINE_RUNS, MACHINE_STOPPED /* main() has returned */ };

struct machine_options {
    u32 fronts;
    u64 snapshot_events;
    u64 map_bytes;
    u64 key_bytes; /* memory for keys */
    u32 days;      /* of retention; 0: none */
};

void machine_init(const char *root, const struct machine_options *options);
void machine_start(void);
enum machine_state machine_state(void);
int machine_exit_code(void);
void machine_signal(int number);
/* power: what was not synced is lost, torn, reordered; else the process is killed. */
void machine_crash(bool power);
bool machine_crash_is_due(void);
void machine_crash_after_calls(u64 calls); /* to the disk; 0: never */
/* A call to the disk begins or ends; the machine may stop in it. */
void machine_disk_call(void);
const char *machine_dir(void);
u32 machine_boots(void);

/* --- the disk (disk.c) ------------------------------------------------------------------------ */

struct disk_faults {
    bool full;          /* no space for a while */
    u32 sync_fails;     /* one in so many syncs fails; 0: none */
    u32 write_fails;    /* one in so many writes fails; 0: none */
    u32 snapshot_fails; /* one in so many calls on files beside the log fails; 0: none */
    u64 sync_ns_max;
    u64 snapshot_ns_max; /* more for a snapshot's */
};

void disk_init(const char *root);
void disk_set_faults(const struct disk_faults *faults);
u64 disk_errors(void); /* failed calls so far */
u64 disk_calls(void);
u64 disk_runs(void); /* files of keys made so far */
void disk_remove_all(const char *path);
/* After a crash; the fibers that used files are gone. */
void disk_crash(bool power);

/* --- the network (net.c) ---------------------------------------------------------------------- */

struct net_faults {
    u32 reset_permille; /* of sends */
    u32 split_percent;  /* of sends are cut into pieces */
    u64 delay_ns_max;
    u32 capacity_min; /* bytes a connection takes before its receiver reads */
    u32 capacity_max;
};

bool net_owns(int fd);
int net_close(int fd);
i64 net_read(int fd, void *into, usize bytes);
i64 net_write(int fd, const void *data, usize bytes);
void net_set_faults(const struct net_faults *faults);
void net_crash(bool power);
/* Every connection stands still for so long, or breaks. */
void net_partition(u64 ns);
u64 net_next_ns(void); /* when something arrives next; SIM_NEVER */

/* --- what is true (truth.c) ------------------------------------------------------------------- */

struct truth_event {
    u32 number;  /* what it says follows from it, see truth.c */
    u32 variant; /* same key, other content */
    bool keyed;
    bool invalid;
    /* As it goes out: */
    bool known; /* it is stored, and nothing but its age removes it */
    bool gone;  /* it is of a time whose events were removed */
};

#define REQUEST_EVENTS_MAX 128
#define ACCOUNTS_MOST 3 /* of a run; the first is the one the server begins with */

struct truth_request {
    u32 account;
    bool single; /* for the endpoint of single events */
    u32 count;
    struct truth_event event[REQUEST_EVENTS_MAX];
    u32 tries;
};

struct truth_fields {
    char customer[16];
    char feature[16];
    char key[24];
    char trace[24];
    char agent[16]; /* empty: none */
    bool priced;    /* model and tokens instead of a cost */
    i64 cost;       /* picodollars, what it must come to */
    i64 revenue;
    i64 input;
    i64 output;
    i64 time; /* ms; 0: none given */
};

/* Events are kept for so many days; 0: for ever. */
void truth_init(u32 accounts, u32 days);
bool truth_ages(void);
u32 truth_accounts(void);
void truth_fields_of(const struct truth_event *event, struct truth_fields *out);
/* A request of new and old keys. */
void truth_make(struct truth_request *request, u32 account, bool may_be_single);
/* It goes out, perhaps again. */
void truth_sent(struct truth_request *request);

struct truth_answer {
    u32 accepted;
    u32 rejected;
    u32 duplicates;
    u32 conflicts;
};
/* It was answered with success. */
void truth_answered(const struct truth_request *request, const struct truth_answer *answer);
/* Bounds of what any total may say that is asked now: call before asking. */
struct truth_least {
    u64 events;
    i64 horizon; /* of what has become too old by then */
};
struct truth_least truth_least(u32 account);
/* A total was seen: that much may never be lost again, but for its age. */
void truth_seen(u32 account, u64 total, struct truth_least least);

struct margin_client;
/* Reads everything back and compares. `all_answered`: nothing is in doubt. */
/* False: it could not be read to its end, or changed meanwhile, or events are leaving for their age
 * and figures say what the log does not (truth_doubt() says what). */
const char *truth_doubt(void);
bool truth_check(struct margin_client *client, u32 account, bool all_answered);
u64 truth_acknowledged(void);
u64 truth_stored(void); /* at the last checks */

/* --- clients ---------------------------------------------------------------------------------- */

struct clients {
    u32 http;
    u32 wire;
    u32 askers;
    u32 requests; /* of each */
    u64 pause_ns; /* after each, at most; at times longer */
};

void clients_start(const struct clients *clients);
void clients_hurry(void); /* nothing new is sent; what is in doubt is sent until it is answered */
bool clients_are_done(void);
void clients_hold(bool hold); /* none begins another request */
bool clients_are_idle(void);
/* False: nobody has one yet. */
bool client_read_key(u32 account, char *key, usize bytes);
/* NULL: could not be reached. */
struct margin_client *client_connect(u32 account, u32 timeout_ms);
struct margin_client *client_connect_with(const char *key, u32 timeout_ms);
/* Before and after each request: clients wait here while they are held. */
void client_enter(void);
void client_leave(void);
bool clients_are_in_a_hurry(void);

/* --- what is changed later (keeper.c) --------------------------------------------------------- */

/* Makes an account of its own, while the server is down, and starts its clients. */
void keeper_prepare(void);
bool keeper_is_there(void);
bool keeper_is_done(void);
/* Compares everything; false: it could not be read. */
bool keeper_check(void);

/* --- the story (story.c) ---------------------------------------------------------------------- */

void *story_run(void *argument);

#endif
