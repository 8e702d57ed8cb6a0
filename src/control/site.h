/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ground of the control wing: who we are, who the peers are, the metadata, and the way to the
 * data wing. Everything else in control/ is given a struct site. One control loop.
 */
#ifndef CONTROL_SITE_H
#define CONTROL_SITE_H

#include <jansson.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log_limit.h"
#include "control/complaint.h"
#include "control/data_ops.h"
#include "meta/meta.h"
#include "model/api_error.h"

enum { SITE_PEERS_MAX = 8 };

struct audit;
struct monitor;
struct pulse;
struct event_store;
struct directory;
struct jobs;
struct roster;
struct roster_sync;
struct secret_box;
struct spent;
struct signature;
struct sync;

/* Calls passed on, of each direction, unanswered: few enough that the consents they need, as many
 * again, and what the sites tell each other find a place among the calls of the link (1024). */
enum { SITE_PASSED_MAX = 448 };

struct site_peer {
    char name[RECORD_WORD_SIZE], region[RECORD_WORD_SIZE], zone[RECORD_WORD_SIZE];
    unsigned passed_count, taken_count; /* calls passed on to it; by it */
    bool is_up;
    char why[480]; /* why it is down */
};

/* What could not be opened, or not be deleted, for the status. */
struct site_trouble {
    struct list node;
    char id[RECORD_ID_SIZE];
    char text[sizeof(((struct err *)NULL)->text)]; /* whole: what to do stands at its end */
};

/* 0: the default; of bytes: no limit. */
struct site_quota {
    unsigned pairs, groups, empty_groups, disks; /* at this site */
    unsigned group_pairs;                        /* of one group */
    uint64_t group_bytes, disk_bytes;            /* of one group; of all disks */
};

struct site_options {
    const char *name, *region, *zone;
    struct {
        const char *name, *region, *zone;
    } peers[SITE_PEERS_MAX];
    unsigned peer_count;
    const char *nbd_socket; /* path of the unix socket, NULL: none; for URIs only */
    const char *nbd_listen; /* "HOST:PORT", NULL: none */
    const char *endpoint;   /* where clients reach the API, for DescribeRegions; NULL: not told */
    struct site_quota quota;
    unsigned tokens_max;           /* remembered replies; 0: 65536 */
    const char *account_id;        /* in ARNs, of the installation; NULL: 1000000000000001 */
    struct secret_box *secret_box; /* outlives the wing; NULL: no access keys */
    uint64_t retry_min_ns;         /* of jobs; 0: 25 ms */
    uint64_t retry_max_ns;         /* 0: 5 s */
    uint64_t call_timeout_ns;      /* of calls to a peer inside an operation; 0: 2.5 s */

    /* The record of events (audit.h). */
    struct event_store *events; /* outlives the wing; NULL: nothing is recorded */
    unsigned audit_reads_max, audit_refused_max;
    bool is_strict;             /* what the contract forbids is forbidden, where we could do it */
    const char *disks_folder;   /* where disks without a path lie, stays there; NULL: not told */
    const char *monitor_folder; /* of the samples of disks; NULL: none are taken */
};

