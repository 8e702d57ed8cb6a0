/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream at one site: a group or a lone pair. This unit holds its parts together: durable
 * state, tracking, source, replica, target; and says who may write. Beginning and end:
 * stream_life.c. What it becomes: meeting.c (meeting the peer), failover.c, reprotect.c.
 * They change `state`, call stream_save(), and act when it is durable.
 */
#ifndef REPLICATION_STREAM_H
#define REPLICATION_STREAM_H

#include "replication/point_age.h"
#include "replication/reprotect_state.h"
#include "replication/source.h"
#include "replication/state_file.h"
#include "replication/stream_state.h"
#include "replication/target.h"
#include "volume/base_write.h"
#include "wire/stream_message.h"

struct stream;

enum { STREAM_MAGIC = 0x7374726d };

/* Upward, to the engine. */
struct stream_callbacks {
    void (*access_cb)(void *arg, struct stream *stream); /* stream_may_write() changed */
    void (*changed_cb)(void *arg, struct stream *stream);
    /* Role or line changed, durably: the peer is told and the two meet anew. */
    void (*role_cb)(void *arg, struct stream *stream);
    /* R15: a layer of what the disk's base holds, once for each (disk, label, stream). */
    int (*snapshot_cb)(void *arg, struct stream *stream, const char *disk, const char *label,
                       struct err *err);
    /* The disk is larger, durably. */
    void (*grown_cb)(void *arg, struct stream *stream, const char *disk);
    /* Is an export of one of its disks, that had to be closed, still open? */
    bool (*is_exported_cb)(void *arg, struct stream *stream);
    void *arg;
};

struct stream_settings {
    uint64_t interval_ns, stash_memory_bytes, stash_disk_bytes, journal_bytes_max;
    uint64_t retain_ns, retain_bytes, bandwidth_bytes, peer_wait_ns, site_id, reserve_bytes;
    bool open_when_peer_silent;
    struct pieces pieces;
};

typedef void (*stream_step_fn)(struct stream *stream, int error);

struct stream {
    uint32_t magic;
    struct list node; /* the engine's */
    struct loop *loop;
    char id[40];
    char folder[256];
    struct stream_callbacks callbacks;
    struct stream_settings settings;
    struct link *link; /* of its peer */
    bool is_link_up;
    struct stream_state state;
    struct state_file *state_file;
    struct volume *volumes[STREAM_DISKS_MAX];
    struct bitfile *intents[STREAM_DISKS_MAX];
    bool has_lost_intents[STREAM_DISKS_MAX]; /* missing file: all blocks are suspect */
    struct stash *stash;
    struct source *source;   /* tracked roles */
    struct replica *replica; /* target, or what still drains */
    struct target *target;   /* target */
    bool is_open, is_ending; /* parts are there; they are being taken away */
    bool is_tracked;
    struct list orders; /* the engine's: they wait for has_opened */
    bool has_opened, has_failed_to_open;
    bool is_changed; /* the engine's: its owner is to be told */
    bool is_waiting_peer;
    const char *hold_why; /* a change of role is under way: hosts wait outside */
    /* Steps under way: holds of volumes, saves; the stream must not be freed before. */
    unsigned step_count;
    struct save_step *spare_steps;     /* for when memory is short */
    unsigned join_count, standby_next; /* of one fan-out over the disks; standby.c */
    int join_error;
    stream_step_fn join_cb;
    struct intent_save {
        struct bitfile_save save;
        struct stream *stream;
    } intent_saves[STREAM_DISKS_MAX];
    stream_step_fn rest_cb; /* waits for step_count 0 */
    struct loop_timer wait_timer, standby_timer;
    bool has_hello;     /* the peer, as of its last HELLO on this connection */
    bool hello_is_owed; /* once what the earlier connection left under way has ended */
    struct stream_hello hello;
    enum generation_verdict verdict;
    struct reprotect reprotect;
    struct growth {             /* growth.c: of one disk at a time */
        stream_done_fn done_cb; /* NULL: nobody asked, the target follows its source */
        void *arg;
        unsigned disk;
        uint64_t size_bytes;
        bool is_running, is_unsaved; /* unsaved: the state could not be stored */
        bool is_held;                /* the source's hosts wait; their exports stay */
        struct base_write sync;      /* before it begins */
        struct loop_timer timer;
    } growth;
    uint64_t durable_bytes[STREAM_DISKS_MAX]; /* sizes as the state file has them: what is told */
    stream_step_fn closed_cb;                 /* waits for exports to close */
    stream_step_fn drained_cb;
    stream_done_fn failover_cb;
    void *failover_arg;
    struct replica_op failover_op;
    uint64_t failover_point;
    int failover_error;
    stream_done_fn end_cb;
    void *end_arg;
    bool end_saves_dirty, end_brings_home;
    int end_error;
    struct loop_task end_task;
    struct base_sync *base_syncs; /* one a disk */
    unsigned base_sync_count;
    int base_sync_error;
    stream_step_fn base_synced_cb, base_sync_next_cbs[2];
    stream_step_fn opened_cb;
    uint64_t acked_wall_ns, current_wall_ns;
    struct point_age point_age;
    uint64_t committed_epoch; /* target: newest, also once the replica is closed */
    bool has_replica_trouble;
    bool has_shipped, is_exact; /* since the start; its sets are those of a clean stop */
    enum old_copy
        old_copy;          /* what the newest HELLO showed when it came: later we are ahead of it */
    bool is_hello_weighed; /* is that known yet? */
    unsigned old_copy_saves; /* numbers of epochs being made durable */
    bool peer_memory_unsaved;
    char trouble[400];
};

