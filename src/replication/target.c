/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames wait in one queue. Blocks and holes go to the replica at once and side by side; CUT and
 * ABORT are barriers: they wait for all before them, and all behind them waits for them. HASHES
 * wait for all before them, too.
 *
 * Invariants:
 *   1. A CUT is committed only when the digest over all DATA and HOLE since the last barrier is the
 *      one the source told: a frame lost between two states can never make a partial epoch whole.
 *   2. After the replica refused data, everything is dropped up to the source's ABORT: it says that
 *      the source knows, and that what follows begins a new epoch.
 *   3. An ACK is sent only after replica_commit() said "durable".
 *   4. What blocks are compared with is not older than any DATA that came before: in a first copy
 *      those go to the very disk that is read, and "equal" would let them in behind it.
 */
#include "replication/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/size_text.h"
#include "base/step.h"
#include "replication/hash_compare.h"
#include "replication/link_intake.h"
#include "wire/payload.h"
#include "wire/peer_life.h"
#include "wire/stream_message.h"

/* Behind a commit that takes long wait as many holes as the window holds. */
enum { HOLE_BYTES = 24, QUEUE_MAX = LINK_INTAKE_WINDOW / HOLE_BYTES + 4096 };
enum { TARGET_MAGIC = 0x74617267, ANSWERS_MAX = 64, PUMP_MAX = 256 };

struct item;

/* Of an item in the replica. Made when it goes there: in the queue items are small. */
struct work {
    struct replica_op op;
    struct item *item;
};

/* A frame on its way into the replica. */
struct item {
    struct list node; /* queue */
    struct target *target;
    uint16_t type;
    uint32_t counted; /* bytes of credit that go back when it is done */
    struct link *link;
    uint64_t connection;
    unsigned disk;
    uint64_t block, count;
    struct stream_cut cut;
    uint64_t wall_ns, token;
    struct work *work;
    uint32_t *crcs;
    uint8_t *bytes;
};

struct target {
    uint32_t magic;
    struct loop *loop;
    struct link *link;   /* NULL: not receiving */
    uint64_t connection; /* which; results of earlier ones are not told */
    char stream[40];
    struct replica *replica;
    struct volume **volumes;
    unsigned volume_count;
    struct target_callbacks callbacks;
    struct generation generation;
    struct list queue;
    unsigned queue_count;
    unsigned writing; /* DATA and HOLE in the replica */
    bool is_barrier;  /* CUT or ABORT in the replica */
    struct work barrier;
    bool is_dropping; /* until the source's ABORT */
    bool is_blocked;  /* for space; RESUME is owed */
    bool is_failed;   /* the replica had an error that only a restart ends */
    bool has_partial;
    uint64_t digest, block_count; /* of the partial epoch, as received */
    uint64_t life, came, met;     /* R17: see wire/peer_life.h */
    unsigned answers;             /* hash comparisons in the queue or under way */
    struct payload_codec *codec;
    struct item *abort; /* kept for the end of a connection, which may not fail */
    bool is_aborting;   /* it is in the queue or in the replica */
    struct loop_task pump;
    void (*quiet_cb)(void *arg);
    void *quiet_arg;
};

static void target_run_pump(struct loop_task *task);

bool target_is_counted(uint16_t type)
{
    return type == STREAM_DATA || type == STREAM_HOLE || type == STREAM_CUT ||
           type == STREAM_ABORT || type == STREAM_CURRENT || type == STREAM_HASHES ||
           type == STREAM_DIRTY || type == STREAM_DIRTY_END || type == STREAM_WHO;
}

int target_new(struct loop *loop, const struct target_options *options,
               const struct target_callbacks *callbacks, struct target **ret_target)
{
    struct target *target = calloc(1, sizeof(*target));

    if (target == NULL)
        return -ENOMEM;
    target->magic = TARGET_MAGIC;
    target->loop = loop;
    strncpy(target->stream, options->stream, sizeof(target->stream) - 1);
    while (target->life == 0)
        target->life = loop_random(loop);
    target->replica = options->replica;
    target->volume_count = options->volume_count;
    target->callbacks = *callbacks;
    list_init(&target->queue);
    list_init(&target->pump.node);
    target->pump.run_cb = target_run_pump;
    target->volumes = calloc(options->volume_count, sizeof(target->volumes[0]));
    target->codec = payload_codec_new();
    target->abort = calloc(1, sizeof(*target->abort));
    if (target->volumes == NULL || target->codec == NULL || target->abort == NULL) {
        target_free(target);
        return -ENOMEM;
    }
    memcpy(target->volumes, options->volumes, options->volume_count * sizeof(target->volumes[0]));
    *ret_target = target;
    return 0;
}