struct site {
    uint32_t magic;
    struct loop *loop;
    struct meta *meta;
    const struct data_ops *data_ops;
    void *data_wing;
    char name[RECORD_WORD_SIZE], region[RECORD_WORD_SIZE], zone[RECORD_WORD_SIZE];
    char account_id[RECORD_WORD_SIZE];
    char nbd_socket[108], nbd_listen[64];
    struct site_peer peers[SITE_PEERS_MAX];
    unsigned peer_count;
    char endpoint[128];
    const char *disks_folder; /* "": not told */
    struct site_quota quota;
    uint64_t retry_min_ns, retry_max_ns, call_timeout_ns;
    struct data_snapshot *snapshot; /* the newest; NULL before the first */
    unsigned pending_count;         /* data requests under way */
    bool is_ready;                  /* start is done: operations may run */
    bool is_stopping;
    bool is_strict;       /* the contract's refusals, also where we could do more */
    struct list troubles; /* struct site_trouble: of a relation each */
    bool is_sharing;      /* several operations share a transaction: see sharing.h */
    int share_error;      /* it can only be rolled back */
    bool has_shared;      /* some part of it changed records, and stands */
    struct list held;     /* calls that wait for its commit */
    struct list joining;  /* calls that begin one at the end of this turn of the loop */
    struct loop_task join_task;
    bool is_snapshot_stale; /* something was done since */
    uint64_t snapshot_ns;   /* when it came */
    struct list calls;      /* operations under way here (struct call) */
    unsigned left_count;    /* of them: those whose caller was answered */
    struct list consents;   /* of calls that were passed on (struct consent) */
    struct list openings;   /* of streams (struct opening) */
    struct list growths;    /* of disks, that a peer began (struct quota_growth) */
    json_t *grown;          /* keys: disks that are larger than their records say; NULL: none */
    unsigned tokens_max;
    struct { /* whose oldest tokens go past their number; token.c, rule 4 */
        char uid[RECORD_WORD_SIZE];
        unsigned left;     /* so many of his, until all are counted again */
        uint64_t position; /* his before it have gone */
    } token_sweep;
    int64_t token_base_s; /* the clock of tokens stood here at token_base_ns; 0: not known yet */
    uint64_t token_base_ns;
    struct loop_timer token_timer;
    struct signature *signature; /* for the digests of tokens */
    struct audit *audit;
    struct directory *directory;   /* callers, in memory; empty until is_ready */
    struct secret_box *secret_box; /* the owner's; NULL: no access keys can be made */
    struct roster *roster;
    struct roster_sync *roster_sync;
    struct monitor *monitor; /* NULL: none */
    struct pulse *pulse;     /* NULL: none */
    struct jobs *jobs;
    struct sync *sync;
    struct spent *spent;
    /* A nonce that was used elsewhere: API_OK: it is used here from now on; API_NONCE_USED: it was
     * before; API_SERVICE_UNAVAILABLE. Given by api/; NULL: nothing is signed here. */
    enum api_error (*take_nonce_cb)(void *arg, const char *key_id, const char *nonce,
                                    int64_t time_s);
    void *take_nonce_arg;
    struct log_limit malformed_limit; /* lines about calls of peers that make no sense */
    struct complaint complaint;       /* lines about metadata that cannot be changed */
};

enum { SITE_MAGIC = 0x73697465 };

int site_init(struct site *site, struct loop *loop, struct meta *meta,
              const struct site_options *options, struct err *err);
void site_fini(struct site *site); /* nothing pending */

/* Submits `request` (op and inputs filled; the rest zero). */
void site_submit(struct site *site, struct data_request *request,
                 void (*done_cb)(struct data_request *request));
/* To be called first in each done_cb: what the data wing did changes its status. */
void site_done(struct site *site);
/* Instead, for DATA_CALL and DATA_CALL_REPLY: it carried words and did nothing. */
void site_carried(struct site *site);

/* Takes over a fresh snapshot (the outputs of DATA_STATUS). */
void site_take_snapshot(struct site *site, struct data_request *request);
/* Is it young enough for those who only look? */
bool site_snapshot_is_fresh(const struct site *site);
/* NULL: not open here, or nothing known yet. */
const struct data_stream_status *site_stream(const struct site *site, const char *id);
const struct data_disk_status *site_disk(const struct site *site, const char *id);

struct site_peer *site_peer_named(struct site *site, const char *name);
/* The peer in that region and zone; a NULL zone matches any. */
struct site_peer *site_peer_in(struct site *site, const char *region, const char *zone);

/* A stream of that id cannot be opened, or not be deleted, and why; "": it can, or is gone. */
void site_note_trouble(struct site *site, const char *id, const char *text);
const char *site_trouble(const struct site *site, const char *id);

int64_t site_now_s(struct site *site);
uint64_t site_random(void *arg); /* for id_make(); arg is the site */

#endif
