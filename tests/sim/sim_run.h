/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One schedule: two sites with whole engines, hosts that write, an operator, and faults; what the
 * parts of the harness share. Its memory is the harness's (sim_kernel_alloc), so it outlives sites.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "replication/engine.h"
#include "sim.h"
#include "sim_fate.h"
#include "sim_figures.h"
#include "sim_image.h"
#include "sim_judge.h"
#include "sim_plant.h"

enum {
    RUN_NODES = 2,
    HOST_SLOTS = 4,
    HOST_BYTES_MAX = 6 * 4096,
    SNAPSHOTS_MAX = 160,
    SNAPSHOTS_KEPT = 3, /* of a disk; the operator lets older ones go */
    JUDGED_MAX = 8,
    RUN_STREAM_DISKS = JUDGE_DISKS,
};

struct sim_run;
struct node;
struct whole;

struct host_request {
    struct volume_request request; /* first: the engine gives it back */
    struct node *node;
    struct iovec iov;
    bool is_busy;
    unsigned disk;
    uint64_t write, value, issued_tick;
    uint8_t bytes[HOST_BYTES_MAX];
};

/* A snapshot and what it must show for ever. */
struct known_snapshot {
    char id[40];
    unsigned disk;
    bool is_removed, has_expected;
    uint64_t *expected;
};

enum act { ACT_NONE, ACT_START, ACT_STOP, ACT_FAILOVER, ACT_REPROTECT };

/* A site of the schedule. */
struct node {
    struct sim_run *run;
    struct sim_site *site;
    unsigned index;
    struct node *other;
    struct whole *whole;   /* above the engine (sim_whole.h); NULL: the harness */
    struct engine *engine; /* NULL: dead, or stopped */
    struct sync_note *syncs;
    bool is_created;   /* disks and stream were made by an earlier life */
    bool is_running;   /* engine_start() was called in this life */
    bool is_read;      /* and what the site shows after its boot was judged */
    bool is_observing; /* a look at the status is due */
    struct engine_stream_status status;
    enum stream_role role; /* as last observed, over lives */
    bool has_role;

    /* hosts */
    bool may_write[JUDGE_DISKS], must_close[JUDGE_DISKS];
    bool is_paused;   /* the operator detached the disks */
    bool is_stopping; /* a clean stop is under way */
    bool is_reprotecting, reprotect_reverse;
    bool armed_power; /* the kind of an armed crash */
    bool may_fail;    /* a disk fault was injected in this life */
    struct host_request slots[HOST_SLOTS];
    uint64_t acked_count;

    /* what the judge knows */
    struct judge_line *line;           /* since this site became writable */
    struct judge_line *line_before;    /* while a target: that of its last writable time */
    struct generation line_generation; /* of either */
    bool has_crashed, lost_power;      /* since the line was last judged */
    uint64_t settled_ns;               /* when it was */
    uint64_t epoch_seen, epoch_cut_ns; /* target: newest epoch */
    struct judged {
        uint64_t epoch;
        uint64_t *image;
    } judged[JUDGED_MAX];  /* the newest points that were judged, by epoch modulo */
    uint64_t judged_epoch; /* the newest of them */
    uint64_t *known_image;
    uint64_t asked_point; /* of the last failover; 0: the newest */
    struct generation target_generation;
    bool is_known, is_judging; /* known: known_image is what this site shows, hosts being still */
    struct image *images;      /* under way */
    struct known_snapshot snapshots[SNAPSHOTS_MAX];
    unsigned snapshot_count;
    struct grower {
        struct node *node;
        unsigned disk;
        bool is_done; /* that site has it durably */
    } growers[JUDGE_DISKS];
    /* the operator's act under way */
    enum act act;
    int act_error;
    char act_why[200];
};

