/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated world: virtual time, one seed, sites with disks that have volatile caches, and a
 * network that delays and cuts. Whole engines run in it unchanged, behind struct loop. What can go
 * wrong, and how, stands in README.md.
 *
 * The same seed and the same calls give the same events in the same order, always: sim_hash()
 * proves it. One thread; worlds do not share anything but the allocator's table.
 */
#ifndef SIM_H
#define SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/loop.h"

struct sim_world;
struct sim_site;
struct sim_event;
struct io_file;

enum { SIM_SITES_MAX = 4, SIM_PAGE_BYTES = 4096, SIM_PATH_SIZE = 512 };

#define SIM_US 1000ull
#define SIM_MS 1000000ull
#define SIM_SECOND 1000000000ull

/* --- the world ------------------------------------------------------------------------------- */

struct sim_world *sim_world_new(uint64_t seed);
/* Sites still alive die with it. */
void sim_world_free(struct sim_world *world);
uint64_t sim_now_ns(const struct sim_world *world);
/* Runs the next event; false: none is left. */
bool sim_world_step(struct sim_world *world);
/* Runs all events up to that time; then it is that time. */
void sim_world_run_until(struct sim_world *world, uint64_t time_ns);
/* Runs events until is_done(arg), looked at after each event; false: the deadline came first, or
 * nothing is left. */
bool sim_world_run_for(struct sim_world *world, bool (*is_done)(void *arg), void *arg,
                       uint64_t deadline_ns);
/* after_cb(arg, site) behind each event, outside of every site; `site` (NULL: the world's) is whose
 * event it was. NULL ends it. */
void sim_world_watch(struct sim_world *world, void (*after_cb)(void *arg, struct sim_site *site),
                     void *arg);
/* Runs run_cb(arg) at that delay, outside of every site. */
struct sim_event *sim_after(struct sim_world *world, uint64_t delay_ns, void (*run_cb)(void *arg),
                            void *arg);
void sim_after_cancel(struct sim_event *event); /* before it ran */

/* Over every event so far: time, site, kind, result. */
uint64_t sim_hash(const struct sim_world *world);
uint64_t sim_random(struct sim_world *world);                       /* 64 bits */
uint64_t sim_random_below(struct sim_world *world, uint64_t limit); /* 0 .. limit - 1 */
bool sim_chance(struct sim_world *world, unsigned percent);