bool target_is_quiet(const struct target *target)
{
    return target->link == NULL && target->writing == 0 && !target->is_barrier &&
           target->answers == 0 && list_is_empty(&target->queue) && !target->has_partial;
}

uint64_t target_life(const struct target *target)
{
    check_magic(target, TARGET_MAGIC);
    return target->life;
}

void target_free(struct target *target)
{
    if (target == NULL)
        return;
    check_magic(target, TARGET_MAGIC);
    check(target->writing == 0 && !target->is_barrier && list_is_empty(&target->queue));
    list_remove(&target->pump.node);
    payload_codec_free(target->codec);
    free(target->abort);
    free(target->volumes);
    target->magic = 0;
    free(target);
}

static void pump_soon(struct target *target)
{
    loop_defer(target->loop, &target->pump);
}

static void item_free(struct item *item)
{
    struct target *target = item->target;

    /* Also when we are not connected any more: the link may well be, and its window is one for all
     * that this stream ever sends over it. */
    if (item->work != NULL && item->work != &target->barrier)
        free(item->work);
    item->work = NULL;
    if (item->counted > 0)
        link_consumed(item->link, target->stream, item->counted);
    if (item == target->abort) {
        target->is_aborting = false;
        return;
    }
    free(item->crcs);
    free(item->bytes);
    free(item);
}

static struct item *item_of(struct replica_op *op)
{
    return container_of(op, struct work, op)->item;
}

static struct replica_op *barrier_op(struct target *target, struct item *item)
{
    check(!target->is_barrier);
    target->is_barrier = true;
    target->barrier.item = item;
    item->work = &target->barrier;
    return &target->barrier.op;
}

static bool is_current(const struct item *item)
{
    return item->target->link != NULL && item->connection == item->target->connection;
}

static void send_number(struct target *target, uint16_t type, uint64_t value)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    uint32_t length = stream_number_encode(value, bytes);

    if (target->link != NULL)
        (void)link_send_control(target->link, target->stream, type, bytes, length);
}

static void send_trouble(struct target *target, int error, const char *text)
{
    struct stream_refused trouble = {.code = (uint32_t)-error};
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];

    snprintf(trouble.text, sizeof(trouble.text), "%s", text);
    uint32_t length = stream_refused_encode(&trouble, bytes);

    if (target->link != NULL)
        (void)link_send_control(target->link, target->stream, STREAM_TROUBLE, bytes, length);
}

/* --- refusals -------------------------------------------------------------------------------- */

/* A source that waits hears why: of the journal it says more than we know. */
static void say_full(struct target *target, bool is_new)
{
    uint64_t needed = replica_needed_bytes(target->replica);
    const char *disk = replica_full_disk(target->replica);
    char text[192], amount[SIZE_TEXT_SIZE];

    if (disk != NULL) {
        snprintf(text, sizeof(text),
                 "no room at the target in the store of disk %.40s: make room in its file system "
                 "there, then it goes on by itself, or stop the replication",
                 disk);
        send_trouble(target, -ENOSPC, text);
    } else {
        size_text_format(needed, amount);
        snprintf(text, sizeof(text),
                 "journal full: one epoch needs more than %s (the source says how much); raise "
                 "journal-max, make room, or stop the replication",
                 amount);
        send_number(target, STREAM_BLOCKED, needed);
    }
    if (is_new)
        target->callbacks.trouble_cb(target->callbacks.arg, text);
}

static void refuse_for_space(struct target *target)
{
    target->is_dropping = true; /* also when blocked before: a new connection took data again */
    if (target->is_blocked)
        return;
    target->is_blocked = true;
    say_full(target, true);
}

