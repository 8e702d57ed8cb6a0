/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed number of slots, each one read: free -> reading -> unsent -> (fingerprints: asked ->)
 * free. What is read is sent in the order in which reads ended, so content of one block
 * never travels out of order: the range lock keeps a write from coming between two reads of it.
 *
 * A read that ends while nothing may be sent (link lost, stopped, target blocked) took its blocks
 * out of their set; they go back by a merge. No cut is open then, so the merge takes nothing from
 * an epoch under way.
 *
 * All decisions are taken in one deferred task a turn of the loop (`poll`), never inside a volume's
 * callback; but for the stash being full, where tracking demands the merge at once.
 */
#include "replication/source_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/size_text.h"

#define RETRY_NS (2 * UINT64_C(1000000000))

static void source_run_poll(struct loop_task *task);
static void source_timer_fired(struct loop_timer *timer);
static void source_credit_came(struct loop_timer *timer);

int source_new(struct loop *loop, const struct source_options *options,
               const struct source_callbacks *callbacks, struct source **ret_source)
{
    struct source *source = calloc(1, sizeof(*source));
    uint64_t small = options->stash_memory_bytes >> BLOCK_SHIFT;
    struct source_policy policy = {
        .interval_ns = options->interval_ns,
        .small_blocks = small > 0 ? small : 1,
        .stashed_blocks = small + (options->stash_disk_bytes >> BLOCK_SHIFT) + 1,
        .retry_ns = RETRY_NS,
    };

    if (source == NULL)
        return -ENOMEM;
    source->magic = SOURCE_MAGIC;
    source->loop = loop;
    strncpy(source->stream, options->stream, sizeof(source->stream) - 1);
    source->volume_count = options->volume_count;
    source->stash = options->stash;
    source->callbacks = *callbacks;
    source->bandwidth_bytes = options->bandwidth_bytes;
    source->read_blocks = piece_or(options->read_blocks, SLOT_BLOCKS);
    check(source->read_blocks <= SLOT_BLOCKS);
    source_core_init(&source->core, &policy);
    list_init(&source->unsent);
    list_init(&source->poll.node);
    source->poll.run_cb = source_run_poll;
    source->timer.fired_cb = source_timer_fired;
    source->credit_timer.fired_cb = source_credit_came;
    source->token_next = loop_random(loop);
    source->volumes = calloc(options->volume_count, sizeof(source->volumes[0]));
    source->cursors = calloc(options->volume_count, sizeof(source->cursors[0]));
    source->is_initial = calloc(options->volume_count, sizeof(source->is_initial[0]));
    source->codec = payload_codec_new();
    source->packed = malloc((size_t)SLOT_BLOCKS * BLOCK_SIZE);
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        source->slots[i].source = source;
        list_init(&source->slots[i].node);
    }
    if (source->volumes == NULL || source->cursors == NULL || source->is_initial == NULL ||
        source->codec == NULL || source->packed == NULL) {
        source_free(source);
        return -ENOMEM;
    }
    memcpy(source->volumes, options->volumes, options->volume_count * sizeof(source->volumes[0]));
    *ret_source = source;
    return 0;
}

void source_free(struct source *source)
{
    if (source == NULL)
        return;
    check_magic(source, SOURCE_MAGIC);
    check(source_is_idle(source));
    loop_timer_cancel(source->loop, &source->timer);
    loop_timer_cancel(source->loop, &source->credit_timer);
    list_remove(&source->poll.node);
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        free(source->slots[i].bytes);
    payload_codec_free(source->codec);
    free(source->packed);
    free(source->cursors);
    free(source->is_initial);
    free(source->volumes);
    source->magic = 0;
    free(source);
}

bool source_is_idle(const struct source *source)
{
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        if (source->slots[i].is_reading)
            return false;
    return true;
}

bool source_may_send(const struct source *source)
{
    return source->link != NULL && source->core.is_started && source->core.is_connected &&
           !source->core.is_blocked;
}

void source_poll_soon(struct source *source)
{
    loop_defer(source->loop, &source->poll);
}

void source_free_slot(struct slot *slot)
{
    check(!slot->is_reading);
    list_remove(&slot->node);
    slot->state = SLOT_FREE;
    source_poll_soon(slot->source);
}

/* --- the core's actions ---------------------------------------------------------------------- */

