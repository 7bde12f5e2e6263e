/*
 * process.h: private servers: started in a directory of their own, measured, and stopped by their
 * process id. No service of the system is ever touched.
 */
#ifndef MARGIN_RACE_PROCESS_H
#define MARGIN_RACE_PROCESS_H

#include "race.h"

/* Starts argv[0] with its output in server->dir/output; `unprivileged`: as nobody if this process
 * is root's, for programs that refuse root. The server ends when this process does. */
bool process_start(struct server *server, const char *const argv[], bool unprivileged);
/* The same, until the program ends; false unless it ends well. */
bool process_run(struct server *server, const char *const argv[], bool unprivileged);
/* Asks again and again whether the server answers; false if it ended or takes too long. */
bool process_await(struct server *server, bool (*answers)(struct server *server));
/* Sends the signal and waits; a server that does not end is killed. */
void process_stop(struct server *server, int signal);

/* A TCP port of the loopback that is free now. */
u16 process_free_port(void);
bool process_listens(u16 port);
/* Anonymous and shared memory of the process and its children, without the page cache; of this
 * process if there is no pid. */
u64 process_memory(pid_t pid);
/* Bytes that the files under a folder take on disk, but for those in a folder named `passing`. */
u64 process_disk(const char *path, const char *passing);
/* Writes server->dir/name. */
bool process_write_file(const struct server *server, const char *name, const char *text);

bool process_make_dir(struct server *server);
void process_remove_dir(const struct server *server);

#endif
