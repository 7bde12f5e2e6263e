/*
 * turns.h: how long the scheduler lets a thread run at a time. Threads that work without a pause
 * have a processor for milliseconds; who asks for short turns need not wait for the end of such a
 * long one, and runs no more in all.
 */
#ifndef MARGIN_BASE_TURNS_H
#define MARGIN_BASE_TURNS_H

/* The calling thread takes turns as short as there are. Linux before 6.12 gives everybody the same;
 * where it is refused, or the thread has a policy of its own, nothing changes. */
void turns_shorten(void);

#endif
