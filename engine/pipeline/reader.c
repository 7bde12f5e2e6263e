/*
 * reader.c: the reader threads. Whatever touches the log can wait for the disk or take long, and a
 * front thread must do neither; so it runs here, first come, first served, and is answered through
 * the front thread. There are two, so that one long read does not hold up all others.
 */
#include "pipeline/parts.h"

enum err front_job(struct front *front, struct job *job) {
    struct pipeline *pipeline = front->pipeline;
    job->front = front;
    pthread_mutex_lock(&pipeline->job_lock);
    bool full = pipeline->job_count >= JOBS_MAX;
    if (!full) {
        job_list_add(&pipeline->jobs, job);
        pipeline->job_count++;
        pthread_cond_signal(&pipeline->job_work);
    }
    pthread_mutex_unlock(&pipeline->job_lock);
    if (full) {
        count_add(&pipeline->counters.overloaded, 1);
    }
    return full ? ERR_BUSY : ERR_OK;
}

static struct job *take_job(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->job_lock);
    while (pipeline->jobs.head == NULL && !pipeline->jobs_stopping) {
        pthread_cond_wait(&pipeline->job_work, &pipeline->job_lock);
    }
    struct job *job = pipeline->jobs.head;
    if (job != NULL) {
        job->dropped = pipeline->jobs_stopping; /* nobody waits for its answer any more */
        pipeline->jobs.head = job->next;
        if (job->next == NULL) {
            pipeline->jobs.tail = NULL;
        }
        pipeline->job_count--;
    }
    pthread_mutex_unlock(&pipeline->job_lock);
    return job;
}

void *reader_run(void *context) {
    struct pipeline *pipeline = context;
    struct job *job;
    pthread_setname_np(pthread_self(), "reader");
    while ((job = take_job(pipeline)) != NULL) {
        if (!job->dropped) {
            job->run(job);
        }
        front_return_job(job);
    }
    return NULL;
}
