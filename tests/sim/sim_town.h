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

enum { TOKENS_JUDGED = 4096, CLERK_DISKS = 3, CLERK_RELATIONS = 6, ACT_SLOTS = 64 };

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
    unsigned relation_count;
    uint64_t turn_ns;
    char unrest[900];     /* what was not at rest at the last nudge */
    bool has_left_member; /* a pair that the other site deleted is left in a group */
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
/* What troubles a stream of it; "": nothing, or it is down. */
void audit_trouble(struct node *node, char *ret_what, size_t size);
/* A rotten site refuses to delete a relation, and names the file: ends the schedule, lawfully. */
bool audit_is_kept_by_rot(struct node *node);
void audit_both(struct sim_run *run);

#endif
