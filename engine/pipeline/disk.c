/*
 * disk.c: the disk thread encodes a group as one block and commits it with one sync. The commit
 * thread hands it one group at a time and meanwhile applies and answers the group before and
 * decides the next; the log still has one writer, for only this thread appends.
 *
 * Everybody waits for its sync, and it sleeps several times in a commit: so it takes short turns.
 */
#include "base/fault.h"
#include "base/turns.h"
#include "pipeline/parts.h"

void disk_submit(struct pipeline *pipeline, const struct store_group *group) {
    pthread_mutex_lock(&pipeline->lock);
    check(pipeline->disk == DISK_IDLE);
    pipeline->disk = DISK_BUSY;
    pipeline->disk_group = group;
    pthread_mutex_unlock(&pipeline->lock);
    pthread_cond_signal(&pipeline->disk_work);
}

enum err disk_amend(struct pipeline *pipeline, const struct store_amendment *amendment,
                    const struct store_group *group) {
    pthread_mutex_lock(&pipeline->lock);
    check(pipeline->disk == DISK_IDLE);
    pipeline->disk = DISK_BUSY;
    pipeline->disk_group = group;
    pipeline->disk_amendment = amendment;
    pthread_cond_signal(&pipeline->disk_work);
    pulse_rest(&pipeline->pulses.commit); /* the commit thread's, which is the caller */
    while (pipeline->disk == DISK_BUSY) {
        pthread_cond_wait(&pipeline->work, &pipeline->lock);
    }
    pulse_work(&pipeline->pulses.commit);
    pipeline->disk_amendment = NULL;
    enum err err = pipeline->disk_err;
    pthread_mutex_unlock(&pipeline->lock);
    return err;
}

void disk_stop(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->lock);
    while (pipeline->disk == DISK_BUSY) {
        pthread_cond_wait(&pipeline->work, &pipeline->lock);
    }
    pipeline->disk = DISK_STOP;
    pthread_mutex_unlock(&pipeline->lock);
    pthread_cond_signal(&pipeline->disk_work);
}

void *disk_run(void *context) {
    struct pipeline *pipeline = context;
    pthread_setname_np(pthread_self(), "disk");
    turns_shorten();
    pthread_mutex_lock(&pipeline->lock);
    while (pipeline->disk != DISK_STOP) {
        if (pipeline->disk == DISK_IDLE) {
            pthread_cond_wait(&pipeline->disk_work, &pipeline->lock);
            continue;
        }
        const struct store_group *group = pipeline->disk_group;
        const struct store_amendment *amendment = pipeline->disk_amendment;
        struct store *store = pipeline->options.store;
        pthread_mutex_unlock(&pipeline->lock);
        pulse_work(&pipeline->pulses.disk);
        fault_point("disk.taken");
        enum err err =
            amendment != NULL ? store_amend(store, amendment, group) : store_append(store, group);
        fault_point("disk.done");
        pulse_rest(&pipeline->pulses.disk);
        pthread_mutex_lock(&pipeline->lock);
        pipeline->disk_err = err;
        pipeline->disk = DISK_IDLE;
        pthread_cond_signal(&pipeline->work);
    }
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}
