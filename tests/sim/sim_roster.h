/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the judge knows of users, access keys, policies, attachments and tags of two whole sites:
 * of each record the newest version that each site was seen to have. It looks at a site's records
 * after each start, with each answer to the registrar, now and then, and at rest.
 *
 *   kept       what a site had it has, or something newer, whatever it died of meanwhile
 *   one        a version is written once: it says the same wherever and whenever it is seen
 *   ended      nothing ends that nobody asked to end, and what was forgotten does not come back,
 *              nor does a key that was deleted there
 *   doors      the callers in memory are those of the records: a key opens exactly while it and
 *              its user live, its secret never changes
 *   quotas     no pair, group or disk is made beyond them
 *   tags       are at most 20 of a resource, never without one
 */
#ifndef SIM_ROSTER_H
#define SIM_ROSTER_H

#include "meta/records.h"
#include "sim_run.h"

enum { ROSTER_BUCKETS = 64, ROSTER_SECRET_SIZE = 48, ROSTER_KIND_COUNT = 4 };

/* A version of a record, as it was seen. */
struct sight {
    int64_t version; /* 0: it is not there */
    char site[16];
    bool is_deleted;
    uint64_t hash; /* of what both sites have */
};

struct roster_fact {
    struct roster_fact *next;
    enum record_kind kind;
    char id[RECORD_ACCESS_ID_SIZE];
    struct sight known[RUN_NODES]; /* when it was looked for last */
    struct sight best;
    uint64_t looks[RUN_NODES]; /* number of the look that saw it last */
    bool may_end[RUN_NODES];   /* somebody asked that site for it, in this life of it */
    char user[RECORD_WORD_SIZE], secret[ROSTER_SECRET_SIZE]; /* of a key; "": not known */
    uint64_t tags_look, tags_hash;                           /* of a set: its tags, by that look */
    unsigned tag_count;
};

struct site;

struct roster {
    struct sim_run *run;
    struct roster_fact *buckets[ROSTER_BUCKETS];
    uint64_t look_count, last_look[RUN_NODES];
    int64_t horizons[RUN_NODES][ROSTER_KIND_COUNT];
    /* The highest version that this site itself wrote, by kind; the last one: of tags. */
    int64_t written[RUN_NODES][ROSTER_KIND_COUNT + 1];
    /* Groups, pairs, disks: how many may be (0: the usual); how many of its own each site had. */
    unsigned quota[3], counts[RUN_NODES][3];
};

struct quota_count {
    const char *site;
    unsigned own;
};

void roster_facts_free(struct roster *roster);
struct roster_fact *roster_fact_of(struct roster *roster, enum record_kind kind, const char *id);
/* Calls fact_cb for each of that kind. */
void roster_facts_each(struct roster *roster, enum record_kind kind,
                       void (*fact_cb)(void *arg, struct roster_fact *fact), void *arg);

/* Looks at that site. `is_inside`: as the site; else outside of it, which does nothing when it is
 * down. Fails the run for what is wrong. `is_booting`: its records are open, nothing else. */
enum roster_look { ROSTER_INSIDE, ROSTER_OUTSIDE, ROSTER_BOOTING };
void roster_look(struct roster *roster, struct node *node, enum roster_look how);

/* sim_quota.c: nothing was made beyond the quota since the last look. `site` NULL: there
 * is none yet, what is there was made by an earlier life. */
void roster_look_at_quota(struct roster *roster, struct node *node, const struct site *site,
                          char *ret_what, size_t size);

/* Both were just looked at: "" or where they differ. */
void roster_compare(struct roster *roster, char *ret_what, size_t size);

/* Inside or outside of a site. */
void roster_fail(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
