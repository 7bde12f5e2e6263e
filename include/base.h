/*
 * base.h: the words every file shares: fixed-width numbers, slices, error values, checks.
 *
 * Operating errors (a full disk, a bad request) are values of `enum err` and are all handled.
 * Programmer errors are check()s: they stay on in release builds and stop the process, because
 * an engine that counts money must not go on from a state it does not understand.
 */
#ifndef MARGIN_BASE_H
#define MARGIN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef size_t usize;
__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;

#define KIB ((usize)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define likely(cond) __builtin_expect(!!(cond), 1)
#define unlikely(cond) __builtin_expect(!!(cond), 0)

/* Bytes that somebody else owns; never NUL-terminated. An empty slice may have a NULL pointer. */
struct slice {
    const char *data;
    usize bytes;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

/* What an operation that can fail for reasons outside the program returns. 0 is good. */
enum err {
    ERR_OK = 0,
    ERR_INVALID,   /* the caller's input is not acceptable */
    ERR_NOT_FOUND, /* no such object */
    ERR_EXISTS,    /* the object is there already */
    ERR_LIMIT,     /* a bound of limits.h would be passed */
    ERR_BUSY,      /* try again later; nothing was done */
    ERR_NO_MEMORY, /* the system gave no memory */
    ERR_NO_SPACE,  /* the disk or the LMDB map is full; nothing was done */
    ERR_IO,        /* a read, write or sync failed; what the disk holds is unknown */
    ERR_CORRUPT,   /* a checksum or a structure does not hold */
    ERR_VERSION,   /* written by a newer version of the program */
    ERR_LOCKED,    /* another process uses it */
    ERR_SYSTEM,    /* any other refusal of the operating system */
    ERR_COUNT
};

/* The error's name as a log value: "no_space". Never NULL. */
const char *err_text(enum err err);

/* Reports where and stops the process. Never returns. */
_Noreturn void check_failed(const char *condition, const char *file, int line);

#define check(cond) (likely(cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#endif
