/* err.c: names of errors and the end of a process that cannot trust itself. */
#include "base.h"

#include <string.h>
#include <unistd.h>

static const char *const names[ERR_COUNT] = {
    [ERR_OK] = "ok",
    [ERR_INVALID] = "invalid",
    [ERR_NOT_FOUND] = "not_found",
    [ERR_EXISTS] = "exists",
    [ERR_LIMIT] = "limit",
    [ERR_BUSY] = "busy",
    [ERR_NO_MEMORY] = "no_memory",
    [ERR_NO_SPACE] = "no_space",
    [ERR_IO] = "io",
    [ERR_CORRUPT] = "corrupt",
    [ERR_VERSION] = "version",
    [ERR_LOCKED] = "locked",
    [ERR_SYSTEM] = "system",
};

const char *err_text(enum err err) {
    return (u32)err < ERR_COUNT ? names[err] : "unknown";
}

static void put(const char *text) {
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

_Noreturn void check_failed(const char *condition, const char *file, int line) {
    char digits[16];
    usize at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + line % 10);
        line /= 10;
    } while (line > 0 && at > 0);
    put("level=fatal event=check_failed condition=\"");
    put(condition);
    put("\" at=");
    put(file);
    put(":");
    put(digits + at);
    put("\n");
    __builtin_trap();
}
