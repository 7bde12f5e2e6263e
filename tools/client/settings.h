/* settings.h: what every command line tool needs to reach a server: an address and a key. */
#ifndef MARGIN_CLIENT_SETTINGS_H
#define MARGIN_CLIENT_SETTINGS_H

#include "base.h"

#define SETTINGS_HOST_MAX 256
#define SETTINGS_KEY_MAX 128

struct settings_address {
    char host[SETTINGS_HOST_MAX];
    u16 port;
    bool tls;
};

/* "HOST:PORT", "[IPV6]:PORT", "HOST" or ":PORT"; what is missing stays as it is in *out. With
 * "tls://" or "https://" before it, over TLS. */
bool settings_read_address(const char *text, struct settings_address *out);

/* The API key: `given` if not NULL, else the environment's MARGIN_KEY, else the first line of
 * DIR/api-key. On false `why` says what to do. */
bool settings_find_key(const char *given, const char *data_dir, char key[SETTINGS_KEY_MAX],
                       char *why, usize why_bytes);

/* A whole number from least to most; "10k" and "2M" are 10 000 and 2 000 000. */
bool settings_read_number(const char *text, u64 least, u64 most, u64 *out);

#endif