struct sim_run {
    struct sim_world *world;
    uint64_t seed;
    struct judge_universe universe;
    uint64_t lacking[JUDGE_DISKS]; /* bytes at a disk's end that it gets when it grows */
    bool is_grown[JUDGE_DISKS];    /* its source said so: hosts use them */
    bool keeps_promoted;           /* in calm no failover is cancelled */
    struct node nodes[RUN_NODES];
    struct engine_settings settings;
    struct pieces pieces;        /* 0s: the usual ones */
    struct town *town;           /* operators and clients of whole sites (sim_town.h); NULL: none */
    struct registrar *registrar; /* of users, keys, policies, tags (sim_registrar.h); NULL: none */
    uint64_t tick, next_write, think_ns, turn_ns, length_ns;
    unsigned storm_percent, rough_percent, flush_percent;
    bool kernel_goes_on;          /* see fate_kernel_goes_on() */
    bool has_rests, picks_points; /* picks: fails over to older points too */
    bool is_filled[RUN_NODES];    /* the disks hold something before the stream is made */
    bool dials[RUN_NODES];
    bool has_office; /* whole sites make access keys, record events, take samples of disks */
    bool is_calm;    /* settling: no faults, no hosts */
    struct fate *fate;
    struct invariants *invariants;
    enum plant plant;
    uint8_t *plant_memory[RUN_NODES];
    bool has_failed, is_refused; /* refused: a rotten site does not go on, which is lawful */
    char failure[700];
    uint64_t actions_max; /* 0: endless; else the storm ends with that action */
    struct figures figures;
};

/* It failed, or a rotten site refused. */
static inline bool run_is_over(const struct sim_run *run)
{
    return run->has_failed || run->is_refused;
}

/* The first failure is kept, and ends the schedule. */
void run_fail(struct sim_run *run, const struct node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* sim_engine.c */
const char *node_disk_id(const struct node *node, unsigned disk);
const char *node_stream_id(const struct node *node);
const char *node_role_name(enum stream_role role);
/* The site is alive: opens everything, judges what it shows, starts. */
void node_boot(struct node *node);
void node_died(struct node *node, bool power); /* by whatever way: plans the next boot */
bool node_is_open(const struct node *node);    /* hosts may be served, as far as is known here */
/* The operator's word; `flag`: one_shot, reverse. Ends with node->act == ACT_NONE. */
void node_act(struct node *node, enum act act, bool flag);
void node_failover(struct node *node, uint64_t point);
bool node_look(struct node *node); /* fresh status; false: the site is dead or not open */
uint64_t node_disk_bytes(const struct node *node, unsigned disk);   /* what its volume has */
uint64_t node_usable_bytes(const struct node *node, unsigned disk); /* by its hosts */

/* sim_witness.c: what is judged while it runs */
/* Follows what changed in the stream's status. Outside of the site. */
void node_observe(struct node *node);
/* What is about to be read: of the site as node_look() saw it. */
struct image_note witness_note(const struct node *node);
/* The image of a writable site just opened or promoted: judges it; its line goes on from there. */
void witness_writer(struct node *node, const struct image *image);
void witness_target(struct node *node, const struct image *image); /* of one just opened */
/* That epoch is the newest now, and shows these values: judges them. */
void witness_point(struct node *node, uint64_t epoch, uint64_t cut_wall_ns, const uint64_t *values);
void witness_sizes(struct node *node); /* what was told to have grown has not shrunk */
void witness_known(struct node *node, const struct image *image);
void witness_snapshots(struct node *node);

/* sim_host.c */
void host_start(struct node *node);
void host_issue(struct node *node); /* one request, if the site is open */
/* Is a change of some of these bytes under way? */
bool host_changes(const struct node *node, unsigned disk, uint64_t offset, uint64_t length);
bool host_is_quiet(const struct node *node, unsigned disk);
void host_close(struct node *node); /* tells of ended exports without requests under way */
void host_drop(struct node *node);

/* sim_operator.c */
void operator_start(struct sim_run *run);
void operator_reprotect(struct node *node, bool reverse);
void operator_lose(struct node *node, bool power);
void operator_grow(struct node *node, unsigned disk); /* that site's disk, whatever its role */
void operator_stop(struct node *node);                /* cleanly; the site boots again soon after */

bool run_settle(struct sim_run *run); /* true: both became equal, and nothing was lost */

/* sim_schedule.c */
struct sim_run *run_new(uint64_t seed, bool is_traced);
void run_free(struct sim_run *run);
bool run_go(struct sim_run *run); /* true: lawful from beginning to end */

#endif
