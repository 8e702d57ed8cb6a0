/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts of one site: requests of all kinds on the watched places, while the engine lets them.
 *
 * 1. No two requests under way change one sector; two may change one block (512-byte writes).
 * 2. Every write has a number of its own, which its content shows.
 * 3. A request that fails although nothing was broken on purpose is a failure of the schedule.
 */
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_run.h"
#include "sim_whole.h"

static bool is_change(const struct volume_request *request)
{
    return request->op == VOLUME_WRITE || request->op == VOLUME_TRIM ||
           request->op == VOLUME_WRITE_ZEROES;
}

bool host_changes(const struct node *node, unsigned disk, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < HOST_SLOTS; i++) {
        const struct host_request *slot = &node->slots[i];
        if (slot->is_busy && slot->disk == disk && is_change(&slot->request) &&
            offset < slot->request.offset + slot->request.length &&
            slot->request.offset < offset + length)
            return true;
    }
    return false;
}

bool host_is_quiet(const struct node *node, unsigned disk)
{
    for (unsigned i = 0; i < HOST_SLOTS; i++) {
        if (node->slots[i].is_busy && node->slots[i].disk == disk)
            return false;
    }
    return true;
}

static void close_disk(void *arg)
{
    struct node *node = arg;

    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (node->must_close[i] && host_is_quiet(node, i)) {
            node->must_close[i] = false;
            if (node->whole)
                whole_disk_closed(node, i);
            else
                engine_disk_closed(node->engine, node_disk_id(node, i));
        }
    }
}

void host_close(struct node *node)
{
    if (node->engine)
        sim_site_call(node->site, close_disk, node);
}

void host_drop(struct node *node)
{
    for (unsigned i = 0; i < HOST_SLOTS; i++)
        node->slots[i].is_busy = false;
}

static const char *op_name(enum volume_op op)
{
    static const char *const names[] = {"read", "write", "flush", "trim", "zero", "cache"};

    return names[op];
}

static void check_read(struct host_request *slot)
{
    struct node *node = slot->node;
    uint64_t values[HOST_BYTES_MAX / JUDGE_SECTOR];
    uint64_t offset = slot->request.offset;
    char why[JUDGE_WHY_SIZE];

    if (!judge_values(slot->bytes, slot->request.length, slot->disk, offset, values, why)) {
        run_fail(node->run, node, "host read: %s", why);
        return;
    }
    for (uint64_t at = 0; at < slot->request.length; at += JUDGE_SECTOR) {
        unsigned sector;
        if (judge_sector(&node->run->universe, slot->disk, offset + at, &sector) &&
            !judge_read(node->line, sector, values[at / JUDGE_SECTOR], slot->issued_tick, why))
            run_fail(node->run, node, "host read: %s", why);
    }
}

static void request_done(struct volume_request *request, int error)
{
    struct host_request *slot = container_of(request, struct host_request, request);
    struct node *node = slot->node;
    struct sim_run *run = node->run;

    check(slot->is_busy);
    slot->is_busy = false;
    if (error < 0) {
        sim_trace(run->world, node->site, "host %s %llu ends with %d", op_name(request->op),
                  (unsigned long long)slot->write, error);
        if (!fate_excuses(node) && node->may_write[slot->disk])
            run_fail(run, node, "host %s on disk %u failed with %d", op_name(request->op),
                     slot->disk, error);
    } else if (node->line) {
        if (is_change(request)) {
            node->acked_count++;
            judge_answer(node->line, slot->disk, request->offset, request->length, slot->write,
                         ++run->tick, sim_now_ns(run->world), request->flags & VOLUME_FUA);
            sim_trace(run->world, node->site, "host write %llu is answered",
                      (unsigned long long)slot->write);
        } else if (request->op == VOLUME_READ) {
            check_read(slot);
        }
    }
    if (node->must_close[slot->disk])
        close_disk(node);
}

/* --- choosing -------------------------------------------------------------------------------- */

static void choose_range(struct node *node, struct host_request *slot, uint64_t grain)
{
    struct sim_run *run = node->run;
    const struct judge_span *span;
    uint64_t units, usable;

    do {
        span = &run->universe.spans[sim_random_below(run->world, run->universe.span_count)];
        usable = node_usable_bytes(node, span->disk);
    } while (span->offset >= usable); /* the first of each disk is not */
    if (usable > span->offset + span->length)
        usable = span->offset + span->length;
    units = (usable - span->offset) / grain;
    uint64_t first = sim_random_below(run->world, units);
    uint64_t count = 1 + sim_random_below(run->world, units - first);

    if (grain == JUDGE_SECTOR && count > 3)
        count = 1 + count % 3;
    slot->disk = span->disk;
    slot->request.offset = span->offset + first * grain;
    slot->request.length = count * grain;
}

/* Now and then a trim over everything: borders of regions, the whole disk. */
static void choose_trim(struct node *node, struct host_request *slot)
{
    struct sim_run *run = node->run;
    uint64_t blocks;

    choose_range(node, slot, 4096);
    if (!sim_chance(run->world, 10))
        return;
    blocks = node_usable_bytes(node, slot->disk) / 4096;
    slot->request.offset = sim_random_below(run->world, blocks) * 4096;
    slot->request.length =
        (1 + sim_random_below(run->world, blocks - slot->request.offset / 4096)) * 4096;
}

