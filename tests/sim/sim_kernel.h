/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the simulation share: the structs behind sim.h. Not for its users. */
#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include <setjmp.h>

#include "base/check.h"
#include "io/loop_ops.h"
#include "sim.h"
#include "sim_alloc.h"

/* Freed after it ran. `site`: it dies with that site; NULL: it is the world's. */
struct sim_event {
    uint64_t time_ns, order;
    struct sim_world *world;
    struct sim_site *site;
    const char *kind; /* for the hash */
    void (*run_cb)(struct sim_event *event);
    void (*call_cb)(void *arg); /* of sim_after() */
    void *arg;
    struct io_op *op;
    int64_t result;
    unsigned heap_index;
};

struct sim_random {
    uint64_t state;
};

struct sim_world {
    uint64_t seed, now_ns, event_order, hash;
    struct sim_random random, random_disk, random_net;
    bool is_traced;
    struct sim_event **heap;
    unsigned event_count, event_max;
    struct sim_site *sites[SIM_SITES_MAX];
    unsigned site_count;
    struct sim_site *running;
    jmp_buf death; /* where a crash inside `running` jumps to */
    enum sim_verdict (*step_cb)(void *arg, struct sim_site *site);
    void (*struck_cb)(void *arg);
    void *step_arg;
    bool is_struck; /* struck_cb is due */
    void (*after_cb)(void *arg, struct sim_site *site);
    void *after_arg;
    void (*born_cb)(void *arg, struct sim_site *site);
    void *born_arg;
    enum sim_net net[SIM_SITES_MAX][SIM_SITES_MAX];
    struct list listeners;
    uint16_t port_next;
    uint64_t net_latency_ns, net_bandwidth;
    struct sim_net_faults net_faults;
    struct list net_memory; /* of copies of segments, for replays */
    unsigned net_memory_count;
};

struct sim_fault {
    char part[64];
    unsigned nth;
    int error;
};

/* The file system of a site; sim_disk.c and sim_names.c. */
struct sim_disk {
    struct list names, names_durable; /* of struct sim_name, sorted by path */
    struct list name_changes;         /* not yet durable, in order */
    uint64_t pages_used, pages_max;   /* max 0: endless */
    uint64_t change_order;
    struct sim_fault faults[SIM_DISK_CALL_COUNT], misdirect;
    char misdirected[SIM_PATH_SIZE];
    unsigned stalls, sync_failed_life;
    bool tears;
    enum sim_damage damage;
    uint64_t latency_ns;
};

enum { SIM_WALLS_MAX = 16 };

/* The wall clock stood that far from virtual time, between those moments of it. */
struct sim_wall {
    uint64_t begin_ns, end_ns, offset_ns;
};

struct sim_site {
    struct sim_world *world;
    unsigned index, life;
    char name[32], boot_id[40];
    bool is_alive;
    struct sim_loop *loop;
    struct sim_random random;
    struct list deferred;        /* of struct loop_task */
    struct list file_ops, files; /* in flight; open */
    struct list sockets;         /* connections and listeners */
    struct list maps;            /* kill-safe memory mapped now */
    uint64_t wall_offset_ns;
    struct sim_wall walls[SIM_WALLS_MAX]; /* earlier offsets */
    unsigned wall_count;
    uint64_t paused_until_ns;
    struct sim_disk disk;
    unsigned crash_calls; /* 0: not armed */
    bool crash_power;
    void (*died_cb)(void *arg);
    void *died_arg, *user;
};

struct sim_loop {
    struct loop loop;
    struct sim_site *site;
    bool is_stopped;
};

/* sim_world.c */
uint64_t sim_draw(struct sim_random *random);
uint64_t sim_draw_below(struct sim_random *random, uint64_t limit);
bool sim_draw_chance(struct sim_random *random, unsigned percent);
struct sim_event *sim_event_add(struct sim_world *world, struct sim_site *site, uint64_t delay_ns,
                                const char *kind, void (*run_cb)(struct sim_event *event));
