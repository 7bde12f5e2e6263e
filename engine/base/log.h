/*
 * log.h: log lines. One line each on stderr, `level=info event=ready http=127.0.0.1:8080`, written
 * with one write(2) so that lines of several threads never mix. Never give it a key or a password.
 */
#ifndef MARGIN_BASE_LOG_H
#define MARGIN_BASE_LOG_H

#include "base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level least);

/* `event` is a word; `format` gives "key=value key=value" (may be ""). Values with blanks must be
 * quoted by the format. Lines past 1 KiB are cut. */
void log_line(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_info(event, ...) log_line(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_line(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_ERROR, event, __VA_ARGS__)

#endif
