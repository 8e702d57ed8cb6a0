/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened here, for those who ask later: every call, refused ones too, and the events of
 * replication. On the control loop.
 *
 * No answer waits for it. Lines are gathered and written together: within WRITE_NS of a change or
 * an event (then synced), within a second when there are only reads (then not). A kill loses what
 * was gathered meanwhile, a power loss that and the reads since the last sync; what a call did is
 * in site.db before it was answered, whatever becomes of its line.
 *
 * Under pressure reads, calls of strangers and calls that users may not make are counted instead of
 * written, each above so many a second; a line of kind "audit" says how many. Nothing else is left
 * out, unless the database cannot be written: then the oldest of QUEUE_MAX lines go, and are
 * counted the same way.
 */
#ifndef CONTROL_AUDIT_H
#define CONTROL_AUDIT_H

#include <jansson.h>

#include "access/caller.h"
#include "control/site.h"
#include "meta/event_store.h"

struct audit;
struct operation;

/* Fills site->audit. `store` is the caller's; NULL: nothing is kept. Lines a second: reads_max (0:
 * 200), refused_max (0: 50) of strangers and as many that users may not make. */
void audit_init(struct site *site, struct event_store *store, unsigned reads_max,
                unsigned refused_max);
void audit_fini(struct site *site); /* what is gathered is written */

/* A call that was answered. Texts may be NULL or "" when they are not known. */
struct audit_call {
    const struct caller *caller; /* NULL: nobody was proven */
    const char *source,
        *key_id; /* when there is no caller: the address, the key that was claimed */
    const char *request_id, *action;
    const struct operation *operation; /* NULL: there is none of that name */
    const json_t *texts;               /* parameters */
    const json_t *body;                /* the reply or error */
    unsigned http_status;
    uint64_t began_ns; /* loop_now_ns() */
    bool is_read;
    bool is_passed; /* a peer passed it on */
};
void audit_call(struct site *site, const struct audit_call *call);

/* An event of replication; `object`: pair, group, disk, peer. */
void audit_event(struct site *site, const char *kind, enum event_severity severity,
                 const char *object, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Writes what is gathered, now: before somebody reads. */
void audit_flush(struct site *site);
struct event_store *audit_store(struct site *site); /* NULL: none */
/* Lines that were counted instead of written, since the start. */
uint64_t audit_lost(const struct site *site);

#endif
