/*
 * http.c: see http.h.
 */
#include "http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"

#define SEND_BYTES (512 * KIB) /* of a body, a system call */

struct http {
    CURL *curl;
    struct curl_slist *headers;
    char *body;
    usize body_bytes;
    usize body_room;
};

static size_t take_body(char *bytes, size_t size, size_t count, void *argument) {
    struct http *http = argument;
    usize more = size * count;
    if (http->body_bytes + more >= http->body_room) {
        usize room = MAX(2 * http->body_room, http->body_bytes + more + 1);
        char *body = realloc(http->body, room);
        if (body == NULL) {
            return 0;
        }
        http->body = body;
        http->body_room = room;
    }
    memcpy(http->body + http->body_bytes, bytes, more);
    http->body_bytes += more;
    http->body[http->body_bytes] = 0;
    return more;
}

struct http *http_open(const char *header) {
    struct http *http = calloc(1, sizeof *http);
    check(http != NULL);
    http->body_room = 64 * KIB;
    http->body = calloc(1, http->body_room);
    http->curl = curl_easy_init();
    http->headers = curl_slist_append(http->headers, "Expect:");
    http->headers = curl_slist_append(http->headers, "Content-Type: application/json");
    if (header != NULL) {
        http->headers = curl_slist_append(http->headers, header);
    }
    check(http->body != NULL && http->curl != NULL && http->headers != NULL);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT, 600L);
    curl_easy_setopt(http->curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BYTES);
    return http;
}

void http_close(struct http *http) {
    curl_slist_free_all(http->headers);
    curl_easy_cleanup(http->curl);
    free(http->body);
    free(http);
}

bool http_post(struct http *http, const char *url, const char *bytes, usize count) {
    http->body_bytes = 0;
    http->body[0] = 0;
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, bytes);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)count);
    CURLcode code = curl_easy_perform(http->curl);
    long status = 0;
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        return race_failed(url, curl_easy_strerror(code));
    }
    return status == 200 || race_failed(url, http->body);
}

char *http_body(struct http *http) {
    return http->body;
}
