/* file.h: what plain files beside LMDB share: whole writes, and what an errno means here. */
#ifndef MARGIN_STORAGE_FILE_H
#define MARGIN_STORAGE_FILE_H

#include "base.h"

/* ERR_NO_SPACE, or ERR_IO for all else. */
enum err file_errno(int code);
/* Writes all of it where the file is, or fails. */
enum err file_write(int fd, const void *data, usize bytes);
/* Reads all of it from there. ERR_CORRUPT: the file ends before; ERR_IO. */
enum err file_read(int fd, void *into, usize bytes, u64 at);

#endif
