/* reload.c: see reload.h. */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "limits.h"

enum { FILE_MODELS, FILE_PROVIDERS, FILE_EXTRA, FILES };

struct content {
    char *data; /* NULL: no such file is set */
    usize bytes;
    i64 changed_ms;
};

bool reload_has_files(const struct reload_files *files) {
    return files->models[0] != '\0' || files->providers[0] != '\0' || files->extra[0] != '\0';
}

static enum err read_all(int file, struct content *content, usize bytes) {
    content->data = malloc(bytes + 1);
    if (content->data == NULL) {
        return ERR_NO_MEMORY;
    }
    for (;;) {
        ssize_t got = read(file, content->data + content->bytes, bytes + 1 - content->bytes);
        if (got <= 0) {
            return got == 0 ? ERR_OK : ERR_INVALID;
        }
        content->bytes += (usize)got;
        if (content->bytes > bytes) { /* it grows while it is read: somebody writes it */
            errno = EAGAIN;
            return ERR_INVALID;
        }
    }
}

static enum err read_file(const char *path, struct content *content, char *why, usize why_bytes) {
    struct stat info;
    if (path[0] == '\0') {
        return ERR_OK;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    enum err err = file >= 0 && fstat(file, &info) == 0 ? ERR_OK : ERR_INVALID;
    if (err == ERR_OK && (!S_ISREG(info.st_mode) || info.st_size > (off_t)PRICE_FILE_BYTES_MAX)) {
        errno = S_ISREG(info.st_mode) ? EFBIG : EINVAL;
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        content->changed_ms = (i64)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
        err = read_all(file, content, (usize)info.st_size);
    }
    if (err != ERR_OK) {
        snprintf(why, why_bytes, "cannot read the prices in %s: %s", path,
                 strerror(err == ERR_NO_MEMORY ? ENOMEM : errno));
    }
    if (file >= 0) {
        close(file);
    }
    return err;
}

static struct slice text_of(const struct content *content) {
    return (struct slice){content->data, content->bytes};
}

enum err reload_prices(const struct reload_files *files, struct price_table **out, char *why,
                       usize why_bytes) {
    const char *const paths[FILES] = {[FILE_MODELS] = files->models,
                                      [FILE_PROVIDERS] = files->providers,
                                      [FILE_EXTRA] = files->extra};
    struct content content[FILES] = {{.data = NULL}};
    struct price_sources sources = {.updated_ms = 0};
    enum err err = ERR_OK;
    for (u32 i = 0; i < FILES && err == ERR_OK; i++) {
        err = read_file(paths[i], &content[i], why, why_bytes);
        sources.updated_ms = MAX(sources.updated_ms, content[i].changed_ms);
    }
    if (err == ERR_OK) {
        sources.models = text_of(&content[FILE_MODELS]);
        sources.providers = text_of(&content[FILE_PROVIDERS]);
        sources.extra = text_of(&content[FILE_EXTRA]);
        err = price_table_make(&sources, out, why, why_bytes);
    }
    for (u32 i = 0; i < FILES; i++) {
        free(content[i].data);
    }
    return err;
}