static void gather_facts(const struct source *source, struct source_facts *ret_facts)
{
    *ret_facts = (struct source_facts){.now_ns = loop_now_ns(source->loop),
                                       .wall_ns = loop_wall_ns(source->loop),
                                       .stashed = stash_count(source->stash),
                                       .shipped = source->shipped_blocks,
                                       .settled = source_settled_count(source)};
    ret_facts->is_unmet = ret_facts->settled > 0 && !source->peer.is_known;
    for (unsigned i = 0; i < source->volume_count; i++) {
        const struct volume *volume = source->volumes[i];

        if (!tracking_is_on(volume))
            continue;
        ret_facts->open += blockset_count(tracking_set(volume, TRACKING_OPEN));
        ret_facts->frozen += blockset_count(tracking_set(volume, TRACKING_FROZEN));
        ret_facts->unacked += blockset_count(tracking_set(volume, TRACKING_UNACKED));
        ret_facts->suspect += blockset_count(tracking_set(volume, TRACKING_SUSPECT));
    }
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        const struct slot *slot = &source->slots[i];

        if (slot->state == SLOT_FREE)
            ret_facts->slots++;
        else if (slot->work == SLOT_COMPARE)
            ret_facts->compares++;
        else if (slot->state == SLOT_UNSENT)
            ret_facts->unsent++;
        else if (slot->work == SLOT_PRECOPY)
            ret_facts->precopies++;
        else
            ret_facts->ships++;
    }
}

static void merge_all(struct source *source)
{
    struct list *node, *next;

    /* What waits for the link was in unacked and is open again: it is read anew. */
    list_for_each(node, next, &source->unsent)
        source_free_slot(list_entry(node, struct slot, node));
    source->cut_unsent = false;
    for (unsigned i = 0; i < source->volume_count; i++) {
        if (!tracking_is_on(source->volumes[i]))
            continue;
        /* A first copy goes on where it was cut short: what arrived is compared, not sent again. */
        if (source->is_initial[i])
            (void)tracking_doubt(source->volumes[i]);
        tracking_merge(source->volumes[i]);
    }
    source->merge_count++;
}

static void clear_all(struct source *source, uint64_t epoch)
{
    for (unsigned i = 0; i < source->volume_count; i++) {
        tracking_acked(source->volumes[i]);
        source->is_initial[i] = false;
    }
    source->is_tight = false;
    source->current_wall_ns = source->core.cut_wall_ns;
    source->current_ns = source->core.cut_ns;
    source->callbacks.acked_cb(source->callbacks.arg, epoch, source->core.cut_wall_ns);
}

static void send_current(struct source *source, uint64_t wall_ns)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    uint32_t length = stream_number_encode(wall_ns, bytes);

    if (link_send_data(source->link, source->stream, STREAM_CURRENT, bytes, length, NULL, 0) < 0)
        return;
    source->current_wall_ns = wall_ns;
    source->current_ns = loop_now_ns(source->loop);
}

static void source_act(struct source *source, const struct source_action *action)
{
    switch (action->kind) {
    case SOURCE_ACTION_COMPARE:
        source_begin_compares(source);
        return;
    case SOURCE_ACTION_PRECOPY:
        source_begin_ships(source, SLOT_PRECOPY);
        return;
    case SOURCE_ACTION_SHIP:
        source_begin_ships(source, SLOT_SHIP);
        return;
    case SOURCE_ACTION_CUT:
        for (unsigned i = 0; i < source->volume_count; i++)
            tracking_cut(source->volumes[i]);
        source->callbacks.number_cb(source->callbacks.arg, source->core.epoch);
        source_poll_soon(source);
        return;
    case SOURCE_ACTION_CLOSE:
        source->cut_unsent = true;
        source_flush(source);
        return;
    case SOURCE_ACTION_MERGE:
        merge_all(source);
        source_poll_soon(source);
        return;
    case SOURCE_ACTION_ABORT:
        source->abort_unsent = true;
        source_flush(source);
        return;
    case SOURCE_ACTION_CLEAR:
        clear_all(source, action->value);
        source_poll_soon(source);
        return;
    case SOURCE_ACTION_CURRENT:
        send_current(source, action->value);
        return;
    case SOURCE_ACTION_FINISHED:
        source->callbacks.finished_cb(source->callbacks.arg);
        return;
    case SOURCE_ACTION_TIMER:
        loop_timer_set(source->loop, &source->timer, action->value);
        return;
    }
}

