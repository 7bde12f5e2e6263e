/*
 * disk.c: the disk thread encodes a group as one block and commits it with one sync. The commit
 * thread hands it one group at a time and meanwhile applies and answers the group before; the log
 * still has one writer, for only this thread appends.
 */
#include "pipeline/parts.h"

void disk_submit(struct pipeline *pipeline, const struct store_group *group) {
    pthread_mutex_lock(&pipeline->disk_lock);
    check(pipeline->disk == DISK_IDLE);
    pipeline->disk = DISK_BUSY;
    pipeline->disk_group = group;
    pthread_cond_signal(&pipeline->disk_change);
    pthread_mutex_unlock(&pipeline->disk_lock);
}

enum err disk_wait(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->disk_lock);
    while (pipeline->disk == DISK_BUSY) {
        pthread_cond_wait(&pipeline->disk_change, &pipeline->disk_lock);
    }
    enum err err = pipeline->disk_err;
    pthread_mutex_unlock(&pipeline->disk_lock);
    return err;
}

void disk_stop(struct pipeline *pipeline) {
    disk_wait(pipeline);
    pthread_mutex_lock(&pipeline->disk_lock);
    pipeline->disk = DISK_STOP;
    pthread_cond_signal(&pipeline->disk_change);
    pthread_mutex_unlock(&pipeline->disk_lock);
}

void *disk_run(void *context) {
    struct pipeline *pipeline = context;
    pthread_setname_np(pthread_self(), "disk");
    pthread_mutex_lock(&pipeline->disk_lock);
    while (pipeline->disk != DISK_STOP) {
        if (pipeline->disk == DISK_IDLE) {
            pthread_cond_wait(&pipeline->disk_change, &pipeline->disk_lock);
            continue;
        }
        const struct store_group *group = pipeline->disk_group;
        pthread_mutex_unlock(&pipeline->disk_lock);
        enum err err = store_append(pipeline->options.store, group);
        pthread_mutex_lock(&pipeline->disk_lock);
        pipeline->disk_err = err;
        pipeline->disk = DISK_IDLE;
        pthread_cond_signal(&pipeline->disk_change);
    }
    pthread_mutex_unlock(&pipeline->disk_lock);
    return NULL;
}
