/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: the only door to files, sockets, time and randomness.
 *
 * Three implementations stand behind it: io_uring (io/uring), epoll with worker threads
 * (io/threads), and the simulated one (tests/sim) with virtual time, disks with volatile caches and
 * a network that cuts and delays. All pass tests/lib/loop_cases.h.
 *
 * A loop belongs to one thread. Everything here but loop_post() and loop_stop() is called on it,
 * and all callbacks run on it, never from inside the call that submitted the operation. An
 * operation struct is embedded in the object that waits for it and must stay until its callback
 * ran; so the operations in flight are bounded by the objects that exist.
 *
 * Times are nanoseconds. Results are a byte count or 0, or a negative errno.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/list.h"

struct loop;
struct io_op;
struct sync_note;

typedef void (*io_done_fn)(struct io_op *op, int64_t result);

struct io_op {
    io_done_fn done_cb;
    uint64_t private[16]; /* the implementation's */
};

struct loop_message {
    void (*run_cb)(struct loop_message *message);
    struct loop_message *next; /* the loop's */
};

struct loop_task {
    void (*run_cb)(struct loop_task *task);
    struct list node; /* the loop's; list_init() before first use */
};

struct loop_timer {
    void (*fired_cb)(struct loop_timer *timer);
    uint64_t deadline_ns;
    uint64_t private[2]; /* zeroed before first use: the loop's */
};

enum loop_kind { LOOP_AUTO, LOOP_URING, LOOP_THREADS };

/* Makes a loop for the calling thread to run. LOOP_AUTO takes io_uring where the kernel lets us
 * (probed), else threads; asking for LOOP_URING where it is forbidden is an error. */
int loop_new(enum loop_kind kind, struct loop **ret_loop, struct err *err);
void loop_free(struct loop *loop);        /* must be stopped and hold no open file or socket */
const char *loop_name(struct loop *loop); /* "uring", "threads", "simulated" */

void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_stop(struct loop *loop); /* from any thread */

uint64_t loop_now_ns(struct loop *loop);  /* monotonic, taken once a turn */
uint64_t loop_wall_ns(struct loop *loop); /* since the Unix epoch, UTC */
uint64_t loop_random(struct loop *loop);  /* 64 bits; from the seed when simulated */
/* Which start of the kernel this is: equal values mean that the page cache survived, and that no
 * sync failed since, if loop_watch_syncs() was called. */
const char *loop_boot_id(struct loop *loop);
/* From now on failed syncs are noted, and what an earlier process noted is heeded
 * (io/sync_note.h). Before anything is opened; the note must outlive the loop's files. */
void loop_watch_syncs(struct loop *loop, struct sync_note *note);

/* Runs message->run_cb on `loop`'s thread soon. From any thread; wakes the loop. */
void loop_post(struct loop *loop, struct loop_message *message);
/* Runs task->run_cb once, after the callbacks of this turn and before the loop waits or submits.
 * Queueing a queued task does nothing. This is where output of a turn is gathered. */
void loop_defer(struct loop *loop, struct loop_task *task);

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer); /* no callback; idempotent */

#endif