void source_step(struct source *source, struct source_event event)
{
    struct source_actions actions;

    gather_facts(source, &event.facts);
    source_core_step(&source->core, &event, &actions);
    for (unsigned i = 0; i < actions.count; i++)
        source_act(source, &actions.list[i]);
}

static void source_run_poll(struct loop_task *task)
{
    struct source *source = container_of(task, struct source, poll);

    check_magic(source, SOURCE_MAGIC);
    source_flush(source);
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_POLL});
}

static void source_timer_fired(struct loop_timer *timer)
{
    source_poll_soon(container_of(timer, struct source, timer));
}

static void source_credit_came(struct loop_timer *timer)
{
    source_poll_soon(container_of(timer, struct source, credit_timer));
}

/* --- the owner's calls ----------------------------------------------------------------------- */

void source_start(struct source *source, bool is_one_shot)
{
    source_step(source,
                (struct source_event){.kind = SOURCE_EVENT_START, .is_one_shot = is_one_shot});
    source_poll_soon(source);
}

void source_stop(struct source *source)
{
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_STOP});
    source_unsettle(source);
}

static void forget_compares(struct source *source)
{
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        if (source->slots[i].state == SLOT_ASKED)
            source_free_slot(&source->slots[i]);
    source->compare_volume = 0;
    source->compare_cursor = 0;
}

void source_connected(struct source *source, struct link *link, const struct generation *generation,
                      uint64_t epoch, bool has_point, const bool *is_initial)
{
    check(source->link == NULL);
    source->link = link;
    memcpy(source->is_initial, is_initial, source->volume_count * sizeof(is_initial[0]));
    source->generation = *generation;
    source->abort_unsent = true; /* whatever an earlier handshake left goes */
    source->cut_unsent = false;
    source_begin_partial(source);
    forget_compares(source);
    source_meet_life(source);
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_CONNECTED,
                                              .epoch = epoch,
                                              .has_point = has_point});
    source_poll_soon(source);
}

void source_disconnected(struct source *source)
{
    if (source->link == NULL)
        return;
    source->link = NULL;
    forget_compares(source);
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_DISCONNECTED});
    source->abort_unsent = false;
}

bool source_is_connected(const struct source *source)
{
    return source->link != NULL;
}

static bool take_ack(struct source *source, const struct link_frame_in *frame, struct err *why)
{
    struct stream_ack ack;

    if (!stream_ack_decode(frame->bytes, frame->length, &ack)) {
        err_set(why, -EPROTO, "a malformed ACK");
        return false;
    }
    struct generation generation = {.term = ack.generation.term,
                                    .site = ack.generation.site,
                                    .incarnation = ack.generation.incarnation};

    if (generation_is_equal(&generation, &source->generation) &&
        source_core_awaits_ack(&source->core, ack.epoch))
        source->callbacks.heard_cb(source->callbacks.arg, ack.epoch);
    return true;
}

void source_numbered(struct source *source, uint64_t epoch)
{
    check(epoch >= source->numbered_epoch);
    source->numbered_epoch = epoch;
    source_poll_soon(source);
}

/* The link may have gone meanwhile: then everything is open again, and the core takes no notice. */
void source_heard(struct source *source, uint64_t epoch)
{
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_ACK, .epoch = epoch});
}

static int settle_suspects(struct source *source, const struct slot *slot,
                           const struct stream_hashes *verdict)
{
    struct volume *volume = source->volumes[slot->volume];

    for (uint32_t i = 0; i < verdict->count; i++) {
        uint64_t block = slot->block + i;

        /* A host may have written it meanwhile: then it is open as well, which is enough. */
        if (!blockset_has(tracking_set(volume, TRACKING_SUSPECT), block))
            continue;
        bool differs = verdict->bytes[i / 8] >> (i % 8) & 1;
        int error = 0;

        if (differs)
            error = tracking_suspect_differs(volume, block, 1);
        else if (source->is_initial[slot->volume])
            error = source_settle_block(source, slot, block);
        else
            error = tracking_clear_suspect(volume, block, 1);
        if (error != 0)
            return error; /* it stays a suspect and is asked again */
    }
    return 0;
}

