/* file.h: what plain files beside LMDB share: whole writes, and what an errno means here. */
#ifndef MARGIN_STORAGE_FILE_H
#define MARGIN_STORAGE_FILE_H

#include "base.h"

#define FILE_PAGE_BYTES 4096

/* ERR_NO_SPACE, or ERR_IO for all else. */
enum err file_errno(int code);
/* Opens a file that is written from its beginning to its end, past the system's cache where the
 * file system can do that. Data of whole pages, at addresses and lengths of whole pages, go that
 * way; with the first that are not, the file becomes one like all others. -1: errno. */
int file_create_bulk(const char *path);
/* The file is one like all others from now on. */
void file_end_bulk(int fd);
/* Writes all of it where the file is, or fails. */
enum err file_write(int fd, const void *data, usize bytes);
/* Reads all of it from there, past the cache if the file was opened so and the file system takes
 * the place and the memory for it. ERR_CORRUPT: the file ends before; ERR_IO. */
enum err file_read(int fd, void *into, usize bytes, u64 at);

#endif