/* What steps need so that they can be taken: 0 or -ENOMEM; _free() of a part, too. */
int stream_make_steps(struct stream *stream, unsigned disk_count);
void stream_free_steps(struct stream *stream);
/* Makes `state` durable, then step_cb(stream, error). */
void stream_save(struct stream *stream, stream_step_fn step_cb);
void stream_save_order(struct stream *stream, stream_done_fn done_cb, void *arg);
/* Longer steps count as well: an end of the stream waits for them. */
void stream_step_begin(struct stream *stream);
void stream_step_end(struct stream *stream); /* last in a callback */
/* step_cb once no step is under way (perhaps from inside). */
void stream_wait_rest(struct stream *stream, stream_step_fn step_cb);
/* Makes the intent bits of all disks durable, then step_cb. One fan-out at a time. */
void stream_save_intents(struct stream *stream, stream_step_fn step_cb);
/* Syncs the bases of all disks, then step_cb. Asked while it is under way: once more, behind it. */
void stream_sync_bases(struct stream *stream, stream_step_fn step_cb);
/* Holds all volumes until quiet, then step_cb; it must release them. One fan-out at a time. */
void stream_hold(struct stream *stream, stream_step_fn step_cb);
void stream_release(struct stream *stream);
/* step_cb once no export is left that had to be closed; once the journal is in the base. At most
 * one wait of each kind; NULL forgets it. */
void stream_wait_closed(struct stream *stream, stream_step_fn step_cb);
void stream_wait_drained(struct stream *stream, stream_step_fn step_cb);
void stream_disk_closed(struct stream *stream);

/* Begins and ends tracking, with the source's shell. Hosts are held. */
int stream_track(struct stream *stream, struct err *err);
/* Source idle and hosts quiet. Also takes away what is there of a tracking that did not begin. */
void stream_untrack(struct stream *stream);
/* Clears all intent bits in memory (stream_save_intents() makes it durable); not tracked. */
int stream_reset_intents(struct stream *stream, struct err *err);
int stream_open_replica(struct stream *stream, struct err *err);
int stream_make_target(struct stream *stream);

bool stream_may_write(const struct stream *stream, const char **ret_why);
void stream_access_changed(struct stream *stream);
void stream_changed(struct stream *stream);
void stream_role_changed(struct stream *stream);
/* "": none. Kept until replaced. */
void stream_set_trouble(struct stream *stream, const char *text);
void stream_confirm_peer(struct stream *stream);
/* old_copy.c (R16). Make durable, then source_numbered() or source_heard(): an epoch of this number
 * was cut; the peer has it. `arg` is the stream. */
void stream_number_epoch(void *arg, uint64_t epoch);
void stream_hear_epoch(void *arg, uint64_t epoch);
/* What the newest HELLO and its line show, into stream->old_copy; remembers the peer. */
void stream_weigh_peer(struct stream *stream, const struct generation_line *theirs);
/* The sentence for the operator; NULL: no old copy. */
const char *stream_old_copy_why(const struct stream *stream);
const char *stream_waiting_why(const struct stream *stream); /* of a source that is_waiting_peer */

uint64_t stream_newest_epoch(const struct stream *stream);
void stream_send_hello(struct stream *stream);
/* Nothing of an earlier connection is under way at the target: the peer may be met. */
bool stream_is_settled(const struct stream *stream);
void stream_wire_line(const struct stream *stream, struct stream_line *ret_line);
void stream_read_line(const struct stream_line *line, struct generation_line *ret_line);
/* Data may not flow any more: source and target give up what is under way. */
void stream_disconnect(struct stream *stream);

/* Both durable at done_cb; an error returned means that nothing was begun. */
int stream_start(struct stream *stream, bool is_one_shot, stream_done_fn done_cb, void *arg,
                 struct err *err);
int stream_stop(struct stream *stream, stream_done_fn done_cb, void *arg, struct err *err);
uint64_t stream_backlog_bytes(const struct stream *stream, unsigned disk);
/* Of these, what is not on its way yet: the rest waits for the target's acknowledgement. */
uint64_t stream_unshipped_bytes(const struct stream *stream, unsigned disk);

#endif