static bool take_verdict(struct source *source, const struct link_frame_in *frame, struct err *why)
{
    struct stream_hashes verdict;

    if (!stream_hashes_decode(frame->bytes, frame->length, true, &verdict)) {
        err_set(why, -EPROTO, "a malformed VERDICT");
        return false;
    }
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        struct slot *slot = &source->slots[i];

        if (slot->state != SLOT_ASKED || slot->token != verdict.token)
            continue;
        if (slot->volume != verdict.disk || slot->block != verdict.block ||
            slot->count != verdict.count) {
            err_set(why, -EPROTO, "a VERDICT over other blocks than were asked");
            return false;
        }
        settle_suspects(source, slot, &verdict);
        source_free_slot(slot);
        return true;
    }
    return true; /* of an earlier connection */
}

/* Of all that differs, in which blocks of zeros count though they take no room there. */
static uint64_t epoch_bytes(const struct source *source)
{
    struct source_facts facts;

    gather_facts(source, &facts);
    return (facts.open + facts.frozen + facts.unacked + facts.stashed) << BLOCK_SHIFT;
}

static bool take_blocked(struct source *source, const struct link_frame_in *frame, struct err *why)
{
    uint64_t needed, all;
    char text[160], amount[SIZE_TEXT_SIZE];

    if (!stream_number_decode(frame->bytes, frame->length, &needed)) {
        err_set(why, -EPROTO, "a malformed BLOCKED");
        return false;
    }
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_BLOCKED});
    all = epoch_bytes(source);
    size_text_format(all > needed ? all : needed, amount);
    snprintf(text, sizeof(text),
             "journal full at the target: one epoch needs up to %s; raise journal-max there, make "
             "room, or stop the replication",
             amount);
    source->callbacks.trouble_cb(source->callbacks.arg, text);
    return true;
}

static bool take_trouble(struct source *source, const struct link_frame_in *frame, struct err *why)
{
    struct stream_refused trouble;

    if (!stream_refused_decode(frame->bytes, frame->length, &trouble)) {
        err_set(why, -EPROTO, "a malformed TROUBLE");
        return false;
    }
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_BLOCKED});
    source->callbacks.trouble_cb(source->callbacks.arg, trouble.text);
    return true;
}

bool source_frame(struct source *source, const struct link_frame_in *frame, struct err *why)
{
    if (source->link == NULL)
        return true;
    switch (frame->type) {
    case STREAM_ACK:
        return take_ack(source, frame, why);
    case STREAM_VERDICT:
        return take_verdict(source, frame, why);
    case STREAM_BLOCKED:
        return take_blocked(source, frame, why);
    case STREAM_TROUBLE:
        return take_trouble(source, frame, why);
    case STREAM_LIFE:
        return source_take_life(source, frame, why);
    case STREAM_RESUME:
        source_step(source, (struct source_event){.kind = SOURCE_EVENT_RESUME});
        source->callbacks.trouble_cb(source->callbacks.arg, "");
        source_poll_soon(source);
        return true;
    default:
        err_set(why, -EPROTO, "a frame of type %u for a source", frame->type);
        return false;
    }
}

void source_room(struct source *source)
{
    source_poll_soon(source);
}

void source_dirtied(struct source *source)
{
    source_poll_soon(source);
}

void source_stash_full(struct source *source)
{
    source_step(source, (struct source_event){.kind = SOURCE_EVENT_STASH_FULL});
    source->callbacks.trouble_cb(source->callbacks.arg,
                                 "stash full: hosts write faster than the link ships, the epoch "
                                 "is begun anew; give the stash more space (stash-disk)");
}

void source_on_idle(struct source *source, void (*idle_cb)(void *arg), void *arg)
{
    if (source_is_idle(source)) {
        idle_cb(arg);
        return;
    }
    source->idle_cb = idle_cb;
    source->idle_arg = arg;
}

uint64_t source_epoch(const struct source *source)
{
    return source->core.epoch;
}

void source_set_epoch(struct source *source, uint64_t epoch)
{
    if (epoch > source->core.epoch)
        source->core.epoch = epoch;
}

uint64_t source_shipped_bytes(const struct source *source)
{
    return source->shipped_bytes;
}

uint64_t source_current_ns(const struct source *source, uint64_t *ret_wall_ns)
{
    *ret_wall_ns = source->current_wall_ns;
    return source->current_ns;
}
