/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened at a site, in the order in which it was written: calls of the API and events of
 * replication. A database of its own (DATA/events.db), so that its size, its damage and its syncs
 * are no business of site.db. Calls block; one loop.
 *
 * Bounded by age and by size. Of what must go, reads, calls of strangers and denied ones go first:
 * none of these can push out more than its quarter.
 */
#ifndef META_EVENT_STORE_H
#define META_EVENT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum event_class {
    EVENT_READ,    /* a call that changes nothing */
    EVENT_REFUSED, /* a call of somebody who was not proven */
    EVENT_CHANGE,  /* any other call */
    EVENT_STATE,   /* no call */
    EVENT_DENIED,  /* a call that its user may not make */
    EVENT_CLASS_COUNT
};

enum event_severity { EVENT_INFO, EVENT_WARNING, EVENT_CRITICAL };

struct event_record {
    int64_t number; /* rises by the order of writing, never used twice; given by the store */
    int64_t wall_ms;
    enum event_class class;
    enum event_severity severity;
    char kind[32];   /* "call", "state", "link" ... */
    char object[64]; /* what it is about; "": the site */
    char text[256];
    /* Of calls: */
    char caller[64], key_id[64], source[64], request_id[40], action[64], code[96];
    int64_t status, duration_us;
};

struct event_limits {
    int64_t keep_ms;    /* 0: 90 days */
    int64_t keep_bytes; /* 0: 64 MiB; of the lines, the file is up to twice as large */
};

/* "" and 0: any. */
struct event_filter {
    const char *object, *kind, *caller, *action;
    int64_t from_ms, until_ms; /* from <= time < until */
    enum event_severity severity_min;
    bool with_reads;
    int64_t after, before; /* numbers; 0: from the oldest, or to the newest */
    bool is_backward;      /* newest first */
    unsigned count_max;
    unsigned scan_max; /* lines that are looked at, whether shown or not; 0: 10,000 */
};

struct event_store;

/* Makes the file if missing. One that is damaged or none of ours, now or later, is renamed to
 * PATH.damaged and begun anew, with a line that says so ("store"); numbers go on far above those
 * that were given out, so that nobody who follows them sees one twice. */
int event_store_open(const char *path, const struct event_limits *limits, int64_t wall_ms,
                     struct event_store **ret_store, struct err *err);
void event_store_close(struct event_store *store); /* NULL is fine */

/* One transaction; gives the numbers. `is_durable`: it survives a power loss when this returns,
 * otherwise with the next that does; either survives the end of the process. On an error nothing of
 * it is there. Old lines go as the limits say. */
int event_store_append(struct event_store *store, struct event_record *records, unsigned count,
                       bool is_durable, struct err *err);
/* *ret_records is the caller's to free(), NULL when there are none. So that a filter which matches
 * little costs no more than others, the look ends after scan_max lines: *ret_next is then what to
 * go on with as `after` (backwards: `before`), 0 when it came to the end. */
int event_store_list(struct event_store *store, const struct event_filter *filter,
                     struct event_record **ret_records, unsigned *ret_count, int64_t *ret_next,
                     struct err *err);

#endif