static void refuse_for_good(struct target *target, int error)
{
    char text[160];

    target->is_dropping = true;
    if (target->is_failed)
        return;
    target->is_failed = true;
    snprintf(text, sizeof(text),
             "target cannot store: %s; check the journal's and the disks' storage at the target, "
             "then restart its daemon",
             error == -EBADMSG ? "its journal is damaged, its log says where" : err_name(error));
    target->callbacks.trouble_cb(target->callbacks.arg, text);
    send_trouble(target, error, text);
}

/* The next connection begins anew, with an ABORT; there is memory again, or another one ends. */
static void refuse_for_memory(struct target *target)
{
    target->is_dropping = true;
    if (target->link != NULL)
        link_drop(target->link, "no memory at the target");
}

static void refuse(struct target *target, int error)
{
    if (error == -ENOSPC)
        refuse_for_space(target);
    else if (error == -ENOMEM)
        refuse_for_memory(target);
    else
        refuse_for_good(target, error);
}

/* --- replica operations ---------------------------------------------------------------------- */

static void write_done(struct replica_op *op, int error)
{
    struct item *item = item_of(op);
    struct target *target = item->target;

    check_magic(target, TARGET_MAGIC);
    check(target->writing > 0);
    target->writing--;
    if (error != 0)
        refuse(target, error);
    item_free(item);
    pump_soon(target);
}

static void begin_write(struct target *target, struct item *item)
{
    struct work *work = malloc(sizeof(*work));

    target->has_partial = true;
    if (work == NULL) {
        item_free(item);
        refuse_for_memory(target);
        return;
    }
    work->item = item;
    item->work = work;
    target->writing++;
    target->block_count += item->count;
    if (item->type == STREAM_HOLE) {
        target->digest =
            stream_digest(target->digest, (uint16_t)item->disk, item->block, item->count, NULL);
        replica_hole(target->replica, &work->op, item->disk, item->block, item->count, write_done);
        return;
    }
    uint8_t *crcs = (uint8_t *)item->crcs;

    target->digest =
        stream_digest(target->digest, (uint16_t)item->disk, item->block, item->count, crcs);
    for (uint64_t i = 0; i < item->count; i++)
        item->crcs[i] = get_le32(crcs + 4 * i);
    replica_data(target->replica, &work->op, item->disk, item->block, item->count, item->bytes,
                 item->crcs, write_done);
}

static void begin_partial(struct target *target)
{
    target->has_partial = false;
    target->digest = target->block_count = 0;
}

static void abort_done(struct replica_op *op, int error)
{
    struct item *item = item_of(op);
    struct target *target = item->target;

    check_magic(target, TARGET_MAGIC);
    target->is_barrier = false;
    begin_partial(target);
    if (error != 0)
        refuse_for_good(target, error);
    else if (is_current(item) && !target->is_failed)
        target->is_dropping = false;
    item_free(item);
    target_space(target);
    pump_soon(target);
}

static void send_ack(struct target *target, uint64_t epoch)
{
    const struct generation *generation = &target->generation;
    struct stream_ack ack = {
        .generation = {generation->term, generation->site, generation->incarnation},
        .epoch = epoch};
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    uint32_t length = stream_ack_encode(&ack, bytes);

    (void)link_send_control(target->link, target->stream, STREAM_ACK, bytes, length);
}

static void commit_done(struct replica_op *op, int error)
{
    struct item *item = item_of(op);
    struct target *target = item->target;

    check_magic(target, TARGET_MAGIC);
    target->is_barrier = false;
    if (error == 0) {
        begin_partial(target);
        target->callbacks.committed_cb(target->callbacks.arg, item->cut.epoch,
                                       item->cut.cut_wall_ns);
        step_point("ack-before-send");
        if (is_current(item))
            send_ack(target, item->cut.epoch);
    } else {
        refuse(target, error);
    }
    item_free(item);
    pump_soon(target);
}

static void begin_commit(struct target *target, struct item *item)
{
    const struct stream_cut *cut = &item->cut;
    struct journal_epoch epoch = {
        .epoch = cut->epoch,
        .cut_wall_ns = cut->cut_wall_ns,
        .generation = {cut->generation.term, cut->generation.site, cut->generation.incarnation},
        .block_count = cut->block_count,
        .digest = cut->digest,
    };

    replica_commit(target->replica, barrier_op(target, item), &epoch, commit_done);
}

