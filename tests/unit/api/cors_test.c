/* cors_test.c: what is a list of origins. What is done with one is for the system tests. */
#include "api/cors.h"

#include <criterion/criterion.h>

Test(cors, lists) {
    static const char *const good[] = {"",
                                       "*",
                                       " * ",
                                       "https://app.example",
                                       "http://localhost:3000,https://a.example:8443",
                                       "https://a.example, https://b.example\thttp://[::1]:80"};
    static const char *const bad[] = {"app.example",
                                      "https://",
                                      "https://a.example/",
                                      "https://a.example/path",
                                      "https://A.example",
                                      "*,https://a.example",
                                      "https://a.example,*",
                                      "https://*.example",
                                      "null",
                                      "ftp://a.example",
                                      "https://a.example\r\nX: y",
                                      "https://user@a.example"};
    for (usize i = 0; i < ARRAY_COUNT(good); i++) {
        cr_expect(cors_is_list(good[i]), "\"%s\"", good[i]);
    }
    for (usize i = 0; i < ARRAY_COUNT(bad); i++) {
        cr_expect(!cors_is_list(bad[i]), "\"%s\"", bad[i]);
    }
}
