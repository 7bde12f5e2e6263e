/*
 * account_race.c: credentials are looked up by several threads while keys are made, reset and
 * revoked, times of last use are written and warnings queued, all under ThreadSanitizer.
 */
#include "account/keys.h"
#include "account/outbox.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS 2
#define ROUNDS 40

struct shared {
    struct accounts *accounts;
    char steady[KEY_TEXT_BYTES + 1]; /* a key that stays */
    _Atomic bool stop;
    _Atomic u64 found;
};

static void *look_up(void *context) {
    struct shared *shared = context;
    struct identity identity;
    i64 now_ms = 1000000;
    while (!atomic_load(&shared->stop)) {
        now_ms += 1000;
        struct slice key = {shared->steady, KEY_TEXT_BYTES};
        check(accounts_authenticate(shared->accounts, key, now_ms, &identity) == ERR_OK);
        check(identity.account == ACCOUNT_DEFAULT && identity.key == 1);
        atomic_fetch_add(&shared->found, 1);
    }
    return NULL;
}

static void *write_down(void *context) {
    struct shared *shared = context;
    for (u64 used = 0; !atomic_load(&shared->stop); used++) {
        check(keys_flush_used(shared->accounts) == ERR_OK);
        check(outbox_warn_usage(shared->accounts, ACCOUNT_DEFAULT, used, 100, 1000) == ERR_OK);
    }
    return NULL;
}

static void change(struct shared *shared) {
    const struct key_request request = {.name = NULL, .scopes = SCOPE_ALL};
    char text[KEY_TEXT_BYTES + 1];
    struct key_info key;
    struct identity identity;
    for (i64 i = 0; i < ROUNDS; i++) {
        enum err err =
            keys_create(shared->accounts, ACCOUNT_DEFAULT, &request, 1000 + i, text, &key);
        check(err == ERR_OK);
        struct slice old = {text, KEY_TEXT_BYTES};
        check(accounts_authenticate(shared->accounts, old, 5000, &identity) == ERR_OK);
        check(identity.key == key.id);
        char fresh[KEY_TEXT_BYTES + 1];
        err = keys_reset(shared->accounts, ACCOUNT_DEFAULT, key.id, 2000 + i, fresh, &key);
        check(err == ERR_OK);
        check(accounts_authenticate(shared->accounts, old, 5000, &identity) == ERR_NOT_FOUND);
        err = keys_revoke(shared->accounts, ACCOUNT_DEFAULT, key.id, true, 3000 + i);
        check(err == ERR_OK);
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int main(void) {
    char dir[] = "/tmp/account-race-XXXXXX";
    char why[256];
    struct control *control;
    static struct shared shared;
    const struct key_request request = {.name = "steady", .scopes = SCOPE_ALL};
    struct key_info key;
    pthread_t thread[READERS + 1];
    check(mkdtemp(dir) != NULL);
    check(control_open(dir, true, &control, why, sizeof why) == ERR_OK);
    check(accounts_open(control, &shared.accounts) == ERR_OK);
    enum err err = keys_create(shared.accounts, ACCOUNT_DEFAULT, &request, 1, shared.steady, &key);
    check(err == ERR_OK);
    for (u32 i = 0; i < READERS; i++) {
        check(pthread_create(&thread[i], NULL, look_up, &shared) == 0);
    }
    check(pthread_create(&thread[READERS], NULL, write_down, &shared) == 0);
    change(&shared);
    atomic_store(&shared.stop, true);
    for (u32 i = 0; i <= READERS; i++) {
        pthread_join(thread[i], NULL);
    }
    check(keys_get(shared.accounts, ACCOUNT_DEFAULT, 1, &key) == ERR_OK);
    check(key.last_used_ms >= 1000000);
    accounts_close(shared.accounts);
    control_close(control);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    printf("account_race: %llu look-ups\n", (unsigned long long)atomic_load(&shared.found));
    return 0;
}