static bool is_whole(const struct target *target, const struct item *item)
{
    const struct stream_cut *cut = &item->cut;
    struct generation generation = {.term = cut->generation.term,
                                    .site = cut->generation.site,
                                    .incarnation = cut->generation.incarnation};
    uint64_t wall_ns;

    return generation_is_equal(&generation, &target->generation) && cut->digest == target->digest &&
           cut->block_count == target->block_count &&
           cut->epoch > replica_epoch(target->replica, &wall_ns);
}

/* R17: what the source took for settled is so as long as our memory knows of all that came. */
static void send_life(struct target *target, const struct item *item)
{
    struct peer_life life = {
        .token = item->token, .life = target->life, .came = target->came, .met = target->met};
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    uint32_t length = peer_life_encode(&life, bytes);

    target->met = item->token;
    if (is_current(item))
        (void)link_send_control(target->link, target->stream, STREAM_LIFE, bytes, length);
}

static void answer_done(void *arg, struct hash_answer *answer)
{
    struct target *target = arg;
    uint8_t bytes[STREAM_HASHES_SIZE_MAX];

    check_magic(target, TARGET_MAGIC);
    target->answers--;
    if (answer->error != 0) {
        refuse(target, answer->error);
    } else if (target->link != NULL) {
        struct stream_hashes verdict = {.token = answer->token,
                                        .disk = answer->disk,
                                        .block = answer->block,
                                        .count = answer->count,
                                        .bytes = answer->differs};
        uint32_t length = stream_hashes_encode(&verdict, true, bytes);

        (void)link_send_control(target->link, target->stream, STREAM_VERDICT, bytes, length);
    }
    pump_soon(target);
}

static void begin_compare(struct target *target, struct item *item)
{
    struct stream_hashes hashes = {.token = item->token,
                                   .disk = (uint16_t)item->disk,
                                   .block = item->block,
                                   .count = (uint32_t)item->count,
                                   .bytes = item->bytes};

    if (target->is_failed ||
        hash_compare(target->volumes[item->disk], &hashes, answer_done, target) != 0) {
        target->answers--;
        if (!target->is_failed)
            refuse_for_memory(target);
    }
    item_free(item);
}

/* --- the queue ------------------------------------------------------------------------------- */

/* True: the head was taken; false: it must wait. */
static bool take_item(struct target *target, struct item *item)
{
    bool is_patient =
        item->type == STREAM_CUT || item->type == STREAM_ABORT || item->type == STREAM_HASHES;

    if (target->is_barrier || (is_patient && target->writing > 0))
        return false;
    list_remove(&item->node);
    target->queue_count--;
    if (item->type == STREAM_DATA || item->type == STREAM_HOLE)
        target->came += item->count;
    if (item->type == STREAM_ABORT) {
        replica_abort(target->replica, barrier_op(target, item), abort_done);
    } else if (item->type == STREAM_HASHES) {
        begin_compare(target, item);
    } else if (item->type == STREAM_WHO) {
        send_life(target, item);
        item_free(item);
    } else if (target->is_dropping) {
        item_free(item);
    } else if (item->type == STREAM_CURRENT) {
        target->callbacks.current_cb(target->callbacks.arg, item->wall_ns);
        item_free(item);
    } else if (item->type != STREAM_CUT) {
        begin_write(target, item);
    } else if (is_whole(target, item)) {
        begin_commit(target, item);
    } else {
        struct link *link = target->link;

        item_free(item);
        if (link != NULL)
            link_drop(link, "an epoch that is not whole: digest, generation or number is wrong");
        target->is_dropping = true;
    }
    return true;
}

static void tell_quiet(struct target *target)
{
    if (target_is_quiet(target))
        target->callbacks.settled_cb(target->callbacks.arg);
    if (target->quiet_cb != NULL && target_is_quiet(target)) {
        void (*quiet_cb)(void *arg) = target->quiet_cb;

        target->quiet_cb = NULL;
        quiet_cb(target->quiet_arg);
    }
}