void sim_event_cancel(struct sim_event *event);
/* op->done_cb(op, result) of a site after a delay. */
struct sim_event *sim_event_done(struct sim_site *site, struct io_op *op, int64_t result,
                                 uint64_t delay_ns, const char *kind);
void sim_hash_mix(struct sim_world *world, uint64_t value);
/* Every call into the kernel, before and, where it changes something, after: a crash strikes. */
void sim_kernel_call(struct sim_site *site);

/* sim_loop.c */
struct sim_loop *sim_loop_new(struct sim_site *site);
void sim_loop_free(struct sim_loop *loop);
struct sim_site *sim_loop_site(struct loop *loop);

/* sim_inode.c: the bytes of a file, with a volatile cache */
struct sim_inode;
struct sim_inode *sim_inode_new(struct sim_site *site, bool is_folder);
struct sim_inode *sim_inode_ref(struct sim_inode *inode);
void sim_inode_unref(struct sim_inode *inode);
bool sim_inode_is_folder(const struct sim_inode *inode);
bool *sim_inode_lock(struct sim_inode *inode); /* the advisory lock */
uint64_t sim_inode_size(const struct sim_inode *inode);
void sim_inode_resize(struct sim_inode *inode, uint64_t bytes);
void sim_inode_read(const struct sim_inode *inode, uint8_t *bytes, size_t length, uint64_t offset);
/* `bytes` NULL: a hole. At once visible, volatile. 0 or -ENOSPC (a first part is written). */
int sim_inode_write(struct sim_inode *inode, const uint8_t *bytes, size_t length, uint64_t offset);
/* The run from `offset` on that is all hole or all data: its length, at most `length`. */
uint64_t sim_inode_run(const struct sim_inode *inode, uint64_t offset, uint64_t length,
                       bool *ret_is_hole);
/* What was written up to now; and: changes up to there are durable (`is_lost`: half of them). */
uint64_t sim_inode_order(const struct sim_inode *inode);
uint64_t sim_inode_newest(const struct sim_inode *inode); /* which change was the last one */
void sim_inode_sync(struct sim_inode *inode, uint64_t order, bool is_lost);
/* The pages in the cache go: what a failed sync lost shows. Nothing may be unsynced. */
void sim_inode_forget(struct sim_inode *inode);
void sim_inode_power_loss(struct sim_inode *inode, unsigned keep_percent);
/* Changes some durable bytes, and what reads show there. False: it holds no data. */
bool sim_inode_rot(struct sim_inode *inode, struct sim_random *random, uint64_t *ret_offset);
void sim_inode_poke(struct sim_inode *inode, const uint8_t *bytes, size_t length, uint64_t offset);
/* The bytes of a file that is mapped, never moved; made with the first call. */
uint8_t *sim_inode_map(struct sim_inode *inode, uint64_t bytes);

/* sim_disk.c */
void sim_disk_init(struct sim_site *site);
void sim_disk_fini(struct sim_site *site);
void sim_disk_kill(struct sim_site *site);       /* the process's files and operations */
void sim_disk_power_loss(struct sim_site *site); /* after sim_disk_kill() */
/* Does an injected fault strike this call? Its error, or 0. */
int sim_disk_fault(struct sim_site *site, enum sim_disk_call call, const char *path);

/* sim_names.c */
struct sim_inode *sim_name_find(struct sim_site *site, const char *path); /* NULL: missing */
/* Makes a name for `inode`; -ENOENT when its folder is missing. */
int sim_name_create(struct sim_site *site, const char *path, struct sim_inode *inode);
void sim_names_init(struct sim_site *site);
void sim_names_fini(struct sim_site *site);
void sim_names_power_loss(struct sim_site *site);
void sim_names_each(struct sim_site *site, void (*inode_cb)(struct sim_inode *inode, void *arg),
                    void *arg);
/* The `index`-th file that is no folder, whose path contains `part`; NULL: no more. */
struct sim_inode *sim_names_match(struct sim_site *site, const char *part, unsigned index,
                                  const char **ret_path);

/* sim_net.c */
void sim_net_kill(struct sim_site *site, bool power);
void sim_net_fini(struct sim_world *world);

#endif
