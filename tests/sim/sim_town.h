/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who lives between two whole sites: the founder, who makes the watched group (two disks at each
 * site, a pair for each, one group); an attendant at each site, who attaches and detaches its
 * disks; the operator (sim_operator.c), whose acts become calls; the clerk, who makes, uses and
 * deletes disks, pairs and groups of his own, and meddles with the watched group. All ask the API.
 *
 * Functions do nothing in a run without a town.
 */
#ifndef SIM_TOWN_H
#define SIM_TOWN_H

#include "model/replica_state.h"
#include "sim_run.h"

enum {
    TOKENS_JUDGED = 4096,
    CLERK_DISKS = 3,
    CLERK_RELATIONS = 6,
    ACT_SLOTS = 64,
    FORGETTINGS = 256,
    CLERK_SPOTS = 3,
    CLERK_NUMBERS = 1 << 14
};

struct client_call;
struct attempt;

struct acting {
    struct node *node;
    unsigned serial;
};

struct clerk_relation {
    char id[40];
    bool is_group;
};

/* A relation as a site has it (sim_forget.c). */
struct forget_glance {
    bool is_known, is_source, is_attached; /* a disk of it, to hosts */
    enum replica_state state;
    int64_t term;
    unsigned life;
    enum stream_role role; /* STREAM_ROLE_COUNT: it has no stream */
};

/* A disk of the clerk's (sim_clerk_disk.c). */
struct clerk_copy {
    struct node *node;
    uint64_t least[CLERK_SPOTS]; /* the number that a place must show at least */
    bool is_copy, has_point;     /* has_point: what it shows is a recovery point */
    bool is_lost;                /* its journal may have been given up */
    uint64_t incarnation;        /* of what it is a copy of */
    struct nbd_export *export;   /* NULL: no hosts */
    bool is_busy, is_closing;
    unsigned spot; /* of the write under way */
    uint64_t number;
    struct volume_request request;
    struct iovec iov;
    uint8_t bytes[4096];
};

/* A Forget that was asked for. */
struct forgetting {
    struct node *node;
    char id[40];
    bool discards; /* its journal */
    struct forget_glance before;
    int64_t must_tell; /* enum tombstone_forgotten; TOMBSTONE_DELETED: nobody can say */
};

struct town {
    struct sim_run *run;
    struct client_call *calls;
    struct attempt *attempts;
    unsigned next_token;
    bool is_timed_out[TOKENS_JUDGED]; /* all answers to that token were RequestTimeout */
    unsigned step;                    /* the founder's */
    bool is_founded, is_disordered;   /* the pairs are not in the order of the disks */
    unsigned wrong;                   /* the one that is made again */
    char pair_ids[JUDGE_DISKS][40];
    struct attendant {
        struct node *node;
        bool is_asking;
        unsigned act_serial; /* of the operator's act under way */
        uint64_t act_until_ns;
        struct acting acts[ACT_SLOTS];
    } attendants[RUN_NODES];
    /* the clerk's */
    char disks[RUN_NODES][CLERK_DISKS][40];
    unsigned disk_count[RUN_NODES];
    uint64_t disk_bytes[RUN_NODES][CLERK_DISKS]; /* at least, as was answered */
    struct resizing {
        struct node *node;
        unsigned disk; /* of the clerk's */
        uint64_t bytes;
    } resizings[ACT_SLOTS];
    unsigned resizing_count;
    struct clerk_relation relations[CLERK_RELATIONS];
    struct clerk_start {
        struct node *node;
        char id[40];
        bool is_group;
    } starts[ACT_SLOTS];
    unsigned start_count;
    unsigned relation_count;
    uint64_t turn_ns;
    struct clerk_copy copies[RUN_NODES][CLERK_DISKS];
    uint64_t last_number;
    bool is_answered[CLERK_NUMBERS]; /* to the host that wrote it */
    struct forgetting forgettings[FORGETTINGS];
    unsigned forgetting_count;
    char one_sided[2000]; /* what one site has alone, since the other forgot it: ids */
    char unrest[900];     /* what was not at rest at the last nudge */
    bool must_forget; /* the other half of a group to be deleted has ended: no reprotect can help */
};

void town_make(struct sim_run *run);
void town_start(struct sim_run *run);
void town_open(struct sim_run *run); /* the same without the clerk */
void town_end(struct sim_run *run);  /* nobody asks any more */
void town_free(struct sim_run *run); /* the world is gone */
void town_node_died(struct node *node);
/* The end: one nudge; true: founded, and nothing is under way in control at either site. */
bool town_nudge(struct sim_run *run);
/* At rest: what both sites and their engines say must agree; then all that is the clerk's is
 * deleted, and nothing may be left of it. */
void town_audit(struct sim_run *run);

/* sim_clerk.c */
/* What that disk must have at least; 0: it is not the clerk's, or was not resized. */
uint64_t clerk_disk_bytes(const struct node *node, const char *id);
void clerk_start(struct sim_run *run);
/* Stops and deletes what is the clerk's; true: there is nothing any more. */
bool clerk_clears(struct sim_run *run);
/* Deletes what one site deleted while the other failed it over: "a person decides". True: no such
 * relation is left. */
bool clerk_decides(struct sim_run *run);

/* sim_audit.c */
/* The state of a relation as that site has it; false: it does not know it, or is not up. */
bool audit_state(struct node *node, const char *id, enum replica_state *ret_state);
/* Is the disk attached there? False also when nobody can say; *ret_is_known. */
bool audit_is_attached(struct node *node, const char *disk, bool *ret_is_known);
/* No job, no passing state, no creation under way; "" or what there is. */
void audit_unrest(struct node *node, char *ret_what, size_t size);
/* Has a site changes of pairs and groups that the other one was not told? A connection that is dead
 * unheard holds them. "" or which. */
void audit_untold(struct sim_run *run, char *ret_what, size_t size);
/* What troubles a stream of it; "": nothing, or it is down. */
void audit_trouble(struct node *node, char *ret_what, size_t size);
/* A rotten site refuses to delete a relation, and names the file: ends the schedule, lawfully. */
bool audit_is_kept_by_rot(struct node *node);
void audit_both(struct sim_run *run);

#endif
