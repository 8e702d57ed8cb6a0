/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what is no HTTP is answered on the library's threads and reaches nobody who records calls;
 * yet who probes a door is what the record is asked for. And a line for each would let strangers
 * push all others out of it.
 *
 * Between the threads is a short queue; what does not fit is counted. Who was told of when is the
 * loop's alone.
 */
#include "http/http_refusals.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"

enum { QUEUE_MAX = 64 };

struct note {
    char source[64], request_id[ID_SIZE];
    unsigned status;
    const char *code, *message;
};

/* An address of which a line was told. */
struct talker {
    char source[64];
    uint64_t told_ns; /* 0: free */
    unsigned more;
};

struct http_refusals {
    struct loop *loop;
    http_refused_fn told_cb; /* NULL: given up by its owner */
    void *arg;
    pthread_mutex_t lock; /* over these */
    struct note queue[QUEUE_MAX];
    unsigned count, missed;
    bool is_posted;
    struct loop_message message;
    struct talker talkers[HTTP_REFUSAL_ADDRESSES]; /* the loop's, with the next */
    unsigned others;
};

static void drain(struct loop_message *message);

struct http_refusals *http_refusals_new(struct loop *loop, http_refused_fn told_cb, void *arg)
{
    struct http_refusals *refusals = calloc(1, sizeof(*refusals));

    if (!refusals)
        return NULL;
    refusals->loop = loop;
    refusals->told_cb = told_cb;
    refusals->arg = arg;
    refusals->message.run_cb = drain;
    check(pthread_mutex_init(&refusals->lock, NULL) == 0);
    return refusals;
}

void http_refusals_free(struct http_refusals *refusals)
{
    if (!refusals)
        return;
    refusals->told_cb = NULL;
    if (refusals->is_posted)
        return; /* the message frees it */
    pthread_mutex_destroy(&refusals->lock);
    free(refusals);
}

void http_refusals_note(struct http_refusals *refusals, const char *source, unsigned status,
                        const char *code, const char *message, const char *request_id)
{
    bool is_first = false;

    check(pthread_mutex_lock(&refusals->lock) == 0);
    if (refusals->count < QUEUE_MAX) {
        struct note *note = &refusals->queue[refusals->count++];

        *note = (struct note){.status = status, .code = code, .message = message};
        snprintf(note->source, sizeof(note->source), "%s", source);
        snprintf(note->request_id, sizeof(note->request_id), "%s", request_id);
        is_first = !refusals->is_posted;
        refusals->is_posted = true;
    } else {
        refusals->missed++;
    }
    check(pthread_mutex_unlock(&refusals->lock) == 0);
    if (is_first)
        loop_post(refusals->loop, &refusals->message);
}

/* --- the loop -------------------------------------------------------------------------------- */

/* The address's, else one that is free or said long ago; NULL: all are taken. */
static struct talker *find_talker(struct http_refusals *refusals, const char *source,
                                  uint64_t now_ns)
{
    struct talker *found = NULL;

    for (unsigned i = 0; i < HTTP_REFUSAL_ADDRESSES; i++) {
        struct talker *talker = &refusals->talkers[i];

        if (talker->told_ns != 0 && strcmp(talker->source, source) == 0)
            return talker;
        if (talker->told_ns == 0 || now_ns - talker->told_ns >= HTTP_REFUSAL_SPAN_NS)
            found = talker;
    }
    if (found) {
        refusals->others += found->more;
        *found = (struct talker){0};
        snprintf(found->source, sizeof(found->source), "%s", source);
    }
    return found;
}

static void tell(struct http_refusals *refusals, const struct note *note, uint64_t now_ns)
{
    struct talker *talker = find_talker(refusals, note->source, now_ns);
    struct http_refusal refusal = {.source = note->source,
                                   .request_id = note->request_id,
                                   .status = note->status,
                                   .code = note->code,
                                   .message = note->message};

    if (!talker) {
        refusals->others++;
        return;
    }
    if (talker->told_ns != 0 && now_ns - talker->told_ns < HTTP_REFUSAL_SPAN_NS) {
        talker->more++;
        return;
    }
    refusal.more = talker->more;
    refusal.others = refusals->others;
    talker->more = refusals->others = 0;
    talker->told_ns = now_ns > 0 ? now_ns : 1;
    refusals->told_cb(refusals->arg, &refusal);
}

static void drain(struct loop_message *message)
{
    struct http_refusals *refusals = container_of(message, struct http_refusals, message);
    uint64_t now_ns = loop_now_ns(refusals->loop);
    struct note notes[QUEUE_MAX];
    unsigned count;

    check(pthread_mutex_lock(&refusals->lock) == 0);
    count = refusals->count;
    memcpy(notes, refusals->queue, count * sizeof(*notes));
    refusals->others += refusals->missed;
    refusals->count = refusals->missed = 0;
    refusals->is_posted = false;
    check(pthread_mutex_unlock(&refusals->lock) == 0);
    if (!refusals->told_cb) {
        http_refusals_free(refusals);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        tell(refusals, &notes[i], now_ns);
}
