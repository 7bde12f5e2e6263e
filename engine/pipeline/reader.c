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
    bool full = pipeline->job_count >= JOBS_MAX ||
                (job->heavy && pipeline->heavy_job_count >= HEAVY_JOBS_MAX);
    if (!full) {
        job_list_add(job->heavy ? &pipeline->heavy_jobs : &pipeline->jobs, job);
        pipeline->job_count++;
        pipeline->heavy_job_count += job->heavy;
        pthread_cond_signal(&pipeline->job_work);
    }
    pthread_mutex_unlock(&pipeline->job_lock);
    if (full) {
        count_add(&pipeline->counters.overloaded, 1);
        count_add(&pipeline->counters.jobs_refused, 1);
    }
    return full ? ERR_BUSY : ERR_OK;
}

static struct job *take_first(struct job_list *list) {
    struct job *job = list->head;
    list->head = job->next;
    if (job->next == NULL) {
        list->tail = NULL;
    }
    return job;
}

/* A heavy job goes first where it may run: there is at most one, so it cannot hold up the rest. */
static struct job *take_job(struct pipeline *pipeline) {
    struct job *job = NULL;
    pthread_mutex_lock(&pipeline->job_lock);
    for (;;) {
        bool stopping = pipeline->jobs_stopping;
        if (pipeline->heavy_jobs.head != NULL && (!pipeline->heavy_job_runs || stopping)) {
            job = take_first(&pipeline->heavy_jobs);
            pipeline->heavy_job_runs = true;
        } else if (pipeline->jobs.head != NULL) {
            job = take_first(&pipeline->jobs);
        }
        if (job != NULL || stopping) {
            break;
        }
        pthread_cond_wait(&pipeline->job_work, &pipeline->job_lock);
    }
    if (job != NULL) {
        job->dropped = pipeline->jobs_stopping; /* nobody waits for its answer any more */
        pipeline->job_count--;
    }
    pthread_mutex_unlock(&pipeline->job_lock);
    return job;
}

/* The next heavy job may run; this thread looks for it itself. */
static void end_heavy(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->job_lock);
    pipeline->heavy_job_runs = false;
    pipeline->heavy_job_count--;
    pthread_mutex_unlock(&pipeline->job_lock);
}

void *reader_run(void *context) {
    const struct reader *reader = context;
    struct pipeline *pipeline = reader->pipeline;
    struct pulse *pulse = &pipeline->pulses.reader[reader - pipeline->reader];
    struct job *job;
    pthread_setname_np(pthread_self(), "reader");
    while ((job = take_job(pipeline)) != NULL) {
        pulse_work(pulse);
        if (!job->dropped) {
            job->run(job);
        }
        if (job->heavy) {
            end_heavy(pipeline);
        }
        front_return_job(job);
        pulse_rest(pulse);
    }
    return NULL;
}
