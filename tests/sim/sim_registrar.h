/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registrar: a second operator of whole sites. Through the API of either site he makes and
 * deletes users, access keys and policies, attaches, changes and detaches them, tags and untags
 * pairs, groups and disks, renames relations, moves them between resource groups; now and then the
 * same at both sites in one moment. What he is told is judged against the site's records in the
 * moment of the answer; what the sites have, by sim_roster.c.
 *
 * He is there in half of the schedules of whole sites and draws from a stream of his own.
 * Functions do nothing in a run without him.
 */
#ifndef SIM_REGISTRAR_H
#define SIM_REGISTRAR_H

#include "sim_kernel.h"
#include "sim_roster.h"

enum { ERRANDS_MAX = 48, REGISTRAR_KEYS_MAX = 32 };

enum errand_kind {
    ERRAND_CREATE_USER,
    ERRAND_DELETE_USER,
    ERRAND_CREATE_KEY,
    ERRAND_UPDATE_KEY,
    ERRAND_DELETE_KEY,
    ERRAND_CREATE_POLICY,
    ERRAND_PUT_POLICY,
    ERRAND_DELETE_POLICY,
    ERRAND_ATTACH,
    ERRAND_DETACH,
    ERRAND_TAG,
    ERRAND_UNTAG,
    ERRAND_MODIFY,
    ERRAND_KIND_COUNT
};

/* One call, with what was asked for. */
struct errand {
    struct registrar *registrar;
    struct node *node;
    enum errand_kind kind;
    bool is_busy;
    char user[16], policy[16], key[40], resource[40], text[16];
    bool flag;         /* enables; denies; takes all tags away */
    bool is_elsewhere; /* the call is passed on */
    unsigned tag, tag_count;
    unsigned attempts; /* that began at a site */
    /* When this attempt began at the site: */
    unsigned serial; /* of errands there */
    bool is_alone;   /* no other was under way */
    bool is_settled; /* nor one that was passed on */
    unsigned abroad_count;
    int64_t written[ROSTER_KIND_COUNT + 1];
};

struct site_options;

struct registrar {
    struct sim_run *run;
    struct sim_random random;
    struct roster roster;
    struct errand errands[ERRANDS_MAX];
    uint64_t turn_ns;
    unsigned serial; /* makes each text another */
    bool clears;     /* at the end nothing is left */
    char keys[REGISTRAR_KEYS_MAX][40];
    unsigned key_count;
    unsigned abroad, abroad_count; /* errands that are passed on, without an answer; in all */
    struct {
        unsigned serial, under_way; /* errands that began in this life; without an answer */
    } desks[RUN_NODES];
};

/* Before run_make_whole(). */
void run_choose_registrar(struct sim_run *run);
void registrar_start(struct sim_run *run);
/* sim_quota.c: small quotas in some of the schedules. */
void registrar_choose_quota(struct registrar *registrar);
void registrar_set_quota(const struct node *node, struct site_options *options);
void registrar_free(struct sim_run *run);
void registrar_booted(struct node *node); /* its records are open */
void registrar_died(struct node *node);
/* Calm: "" or what the two sites do not agree on yet. */
void registrar_unrest(struct sim_run *run, char *ret_what, size_t size);
/* Asks that, at that site. */
void registrar_send(struct registrar *registrar, struct node *node, const struct errand *wanted);

/* sim_registrar_end.c: at rest doors are tried; in some runs all of his is deleted, true: there is
 * nothing left of it. */
void registrar_audit(struct sim_run *run);
bool registrar_clears(struct sim_run *run);

/* sim_errand.c, as the site: an attempt begins; it was answered. */
void errand_asked(void *arg);
void errand_seen(void *arg, unsigned status, const char *reply);
void errand_document(const struct errand *errand, char *ret_text, size_t size);
void errand_tag(const struct errand *errand, unsigned nth, char ret_key[16], char ret_value[16]);

#endif
