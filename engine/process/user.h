/*
 * user.h: who the process is. Started as root it can bind a port below 1024 and then become
 * somebody who may do nothing but serve: first for files (so that what it makes belongs to him),
 * for a moment root again to bind, and then for good.
 *
 * All of it on the main thread, before there are others that matter: the ids of a process are those
 * of all its threads.
 */
#ifndef MARGIN_PROCESS_USER_H
#define MARGIN_PROCESS_USER_H

#include "base.h"

/* Nothing that this process starts gains rights, and it is not dumped or traced unless
 * `core_dumps`: its memory has keys in it. Again after user_drop(), for a change of ids undoes it.
 */
void user_harden(bool core_dumps);

/* Files are opened and made as `name` from here on. ERR_INVALID: there is no such user, he is root,
 * or we are not (and not him); ERR_SYSTEM. `why` is one line. */
enum err user_enter(const char *name, char *why, usize why_bytes);
/* Makes the directory if it is missing, and gives it and what root left in it to him. ERR_SYSTEM.
 * Nothing without user_enter(). */
enum err user_give(const char *dir, char *why, usize why_bytes);
/* Root again, and back; nothing without user_enter(). */
void user_raise(void);
void user_lower(void);
/* For good; also what rights somebody who is not root was started with, to bind a port. Before
 * there are threads: each has rights of its own. ERR_SYSTEM: it could be undone, so nobody may go
 * on. */
enum err user_drop(char *why, usize why_bytes);

#endif
