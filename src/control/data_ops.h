/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control wing needs of the data wing, as messages. The control loop fills a
 * struct data_request, which is embedded in whatever waits for it, and submits it; the daemon's
 * bridge carries it to the data loop with `message`, acts on the engine and the NBD server there,
 * carries it back and calls done_cb ON THE CONTROL LOOP, once, never from inside submit().
 *
 * Strings and arrays of the inputs stay valid until done_cb. Outputs are plain memory inside the
 * request, but `snapshot`, `snapshots` and `reply`, which the wing allocates with malloc() and the
 * control wing frees. On an error (`error` < 0) outputs other than `why` are undefined.
 *
 * Upward, the wing reports struct data_event through events_cb, on the control loop as well.
 *
 * Exports belong to the data wing: control says which disks hosts should reach (ATTACH, DETACH);
 * the wing exports such a disk, under its id, exactly while the engine says that hosts may write
 * it, and follows engine_callbacks.disk_access_cb by itself, so that a failover opens and a fence
 * closes without a hop to the control loop. Snapshots of a disk are exported read-only by their id
 * as long as they exist. All this is volatile: after a start control opens and attaches anew.
 */
#ifndef CONTROL_DATA_OPS_H
#define CONTROL_DATA_OPS_H

#include "io/loop.h"

enum { DATA_DISKS_MAX = 128, DATA_CALL_BYTES_MAX = 1 << 20 };

enum data_op {
    /* disk, driver, path ("": the default store), size_bytes, create. Out: size_bytes.
     * -EEXIST (create), -ENOENT, -EBUSY (in use), -ENOSPC, -EINVAL (size) ... with why;
     * -EUCLEAN (create): it failed, and what was made could not be taken away. */
    DATA_DISK_OPEN,
    /* disk, remove (the default store's file is deleted; an imported one never). -EBUSY: in a
     * stream. */
    DATA_DISK_CLOSE,
    /* disk, size_bytes (not less than it has). Durable when done; hosts see it when they connect
     * anew. In a stream: at its target, or at its source once the target's disk is as large
     * (-EAGAIN; -EHOSTUNREACH); -EBUSY elsewhere. -ENOSPC; with why. */
    DATA_DISK_GROW,
    /* disk, offset. It is in no stream and detached: what lies there becomes zeros (holes where the
     * store can), a bounded piece from `offset` on. Out: offset: where it goes on; is_whole: that
     * was the last one, and all of them are durable. -EBUSY: in a stream, or hosts may reach it. */
    DATA_DISK_WIPE,
    /* disk, label, reason. It is in no stream and detached: what it holds stays as a snapshot of
     * that label; one of the same reason goes. -EBUSY as above. */
    DATA_DISK_KEEP,
    /* disk: hosts should reach it from now on. Out: is_exported, why (when it is not yet). */
    DATA_DISK_ATTACH,
    /* disk: not any more; done when the export is gone and no request of a host is under way. */
    DATA_DISK_DETACH,
    /* stream, peer, is_source, create, disks[], disk_count. -EEXIST (create), -ENOENT (not
     * create): nothing is there. */
    DATA_STREAM_OPEN,
    /* stream, remove (the journal's content is given up). Ends it for good; may take long. -ENOENT
     * is no harm; -EUCLEAN: the journal cannot be brought into the disks. */
    DATA_STREAM_REMOVE,
    DATA_STREAM_START,     /* stream, one_shot. Durable when done; starting twice is no error. */
    DATA_STREAM_STOP,      /* stream. Stopping twice is no error. */
    DATA_STREAM_FAILOVER,  /* stream, point (0: newest). -ENODATA: no recovery point. When it is
                              promoted already: 0. */
    DATA_STREAM_REPROTECT, /* stream, reverse. -EHOSTUNREACH, -EBUSY (the losing side is open). When
                              it was done already (role no longer promoted): -EALREADY. */
    DATA_STREAM_FORCE_OPEN, /* stream, reason */
    /* stream, fence. The peer has given the relation up: a source stops; `fence`: hosts write over
     * there, so it closes its disks. Done again it is no error. */
    DATA_STREAM_PART,
    DATA_STATUS,          /* Out: snapshot, of everything. */
    DATA_SNAPSHOT_LIST,   /* disk. Out: snapshots, snapshot_count. */
    DATA_SNAPSHOT_REMOVE, /* snapshot_id. -ENOENT, -EBUSY (a client reads it). */
    /* peer, bytes, length, timeout_ns. Out: reply, reply_length. -EHOSTUNREACH at once when the
     * link is down, -ETIMEDOUT. */
    DATA_CALL,
    DATA_CALL_REPLY, /* call, bytes, length: the answer to a DATA_EVENT_CALL. */
    /* All disks and streams of the records are open: start the links. */
    DATA_START,
    DATA_OP_COUNT
};