/* Story lines on standard output: "[seconds] site: text". `site` NULL: the world's. */
void sim_trace_on(struct sim_world *world);
void sim_trace(struct sim_world *world, const struct sim_site *site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- sites ----------------------------------------------------------------------------------- */

/* A machine whose process has just begun: sim_site_loop() is its loop, its disk is empty. */
struct sim_site *sim_site_new(struct sim_world *world, const char *name);
const char *sim_site_name(const struct sim_site *site);
struct loop *sim_site_loop(struct sim_site *site); /* NULL while it is dead */
/* Its wall clock minus virtual time. */
uint64_t sim_site_wall_offset_ns(const struct sim_site *site);
/* Its wall clock jumps, back too (negative). */
void sim_site_wall_jump(struct sim_site *site, int64_t delta_ns);
/* The earliest virtual time at which its wall clock may have shown that; 0: never did. */
uint64_t sim_site_wall_moment(const struct sim_site *site, uint64_t wall_ns);
bool sim_site_is_alive(const struct sim_site *site);
/* A living process stands still that long: nothing of it runs; its kernel and the world go on. */
void sim_site_pause(struct sim_site *site, uint64_t duration_ns);
bool sim_site_is_paused(const struct sim_site *site);
/* Whatever its user wants to find again from a loop. */
void sim_site_user_set(struct sim_site *site, void *user);
void *sim_site_user(const struct sim_site *site);
unsigned sim_site_life(const struct sim_site *site); /* counts restarts, from 1 */
/* Runs fn(arg) as the site: what it allocates is the site's. Everything that calls into code of the
 * site must go through here, except callbacks, which already run so. False: the site is dead, or
 * died inside (an armed crash): fn did not return. */
bool sim_site_call(struct sim_site *site, void (*fn)(void *arg), void *arg);
/* For harness code in a callback of a site: what it allocates between these is not the site's. */
const void *sim_outside_begin(void);
void sim_outside_end(const void *before);

/* The process ends here: no callback runs, its memory is gone, its sockets close; files keep every
 * byte. Never from inside the site. */
void sim_site_kill(struct sim_site *site);
/* The machine loses power: as a kill, and what was not synced survives or not, at random. The
 * process may be dead already. */
void sim_site_power_loss(struct sim_site *site);
/* The next process of a dead site. */
void sim_site_restart(struct sim_site *site);
/* Arms a death at the `calls`-th call into the simulated kernel from now (1 is the next), so that
 * it falls between any two steps of the code. died_cb runs outside, just after. 0 disarms. */
void sim_site_crash_after(struct sim_site *site, unsigned calls, bool power,
                          void (*died_cb)(void *arg), void *arg);

/* A step: a call of a site into its kernel, or an event of a site (a completion, a timer, a
 * message), just before it runs. */
enum sim_verdict {
    SIM_GO_ON,
    SIM_STOP,      /* struck_cb(arg) runs outside of every site as soon as this turn ends */
    SIM_STOP_DIES, /* the same, and the site dies here (by a power loss when `power`) */
    SIM_STOP_DIES_POWER,
};

/* Asks at each step; `site`: whose step it is. NULL ends it. */
void sim_steps_watch(struct sim_world *world,
                     enum sim_verdict (*step_cb)(void *arg, struct sim_site *site),
                     void (*struck_cb)(void *arg), void *arg);

struct sim_site *sim_world_running(const struct sim_world *world); /* NULL: none */
/* From inside the site that runs, whose process ends here, as by abort(): struck_cb follows.
 * Returns when none runs. */
void sim_site_abort(struct sim_world *world);

/* Called for each site alive, and for each process that begins from now on. */
void sim_lives_watch(struct sim_world *world, void (*born_cb)(void *arg, struct sim_site *site),
                     void *arg);

/* --- disks (one file system a site) ---------------------------------------------------------- */

enum sim_disk_call { SIM_DISK_READ, SIM_DISK_WRITE, SIM_DISK_SYNC, SIM_DISK_CALL_COUNT };

/* The nth call (1 is the next) of that kind on a path that contains `part` fails with `error`
 * (negative), also blocking ones. nth 0 takes it away. One at a time for each kind. */
void sim_disk_fail(struct sim_site *site, enum sim_disk_call call, const char *part, unsigned nth,
                   int error);
/* Did a sync fail in this life, or, when it has ended, in the last one? */
bool sim_disk_sync_failed(const struct sim_site *site);
/* Room of the file system; 0: endless. What is already written stays. */
void sim_disk_limit(struct sim_site *site, uint64_t bytes_max);
/* No injected fault, no limit any more. */
void sim_disk_repair(struct sim_site *site);
uint64_t sim_disk_used(const struct sim_site *site);
/* What the volatile cache keeps at power losses; of names, too. */
enum sim_damage {
    SIM_DAMAGE_RANDOM, /* the default: any of the others */
    SIM_DAMAGE_ALL,    /* nothing survives that no sync covers */
    SIM_DAMAGE_NONE,   /* everything survives */
    SIM_DAMAGE_PAGES,  /* each 4 KiB or not */
    SIM_DAMAGE_SECTORS /* each 512 bytes or not */
};
void sim_disk_damage(struct sim_site *site, enum sim_damage damage);
/* How unlucky power losses are: torn writes keep any 512-byte sectors, not whole 4 KiB. */
void sim_disk_tear(struct sim_site *site, bool tears);
/* Latency of one operation: up to this (default 2 ms; syncs take ten times that). */
void sim_disk_latency(struct sim_site *site, uint64_t latency_ns_max);
/* What a read would show now, zeros behind the end; no event, no fault. False: no such file. */
bool sim_disk_peek(struct sim_site *site, const char *path, void *bytes, size_t length,
                   uint64_t offset);
/* Nothing but holes there? (Also behind the end, also when it is missing.) */
bool sim_disk_is_hole(struct sim_site *site, const char *path, uint64_t offset, uint64_t length);
/* Changes durable bytes that are there, and what reads show: nothing that could happen. */
void sim_disk_poke(struct sim_site *site, const char *path, const void *bytes, size_t length,
                   uint64_t offset);
void sim_file_peek(struct io_file *file, void *bytes, size_t length, uint64_t offset);
/* One in that many operations takes up to three seconds; 0: none. */
void sim_disk_stalls(struct sim_site *site, unsigned one_in);
/* Rot: bytes of some file whose path contains `part` change where the disk holds data. Writes the
 * path to ret_path (size SIM_PATH_SIZE). False: no such file holds anything. */
bool sim_disk_rot(struct sim_site *site, const char *part, char *ret_path);
bool sim_disk_has(struct sim_site *site, const char *part); /* a file whose path contains it */
/* The nth write to such a file lands elsewhere in it. nth 0 takes it away. Its path, once it
 * happened: sim_disk_misdirected(). */
void sim_disk_misdirect(struct sim_site *site, const char *part, unsigned nth);
const char *sim_disk_misdirected(const struct sim_site *site); /* NULL: not yet */

/* --- network --------------------------------------------------------------------------------- */

enum sim_net { SIM_NET_OK, SIM_NET_CUT, SIM_NET_BLACKHOLE };

/* CUT: both ends of every connection get an error, what was under way is lost, connecting fails.
 * BLACKHOLE: nothing arrives and nobody is told, until it is OK again. */
void sim_net_set(struct sim_world *world, struct sim_site *a, struct sim_site *b,
                 enum sim_net state);
enum sim_net sim_net_get(struct sim_world *world, struct sim_site *a, struct sim_site *b);
void sim_net_latency(struct sim_world *world, uint64_t latency_ns_max);
void sim_net_bandwidth(struct sim_world *world, uint64_t bytes_per_second); /* 0: endless */

/* One in that many; 0: never. */
struct sim_net_faults {
    unsigned spikes;  /* segments: up to two seconds late */
    unsigned ghosts;  /* cut connections: an end hears of it seconds later, and gets till then what
                         was under way, perhaps beside the bytes of the next connection */
    unsigned repeats; /* segments: arrive twice */
    unsigned replays; /* segments: bytes of an earlier one, also of an old connection, arrive with
                         them */
};
void sim_net_trouble(struct sim_world *world, const struct sim_net_faults *faults);

#endif
