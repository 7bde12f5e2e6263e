/* settings.c: see settings.h. */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool settings_read_number(const char *text, u64 least, u64 most, u64 *out) {
    if (*text < '0' || *text > '9') {
        return false;
    }
    char *end;
    errno = 0;
    u64 value = strtoull(text, &end, 10);
    u64 scale = *end == 'k' ? 1000 : *end == 'M' ? 1000000 : *end == 'G' ? 1000000000 : 1;
    end += scale != 1;
    if (errno != 0 || *end != 0 || value > most / scale || value * scale < least) {
        return false;
    }
    *out = value * scale;
    return true;
}

bool settings_read_address(const char *text, struct settings_address *out) {
    static const char *const schemes[] = {"tls://", "https://"};
    for (usize i = 0; i < ARRAY_COUNT(schemes); i++) {
        if (strncmp(text, schemes[i], strlen(schemes[i])) == 0) {
            text += strlen(schemes[i]);
            out->tls = true;
        }
    }
    const char *colon = strrchr(text, ':');
    const char *end = colon != NULL ? colon : text + strlen(text);
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || (bracket[1] != 0 && bracket[1] != ':')) {
            return false;
        }
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
        end = bracket;
        text++;
    }
    usize bytes = (usize)(end - text);
    if (bytes >= sizeof out->host) {
        return false;
    }
    if (bytes > 0) {
        memcpy(out->host, text, bytes);
        out->host[bytes] = 0;
    }
    u64 port = out->port;
    if (colon != NULL && !settings_read_number(colon + 1, 1, 65535, &port)) {
        return false;
    }
    out->port = (u16)port;
    return true;
}

static bool read_key_file(const char *path, char key[SETTINGS_KEY_MAX]) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool good = fgets(key, SETTINGS_KEY_MAX, file) != NULL;
    fclose(file);
    key[good ? strcspn(key, "\r\n") : 0] = 0;
    return good && key[0] != 0;
}

bool settings_find_key(const char *given, const char *data_dir, char key[SETTINGS_KEY_MAX],
                       char *why, usize why_bytes) {
    const char *text = given != NULL ? given : getenv("MARGIN_KEY");
    if (text != NULL) {
        if (strlen(text) >= SETTINGS_KEY_MAX) {
            snprintf(why, why_bytes, "the API key is too long");
            return false;
        }
        snprintf(key, SETTINGS_KEY_MAX, "%s", text);
        return true;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/api-key", data_dir);
    if (!read_key_file(path, key)) {
        snprintf(why, why_bytes,
                 "no API key: give --key, set MARGIN_KEY, or name the server's --data-dir (no key "
                 "in %s)",
                 path);
        return false;
    }
    return true;
}