struct data_stream_disk {
    char disk[40];
    bool is_seeded; /* held a copy in another stream before: compare, do not copy blindly */
};

/* As engine.h's roles. */
enum data_role { DATA_ROLE_SOURCE, DATA_ROLE_TARGET, DATA_ROLE_PROMOTED, DATA_ROLE_FENCED };

/* As struct engine_stream_status; see there for what each field means. */
struct data_stream_status {
    char id[40], peer[64];
    enum data_role role;
    bool is_started, is_one_shot, is_connected, has_point, is_initial, is_draining, is_waiting_peer,
        is_open;
    uint64_t generation_term;
    uint64_t epoch_acked, epoch_applied;
    uint64_t point_wall_ns, current_wall_ns, point_age_ns;
    uint64_t backlog_bytes, total_bytes, shipped_bytes, journal_bytes, journal_needed_bytes;
    char full_disk[40];
    char trouble[400];
    unsigned disk_count;
    /* In the order of the disks given at the opening. Unshipped: backlog not yet on its way. */
    uint64_t disk_backlog_bytes[DATA_DISKS_MAX], disk_unshipped_bytes[DATA_DISKS_MAX];
};

struct data_peer_status {
    char name[64];
    bool is_up;
    char why[320]; /* why it is down */
    uint64_t round_trip_ns, bytes_out, bytes_in;
};

struct data_disk_status {
    char id[40];
    bool is_attached, may_write, is_exported;
    unsigned connections;
    char why[240];  /* why hosts may not write */
    bool is_fenced; /* its store failed a sync: hosts get errors */
    /* Of hosts, since the disk was opened; as struct volume_counters. */
    uint64_t reads, writes, read_bytes, write_bytes, read_ns, write_ns, errors, full;
};

/* One allocation: the arrays lie behind the head, in the order of the fields. */
struct data_snapshot {
    char loop[16]; /* which implementation the data loop is */
    unsigned stream_count, peer_count, disk_count;
    struct data_stream_status *streams;
    struct data_peer_status *peers;
    struct data_disk_status *disks;
};

/* A kept state of a disk (a snapshot layer, R15), exported read-only by its id. */
struct data_disk_snapshot {
    char id[40], disk[40], label[64], reason[64];
    uint64_t created_wall_ns, expires_wall_ns, kept_bytes, size_bytes;
};

struct data_request {
    enum data_op op;
    void (*done_cb)(struct data_request *request);
    void *arg; /* the requester's */

    /* Inputs; which ones: see each operation. */
    const char *disk, *driver, *path, *stream, *peer, *snapshot_id, *reason, *label;
    uint64_t size_bytes, offset, point, call, timeout_ns;
    bool create, remove, is_source, one_shot, reverse, fence;
    const struct data_stream_disk *disks;
    unsigned disk_count;
    const void *bytes;
    uint32_t length;

    /* Outputs. */
    int error; /* 0 or a negative errno */
    char why[480];
    bool is_exported, is_whole;
    struct data_snapshot *snapshot;
    struct data_disk_snapshot *snapshots;
    unsigned snapshot_count;
    void *reply;
    uint32_t reply_length;

    /* The wing's. */
    struct loop_message message;
    void *private[4];
};

enum data_event_kind {
    DATA_EVENT_STREAM_CHANGED,    /* name: stream */
    DATA_EVENT_DISK_ACCESS,       /* name: disk; is_on: hosts may write; why */
    DATA_EVENT_DISK_GROWN,        /* name: disk; size_bytes: durable, whoever asked for it */
    DATA_EVENT_SNAPSHOTS_CHANGED, /* name: disk */
    /* Found at the start; why. name: disk (or snapshot) of which a damaged snapshot was set aside,
     * is_on; or a stream that nobody opened. */
    DATA_EVENT_FOUND,
    DATA_EVENT_PEER, /* name: peer; is_on: the link is up; why */
    DATA_EVENT_CALL, /* name: peer; call, bytes, length: answer with DATA_CALL_REPLY */
};

/* Valid during events_cb only. */
struct data_event {
    enum data_event_kind kind;
    char name[64];
    bool is_on;
    char why[480];
    uint64_t call, size_bytes;
    const void *bytes;
    uint32_t length;
};

typedef void (*data_events_fn)(void *arg, const struct data_event *event);

/* The data wing as control sees it; all slots required. */
struct data_ops {
    void (*submit)(void *wing, struct data_request *request);
};

#endif