static bool choose(struct node *node, struct host_request *slot)
{
    struct sim_run *run = node->run;
    struct volume_request *request = &slot->request;
    unsigned dice = (unsigned)sim_random_below(run->world, 100);

    *request = (struct volume_request){.done_cb = request_done};
    slot->node = node;
    slot->value = 0;
    if (dice < run->flush_percent) {
        request->op = VOLUME_FLUSH;
        slot->disk = (unsigned)sim_random_below(run->world, JUDGE_DISKS);
        return true;
    }
    if (dice < 30) {
        request->op = VOLUME_READ;
        choose_range(node, slot, sim_chance(run->world, 30) ? JUDGE_SECTOR : 4096);
        slot->iov = (struct iovec){slot->bytes, request->length};
        request->iov = &slot->iov;
        request->iov_count = 1;
        return true;
    }
    request->flags = sim_chance(run->world, run->flush_percent) ? VOLUME_FUA : 0;
    if (dice < 34) {
        request->op = VOLUME_TRIM;
        choose_trim(node, slot);
    } else if (dice < 40) {
        request->op = VOLUME_WRITE_ZEROES;
        request->flags |= sim_chance(run->world, 50) ? VOLUME_NO_HOLE : 0;
        choose_range(node, slot, sim_chance(run->world, 50) ? JUDGE_SECTOR : 4096);
    } else {
        request->op = VOLUME_WRITE;
        choose_range(node, slot, sim_chance(run->world, 30) ? JUDGE_SECTOR : 4096);
        slot->value = run->next_write;
        slot->iov = (struct iovec){slot->bytes, request->length};
        request->iov = &slot->iov;
        request->iov_count = 1;
    }
    return !host_changes(node, slot->disk, request->offset, request->length);
}

static void flush_done(struct volume_request *request, int error)
{
    struct host_request *slot = container_of(request, struct host_request, request);

    if (error == 0 && slot->node->line)
        judge_flushed(slot->node->line, slot->disk, slot->issued_tick);
    request_done(request, error);
}

static void submit(void *arg)
{
    struct host_request *slot = arg;
    struct engine *engine = slot->node->engine;

    volume_submit(engine_disk_volume(engine, node_disk_id(slot->node, slot->disk)), &slot->request);
}

static void issue(struct node *node, struct host_request *slot)
{
    struct sim_run *run = node->run;
    struct volume_request *request = &slot->request;

    if (!choose(node, slot))
        return;
    slot->is_busy = true;
    run->figures.actions++;
    slot->issued_tick = ++run->tick;
    if (request->op == VOLUME_FLUSH)
        request->done_cb = flush_done;
    if (is_change(request)) {
        slot->write = run->next_write++;
        run->figures.writes++;
        node->is_known = false;
        if (request->op == VOLUME_WRITE)
            judge_fill(slot->bytes, request->length, slot->disk, request->offset, slot->value);
        judge_issue(node->line, slot->disk, request->offset, request->length, slot->write,
                    slot->value, slot->issued_tick);
    }
    sim_trace(run->world, node->site, "host %s%s disk %u at %llu (block %llu) length %llu%s%llu",
              op_name(request->op), request->flags & VOLUME_FUA ? " FUA" : "", slot->disk,
              (unsigned long long)request->offset, (unsigned long long)request->offset / 4096,
              (unsigned long long)request->length, is_change(request) ? ", write " : ", tick ",
              (unsigned long long)(is_change(request) ? slot->write : slot->issued_tick));
    sim_site_call(node->site, submit, slot);
}

void host_issue(struct node *node)
{
    for (unsigned i = 0; i < HOST_SLOTS; i++) {
        if (!node->slots[i].is_busy && node_is_open(node)) {
            issue(node, &node->slots[i]);
            return;
        }
    }
}

static void host_turn(void *arg)
{
    struct node *node = arg;
    struct sim_run *run = node->run;
    unsigned burst = sim_chance(run->world, 20) ? HOST_SLOTS : 1;

    if (run->is_calm || run_is_over(run))
        return;
    for (unsigned i = 0; i < HOST_SLOTS && burst > 0; i++) {
        if (!node->slots[i].is_busy && node_is_open(node) && !sim_site_is_paused(node->site)) {
            issue(node, &node->slots[i]);
            burst--;
        }
    }
    /* Now and then hosts rest so long that the intent log takes them for gone. */
    if (run->has_rests && sim_random_below(run->world, 300) == 0)
        sim_after(run->world, 8 * SIM_SECOND + sim_random_below(run->world, 12 * SIM_SECOND),
                  host_turn, node);
    else
        sim_after(run->world, 1 + sim_random_below(run->world, run->think_ns * 2), host_turn, node);
}

void host_start(struct node *node)
{
    sim_after(node->run->world, sim_random_below(node->run->world, 10 * SIM_MS), host_turn, node);
}