static void target_run_pump(struct loop_task *task)
{
    struct target *target = container_of(task, struct target, pump);

    check_magic(target, TARGET_MAGIC);
    for (unsigned i = 0; !list_is_empty(&target->queue); i++) {
        if (i == PUMP_MAX) { /* hosts of other disks come between */
            pump_soon(target);
            return;
        }
        /* A taken item is unlinked before it is freed. */
        if (!take_item(target, list_entry(target->queue.next, struct item, node))) /* NOLINT */
            return;
    }
    tell_quiet(target);
}

static void item_init(struct item *item, struct target *target, uint16_t type, uint32_t counted)
{
    *item = (struct item){.target = target,
                          .type = type,
                          .counted = counted,
                          .link = target->link,
                          .connection = target->connection};
    list_init(&item->node);
}

static struct item *item_new(struct target *target, uint16_t type, uint32_t counted)
{
    struct item *item = malloc(sizeof(*item));

    if (item != NULL)
        item_init(item, target, type, counted);
    return item;
}

static void queue_item(struct target *target, struct item *item)
{
    list_append(&target->queue, &item->node);
    target->queue_count++;
    pump_soon(target);
}

/* --- connection ------------------------------------------------------------------------------ */

void target_connected(struct target *target, struct link *link, const struct generation *generation)
{
    check(target->link == NULL);
    target->link = link;
    target->connection++;
    target->generation = *generation;
    target->is_dropping = true; /* until its first ABORT */
    if (target->is_failed)
        send_trouble(target, -EIO,
                     "target cannot store: restart its daemon after a check of its "
                     "storage");
    else if (target->is_blocked)
        say_full(target, false);
}

void target_disconnected(struct target *target)
{
    struct list *node, *next;

    if (target->link == NULL)
        return;
    target->link = NULL;
    target->is_dropping = true;
    list_for_each(node, next, &target->queue)
    {
        struct item *item = list_entry(node, struct item, node);

        list_remove(node);
        target->answers -= item->type == STREAM_HASHES;
        item_free(item);
    }
    target->queue_count = 0;
    pump_soon(target);
    /* That of the connection before is in the replica: nothing came after it. */
    if (target->is_aborting)
        return;
    /* A commit under way ends as it ends; what is partial goes. */
    if (target->has_partial || target->writing > 0 || target->is_barrier) {
        item_init(target->abort, target, STREAM_ABORT, 0);
        target->abort->connection = 0;
        target->is_aborting = true;
        queue_item(target, target->abort);
    }
}

bool target_is_connected(const struct target *target)
{
    return target->link != NULL;
}

void target_space(struct target *target)
{
    if (!target->is_blocked || replica_needed_bytes(target->replica) > 0 ||
        replica_full_disk(target->replica) != NULL)
        return;
    target->is_blocked = false;
    target->callbacks.trouble_cb(target->callbacks.arg, "");
    if (target->link != NULL)
        (void)link_send_control(target->link, target->stream, STREAM_RESUME, NULL, 0);
}

void target_on_quiet(struct target *target, void (*quiet_cb)(void *arg), void *arg)
{
    target->quiet_cb = quiet_cb;
    target->quiet_arg = arg;
    tell_quiet(target);
}

/* --- frames ---------------------------------------------------------------------------------- */

static bool is_inside(const struct target *target, unsigned disk, uint64_t block, uint64_t count)
{
    if (disk >= target->volume_count)
        return false;
    uint64_t size = volume_block_count(target->volumes[disk]);

    return block < size && count <= size - block;
}

static int unpack(struct target *target, struct item *item, const struct stream_data *data)
{
    size_t length = (size_t)data->count << BLOCK_SHIFT;

    item->crcs = malloc(4 * (size_t)data->count);
    item->bytes = aligned_alloc(BLOCK_SIZE, length);
    if (item->crcs == NULL || item->bytes == NULL)
        return -ENOMEM;
    memcpy(item->crcs, data->crcs, 4 * (size_t)data->count);
    if (data->codec == STREAM_CODEC_ZSTD) {
        int error =
            payload_decompress(target->codec, data->bytes, data->length, item->bytes, length);

        if (error != 0)
            return error;
    } else {
        memcpy(item->bytes, data->bytes, length);
    }
    for (uint32_t i = 0; i < data->count; i++)
        if (crc32c(0, item->bytes + ((size_t)i << BLOCK_SHIFT), BLOCK_SIZE) !=
            get_le32(data->crcs + 4 * (size_t)i))
            return -EBADMSG;
    return 0;
}

