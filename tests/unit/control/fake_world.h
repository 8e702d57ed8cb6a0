/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two whole control wings in one process, with virtual time and a data wing that only pretends:
 * streams have roles and points, no bytes. What the real wing keeps on disk survives a crash here
 * too.
 */
#ifndef FAKE_WORLD_H
#define FAKE_WORLD_H

#include "api/api.h"
#include "io/loop_ops.h"
#include "meta/event_store.h"

enum {
    FAKE_DISKS = DATA_DISKS_MAX + 4,
    FAKE_STREAMS = 16,
    FAKE_TIMERS = 256,
    FAKE_CALLS = 1024,
    PARIS = 0,
    LYON = 1
};

struct fake_world;

struct fake_loop {
    struct loop loop;
    struct fake_world *world;
    struct loop_message *first, **last;
    unsigned turn_left; /* messages */
    struct list tasks;  /* deferred to the end of the turn */
    struct loop_timer *timers[FAKE_TIMERS];
};

struct fake_disk {
    char id[40];
    bool exists, is_open, is_wanted; /* wanted: hosts should reach it */
    uint64_t size;
    unsigned connections;
    bool is_fenced; /* every piece that is to become zeros fails */
    uint64_t wiped; /* so much from its beginning, since DATA_DISK_WIPE began */
    unsigned wipes; /* how often all of it was */
    unsigned kept;  /* snapshots: DATA_DISK_KEEP */
};

struct fake_stream {
    char id[40];
    bool exists, is_open;
    enum data_role role;
    bool is_started, one_shot, has_point;
    bool is_losing; /* promoted, closed by a cancel of the failover that has not ended */
    uint64_t point_wall_ns;
    unsigned disk_count;
    struct data_stream_disk disks[DATA_DISKS_MAX];
};

struct fake_call {
    struct data_request *request;
    uint64_t number;
};

struct fake_site {
    struct fake_world *world;
    const char *name, *region, *zone;
    char path[128];
    struct fake_loop *loop;
    struct meta *meta;
    struct event_store *events;
    struct secret_box *secret_box;
    struct control *control;
    struct api *api;
    bool is_alive, is_linked; /* linked: DATA_START came */
    struct fake_disk disks[FAKE_DISKS];
    struct fake_stream streams[FAKE_STREAMS];
    struct fake_call calls[FAKE_CALLS]; /* to the peer, unanswered */
    enum data_op held;                  /* requests of this kind are not carried out ... */
    bool is_holding;
    bool is_held_after; /* ... or are carried out, and never answered */
    struct data_request *held_request;
    int fail_error;      /* the next request of kind fail_op ends with it */
    unsigned fail_again; /* and so many behind it */
    enum data_op fail_op;
    bool is_stopped;
    enum record_kind unread_kind; /* the first `unread_count` listings of the next start fail */
    unsigned unread_count;
};

struct fake_world {
    uint64_t now_ns, random;
    int64_t wall_jump_ns; /* of the wall clock */
    unsigned tokens_max;  /* of sites started from now on; 0: as ever */
    bool is_net_up, is_link_up;
    uint64_t call_number;
    char folder[64];
    struct fake_site sites[2];
    struct caller caller; /* of what is asked; at first the local root */
    void *graveyard[64];  /* what crashed wings left behind */
    unsigned grave_count;
};

struct fake_world *fake_world_new(bool is_one_region);
void fake_world_free(struct fake_world *world);

void fake_site_start(struct fake_world *world, unsigned site);
/* Ends as a kill: nothing that was under way goes on; files and records stay. */
void fake_site_crash(struct fake_world *world, unsigned site);
/* From now on requests of this kind stand still (or, `after`, are done but not answered). */
void fake_hold(struct fake_world *world, unsigned site, enum data_op op, bool after);
/* What stands still goes on. */
void fake_release(struct fake_world *world, unsigned site);
void fake_net(struct fake_world *world, bool is_up);
/* Every started source with a link completes a copy now. */
void fake_copy(struct fake_world *world);
/* Runs until nothing is ready, then lets time pass up to `ns` with what falls due in it. */
void fake_run(struct fake_world *world, uint64_t ns);

/* Asks and runs until answered. The reply is the caller's; NULL: no answer within 20 s. `query` is
 * "K=V&K=V". Version follows from the action, unless it is there. */
json_t *fake_ask(struct fake_world *world, unsigned site, const char *action, const char *query,
                 unsigned *ret_status);
struct fake_asked {
    const char *action, *query;
    unsigned status; /* out; 0: no answer */
    json_t *reply;   /* out, the caller's */
};

/* Asks all of them in one moment, and runs until they are answered, 20 s at most. */
void fake_ask_together(struct fake_world *world, unsigned site, struct fake_asked *asked,
                       unsigned count);
/* Asks and does not wait. */
void fake_ask_and_forget(struct fake_world *world, unsigned site, const char *action,
                         const char *query);

/* fake_grow.c: what DATA_DISK_KEEP and DATA_DISK_GROW do; and the event of that. */
int fake_keep(struct fake_site *site, struct fake_disk *disk, struct data_request *request);
int fake_grow(struct fake_site *site, struct fake_disk *disk, struct data_request *request);
void fake_tell_size(struct fake_site *site, const struct fake_disk *disk);

struct fake_stream *fake_stream_of(struct fake_world *world, unsigned site, const char *id);
struct fake_disk *fake_disk_of(struct fake_world *world, unsigned site, const char *id);
/* By the streams' roles alone. */
bool fake_may_write(struct fake_world *world, unsigned site, const char *disk);
/* Wanted by control, and hosts may write. */
bool fake_is_exported(struct fake_world *world, unsigned site, const char *disk);

#endif