static bool take_data(struct target *target, const struct link_frame_in *frame, struct err *why)
{
    struct stream_data data;
    struct item *item;

    if (!stream_data_decode(frame->bytes, frame->length, &data) ||
        !is_inside(target, data.disk, data.block, data.count)) {
        err_set(why, -EPROTO, "a malformed DATA");
        return false;
    }
    item = item_new(target, STREAM_DATA, frame->length);
    if (item == NULL) {
        err_set(why, -ENOMEM, "no memory for DATA");
        return false;
    }
    item->disk = data.disk;
    item->block = data.block;
    item->count = data.count;
    int error = unpack(target, item, &data);

    if (error != 0) {
        item_free(item);
        err_set(why, error, "DATA of disk %u, block %llu: %s", data.disk,
                (unsigned long long)data.block, err_name(error));
        return false;
    }
    queue_item(target, item);
    return true;
}

static bool fill_small(struct target *target, const struct link_frame_in *frame, struct item *item)
{
    struct stream_hole hole;

    switch (frame->type) {
    case STREAM_HOLE:
        if (!stream_hole_decode(frame->bytes, frame->length, &hole))
            return false;
        item->disk = hole.disk;
        item->block = hole.block;
        item->count = hole.count;
        return is_inside(target, hole.disk, hole.block, hole.count);
    case STREAM_CUT:
        return stream_cut_decode(frame->bytes, frame->length, &item->cut);
    case STREAM_CURRENT:
        return stream_number_decode(frame->bytes, frame->length, &item->wall_ns);
    case STREAM_WHO:
        return stream_number_decode(frame->bytes, frame->length, &item->token);
    default:
        check(frame->type == STREAM_ABORT);
        return frame->length == 0;
    }
}

static bool take_small(struct target *target, const struct link_frame_in *frame, struct err *why)
{
    struct item *item = item_new(target, frame->type, frame->length);

    if (item == NULL) {
        err_set(why, -ENOMEM, "no memory for a frame");
        return false;
    }
    if (!fill_small(target, frame, item)) {
        item_free(item);
        err_set(why, -EPROTO, "a malformed frame of type %u", frame->type);
        return false;
    }
    queue_item(target, item);
    return true;
}

static bool take_hashes(struct target *target, const struct link_frame_in *frame, struct err *why)
{
    struct stream_hashes hashes;
    struct item *item;

    if (!stream_hashes_decode(frame->bytes, frame->length, false, &hashes) ||
        !is_inside(target, hashes.disk, hashes.block, hashes.count) ||
        target->answers >= ANSWERS_MAX) {
        err_set(why, -EPROTO, "malformed or too many HASHES");
        return false;
    }
    item = item_new(target, STREAM_HASHES, frame->length);
    if (item != NULL)
        item->bytes = malloc((size_t)hashes.count * STREAM_HASH_SIZE);
    if (item == NULL || item->bytes == NULL) {
        free(item);
        err_set(why, -ENOMEM, "no memory for HASHES");
        return false;
    }
    memcpy(item->bytes, hashes.bytes, (size_t)hashes.count * STREAM_HASH_SIZE);
    item->token = hashes.token;
    item->disk = hashes.disk;
    item->block = hashes.block;
    item->count = hashes.count;
    target->answers++;
    queue_item(target, item);
    return true;
}

bool target_frame(struct target *target, const struct link_frame_in *frame, struct err *why)
{
    check(target->link != NULL);
    if (target->queue_count >= QUEUE_MAX) {
        err_set(why, -EPROTO, "more frames than a source sends");
        return false;
    }
    switch (frame->type) {
    case STREAM_DATA:
        return take_data(target, frame, why);
    case STREAM_HOLE:
    case STREAM_CUT:
    case STREAM_ABORT:
    case STREAM_CURRENT:
    case STREAM_WHO:
        return take_small(target, frame, why);
    case STREAM_HASHES:
        return take_hashes(target, frame, why);
    default:
        err_set(why, -EPROTO, "a frame of type %u for a target", frame->type);
        return false;
    }
}
