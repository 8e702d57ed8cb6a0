/* SPDX-License-Identifier: Apache-2.0 */
/* See pair_lab.h. */
#include "pair_lab.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "volume/volume.h"

#define MILLISECOND_NS UINT64_C(1000000)
#define LIMIT_NS (30000 * MILLISECOND_NS)

static const char *const disk_ids[SITES][DISKS] = {{"d-paris0", "d-paris1"},
                                                   {"d-lyon0", "d-lyon1"}};

/* --- waiting --------------------------------------------------------------------------------- */

struct waiting {
    struct loop_timer timer;
    struct pair_lab *lab;
    bool (*is_so)(struct pair_lab *lab, void *arg);
    void *arg;
    uint64_t limit_ns;
    bool is_late;
};

static void look(struct loop_timer *timer)
{
    struct waiting *waiting = container_of(timer, struct waiting, timer);
    uint64_t now = loop_now_ns(waiting->lab->loop);

    waiting->is_late = now > waiting->limit_ns;
    if (waiting->is_late || waiting->is_so(waiting->lab, waiting->arg))
        loop_stop(waiting->lab->loop);
    else
        loop_timer_set(waiting->lab->loop, timer, now + MILLISECOND_NS);
}

static void show(struct pair_lab *lab)
{
    for (unsigned i = 0; i < SITES; i++) {
        if (lab->sites[i].engine == NULL)
            continue;
        struct engine_stream_status status = pair_status(lab, i);

        print_message("%s: role %d started %d connected %d point %d initial %d waiting %d term "
                      "%llu epoch %llu applied %llu backlog %llu trouble '%s'\n",
                      lab->sites[i].name, status.role, status.is_started, status.is_connected,
                      status.has_point, status.is_initial, status.is_waiting_peer,
                      (unsigned long long)status.generation.term,
                      (unsigned long long)status.epoch_acked,
                      (unsigned long long)status.epoch_applied,
                      (unsigned long long)status.backlog_bytes, status.trouble);
    }
}

void pair_wait(struct pair_lab *lab, bool (*is_so)(struct pair_lab *lab, void *arg), void *arg)
{
    struct waiting waiting = {.lab = lab, .is_so = is_so, .arg = arg};

    waiting.timer.fired_cb = look;
    waiting.limit_ns = loop_now_ns(lab->loop) + LIMIT_NS;
    loop_timer_set(lab->loop, &waiting.timer, loop_now_ns(lab->loop));
    loop_run(lab->loop);
    if (waiting.is_late) {
        show(lab);
        fail_msg("what was waited for did not come");
    }
}

static bool is_time(struct pair_lab *lab, void *arg)
{
    return loop_now_ns(lab->loop) >= *(uint64_t *)arg;
}

void pair_run_ms(struct pair_lab *lab, unsigned ms)
{
    uint64_t until = loop_now_ns(lab->loop) + ms * MILLISECOND_NS;

    pair_wait(lab, is_time, &until);
}

static bool is_set(struct pair_lab *lab, void *arg)
{
    return *(bool *)arg;
}

/* --- sites ----------------------------------------------------------------------------------- */

static void access_cb(void *arg, const char *disk, bool may_write, const char *why)
{
    struct pair_site *site = arg;

    assert_true(may_write || strlen(why) > 0);
    for (unsigned i = 0; i < DISKS; i++)
        if (strcmp(disk, disk_ids[site - site->lab->sites][i]) == 0)
            site->is_closed[i] = !may_write;
    if (!may_write)
        engine_disk_closed(site->engine, disk);
    else if (site->opened_cb != NULL)
        site->opened_cb(site);
}

static void disk_grown_cb(void *arg, const char *disk, uint64_t size_bytes)
{
    struct pair_site *site = arg;

    (void)disk;
    site->grown_bytes = size_bytes;
}

static void stream_changed_cb(void *arg, const char *stream)
{
    struct pair_site *site = arg;

    assert_string_equal(stream, "pg-lab");
    site->changes++;
}

static void snapshots_changed_cb(void *arg, const char *disk)
{
    assert_non_null(arg);
    assert_non_null(disk);
}

static void found_cb(void *arg, const char *id, bool is_lost, const char *why)
{
    struct pair_site *site = arg;

    (void)id;
    (void)is_lost;
    snprintf(site->found, sizeof(site->found), "%s", why);
}

static void peer_cb(void *arg, const char *peer, bool is_up, const char *why)
{
    struct pair_site *site = arg;

    assert_string_equal(peer, site->lab->sites[PARIS].name == site->name ? "lyon" : "paris");
    (void)is_up;
    (void)why;
}

static void call_cb(void *arg, const char *peer, uint64_t call, const void *bytes, uint32_t length)
{
    struct pair_site *site = arg;

    engine_call_reply(site->engine, call, bytes, length); /* an echo */
    (void)peer;
}

static void open_stream(struct pair_site *site, unsigned index, bool create, bool is_seeded)
{
    struct engine_stream_options stream = {.id = "pg-lab",
                                           .peer = index == PARIS ? "lyon" : "paris",
                                           .role = site->lab->roles[index],
                                           .create = create,
                                           .disk_count = DISKS};
    struct err err = {0};

    for (unsigned i = 0; i < DISKS; i++) {
        stream.disks[i].disk = disk_ids[index][i];
        stream.disks[i].is_seeded = is_seeded;
    }
    if (engine_stream_open(site->engine, &stream, &err) != 0)
        fail_msg("%s", err.text);
}

void pair_stream_create(struct pair_lab *lab)
{
    for (unsigned i = 0; i < SITES; i++)
        open_stream(&lab->sites[i], i, true, false);
}

void pair_seed(struct pair_lab *lab, unsigned site)
{
    open_stream(&lab->sites[site], site, true, true);
}

static void open_disks(struct pair_site *site, unsigned index, bool create)
{
    struct err err = {0};

    for (unsigned i = 0; i < DISKS; i++) {
        struct engine_disk_options disk = {.id = disk_ids[index][i],
                                           .driver = "file",
                                           .size_bytes = (uint64_t)DISK_BLOCKS * BLOCK_SIZE,
                                           .create = create};
        uint64_t size;

        if (engine_disk_open(site->engine, &disk, &size, &err) != 0)
            fail_msg("%s", err.text);
        assert_true(size >= DISK_BLOCKS * BLOCK_SIZE); /* more: its snapshots know that it grew */
    }
}

void pair_site_start(struct pair_lab *lab, unsigned index, bool create)
{
    struct pair_site *site = &lab->sites[index];
    struct engine_callbacks callbacks = {.disk_access_cb = access_cb,
                                         .disk_grown_cb = disk_grown_cb,
                                         .stream_changed_cb = stream_changed_cb,
                                         .snapshots_changed_cb = snapshots_changed_cb,
                                         .peer_cb = peer_cb,
                                         .call_cb = call_cb,
                                         .found_cb = found_cb,
                                         .arg = site};
    struct engine_options options = {
        .data_folder = site->folder,
        .site_name = site->name,
        .link_listen = index == PARIS ? site->listen : NULL,
        .peer_count = 1,
        .settings = lab->settings,
        .pieces = lab->pieces,
    };
    struct err err = {0};

    options.peers[0].name = index == PARIS ? "lyon" : "paris";
    options.peers[0].address = index == PARIS ? NULL : lab->sites[PARIS].listen;
    if (engine_new(lab->loop, &options, &callbacks, &site->engine, &err) != 0)
        fail_msg("%s", err.text);
    open_disks(site, index, create);
    if (!lab->is_forgetful)
        open_stream(site, index, create, false);
    if (engine_start(site->engine, &err) != 0)
        fail_msg("%s", err.text);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

void pair_site_stop(struct pair_lab *lab, unsigned index)
{
    struct pair_site *site = &lab->sites[index];
    bool is_stopped = false;

    engine_stop(site->engine, set_flag, &is_stopped);
    pair_wait(lab, is_set, &is_stopped);
    engine_free(site->engine);
    site->engine = NULL;
}

static void run(const char *format, const char *folder)
{
    char command[1000];

    snprintf(command, sizeof(command), format, folder, folder, folder, folder, folder);
    assert_int_equal(system(command), 0);
}

void pair_site_kill(struct pair_lab *lab, unsigned index)
{
    const char *folder = lab->sites[index].folder;

    run("cp -a --sparse=always %s %s.killed", folder);
    pair_site_stop(lab, index);
    run("rm -rf %s && mv %s.killed %s", folder);
}

void pair_lab_prepare(struct pair_lab *lab)
{
    struct err err = {0};

    memset(lab, 0, sizeof(*lab));
    snprintf(lab->folder, sizeof(lab->folder), "%.100s/verso-pair-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(lab->folder));
    if (loop_new(LOOP_AUTO, &lab->loop, &err) != 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < SITES; i++) {
        struct pair_site *site = &lab->sites[i];

        site->lab = lab;
        site->name = i == PARIS ? "paris" : "lyon";
        snprintf(site->folder, sizeof(site->folder), "%s/%s", lab->folder, site->name);
        snprintf(site->listen, sizeof(site->listen), "unix:%s/%s.sock", lab->folder, site->name);
    }
    lab->roles[PARIS] = STREAM_ROLE_SOURCE;
    lab->roles[LYON] = STREAM_ROLE_TARGET;
    lab->settings = (struct engine_settings){.interval_ns = 20 * MILLISECOND_NS,
                                             .stash_memory_bytes = 64 * BLOCK_SIZE,
                                             .stash_disk_bytes = 256 * BLOCK_SIZE,
                                             .journal_bytes_max = 256 << 20,
                                             .retain_ns = 50 * MILLISECOND_NS,
                                             .retain_bytes = 1 << 20};
}

void pair_lab_start(struct pair_lab *lab)
{
    pair_site_start(lab, PARIS, true);
    pair_site_start(lab, LYON, true);
}

void pair_lab_open(struct pair_lab *lab)
{
    pair_lab_prepare(lab);
    pair_lab_start(lab);
}

void pair_lab_close(struct pair_lab *lab)
{
    for (unsigned i = 0; i < SITES; i++)
        if (lab->sites[i].engine != NULL)
            pair_site_stop(lab, i);
    loop_free(lab->loop);
    run("rm -rf %s", lab->folder);
}

struct engine_stream_status pair_status(struct pair_lab *lab, unsigned site)
{
    struct engine_stream_status status;

    assert_true(engine_stream_status(lab->sites[site].engine, "pg-lab", &status));
    return status;
}

/* --- hosts ----------------------------------------------------------------------------------- */

struct host_request {
    struct volume_request request;
    bool is_done;
    int error;
};

static void request_done(struct volume_request *request, int error)
{
    struct host_request *host = container_of(request, struct host_request, request);

    host->is_done = true;
    host->error = error;
}

void pair_write(struct pair_lab *lab, unsigned site, unsigned disk, unsigned block, unsigned count,
                unsigned seed)
{
    struct engine *engine = lab->sites[site].engine;
    uint8_t *bytes = malloc((size_t)count * BLOCK_SIZE);
    struct iovec iov = {.iov_base = bytes, .iov_len = (size_t)count * BLOCK_SIZE};
    struct host_request host = {.request = {.op = VOLUME_WRITE,
                                            .offset = (uint64_t)block * BLOCK_SIZE,
                                            .length = iov.iov_len,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .done_cb = request_done}};
    uint64_t noise = seed;
    const char *why;

    assert_non_null(bytes);
    assert_true(engine_disk_may_write(engine, disk_ids[site][disk], &why));
    for (unsigned i = 0; i < count; i++)
        memset(bytes + (size_t)i * BLOCK_SIZE, (int)(seed * 31 + block + i + 1), BLOCK_SIZE);
    for (size_t at = 0; seed >= PAIR_NOISE && at < iov.iov_len; at++)
        bytes[at] = (uint8_t)((noise = noise * 6364136223846793005u + seed) >> 56);
    volume_submit(engine_disk_volume(engine, disk_ids[site][disk]), &host.request);
    pair_wait(lab, is_set, &host.is_done);
    assert_int_equal(host.error, 0);
    free(bytes);
}

static void prepare_read(struct host_request *host, struct iovec *iov, uint8_t *bytes)
{
    *iov = (struct iovec){.iov_base = bytes, .iov_len = DISK_BLOCKS * BLOCK_SIZE};
    *host = (struct host_request){.request = {.op = VOLUME_READ,
                                              .length = iov->iov_len,
                                              .iov = iov,
                                              .iov_count = 1,
                                              .done_cb = request_done}};
}

void pair_read(struct pair_lab *lab, unsigned site, unsigned disk, uint8_t *ret_bytes)
{
    struct host_request host;
    struct iovec iov;

    prepare_read(&host, &iov, ret_bytes);
    volume_submit(engine_disk_volume(lab->sites[site].engine, disk_ids[site][disk]), &host.request);
    pair_wait(lab, is_set, &host.is_done);
    assert_int_equal(host.error, 0);
}

uint64_t pair_blocks(struct pair_lab *lab, unsigned site, unsigned disk)
{
    return volume_block_count(engine_disk_volume(lab->sites[site].engine, disk_ids[site][disk]));
}

uint8_t *pair_read_all(struct pair_lab *lab, unsigned site, unsigned disk)
{
    size_t size = pair_blocks(lab, site, disk) * BLOCK_SIZE;
    uint8_t *bytes = malloc(size);
    struct iovec iov = {.iov_base = bytes, .iov_len = size};
    struct host_request host = {.request = {.op = VOLUME_READ,
                                            .length = size,
                                            .iov = &iov,
                                            .iov_count = 1,
                                            .done_cb = request_done}};

    assert_non_null(bytes);
    volume_submit(engine_disk_volume(lab->sites[site].engine, disk_ids[site][disk]), &host.request);
    pair_wait(lab, is_set, &host.is_done);
    assert_int_equal(host.error, 0);
    return bytes;
}

void pair_read_snapshot(struct pair_lab *lab, unsigned site, unsigned disk, uint8_t *ret_bytes)
{
    struct engine *engine = lab->sites[site].engine;
    struct engine_snapshot snapshot;
    struct host_request host;
    struct iovec iov;

    assert_int_equal(engine_snapshot_count(engine, disk_ids[site][disk]), 1);
    assert_true(engine_snapshot_at(engine, disk_ids[site][disk], 0, &snapshot));
    prepare_read(&host, &iov, ret_bytes);
    engine_snapshot_submit(engine, snapshot.id, &host.request);
    pair_wait(lab, is_set, &host.is_done);
    assert_int_equal(host.error, 0);
}

bool pair_is_equal(struct pair_lab *lab)
{
    static const size_t size = DISK_BLOCKS * BLOCK_SIZE;
    uint8_t *ours = malloc(size), *theirs = malloc(size);
    bool is_equal = true;

    assert_true(ours != NULL && theirs != NULL);
    for (unsigned i = 0; i < DISKS; i++) {
        pair_read(lab, PARIS, i, ours);
        pair_read(lab, LYON, i, theirs);
        is_equal = is_equal && memcmp(ours, theirs, size) == 0;
    }
    free(ours);
    free(theirs);
    return is_equal;
}

static bool is_settled(struct pair_lab *lab, void *arg)
{
    struct engine_stream_status status = pair_status(lab, *(unsigned *)arg);

    return status.is_connected && status.has_point && status.backlog_bytes == 0;
}

void pair_settle(struct pair_lab *lab, unsigned source)
{
    pair_wait(lab, is_settled, &source);
    assert_true(pair_is_equal(lab));
    assert_true(pair_status(lab, 1 - source).has_point);
}

/* --- an operator ----------------------------------------------------------------------------- */

struct order {
    bool is_done;
    int error;
};

static void order_done(void *arg, int error, const char *why)
{
    struct order *order = arg;

    assert_true(error == 0 || (why != NULL && strlen(why) > 0));
    order->is_done = true;
    order->error = error;
}

int pair_grow(struct pair_lab *lab, unsigned site, unsigned disk, uint64_t blocks)
{
    struct order order = {0};

    engine_disk_grow(lab->sites[site].engine, disk_ids[site][disk], blocks * BLOCK_SIZE, order_done,
                     &order);
    pair_wait(lab, is_set, &order.is_done);
    return order.error;
}

int pair_start(struct pair_lab *lab, unsigned site, bool one_shot)
{
    struct order order = {0};

    engine_stream_start(lab->sites[site].engine, "pg-lab", one_shot, order_done, &order);
    pair_wait(lab, is_set, &order.is_done);
    return order.error;
}

int pair_stop(struct pair_lab *lab, unsigned site)
{
    struct order order = {0};

    engine_stream_stop(lab->sites[site].engine, "pg-lab", order_done, &order);
    pair_wait(lab, is_set, &order.is_done);
    return order.error;
}

int pair_failover_to(struct pair_lab *lab, unsigned site, uint64_t point)
{
    struct order order = {0};

    engine_stream_failover(lab->sites[site].engine, "pg-lab", point, order_done, &order);
    pair_wait(lab, is_set, &order.is_done);
    return order.error;
}

int pair_failover(struct pair_lab *lab, unsigned site)
{
    return pair_failover_to(lab, site, 0);
}

int pair_reprotect(struct pair_lab *lab, unsigned site, bool reverse)
{
    struct order order = {0};

    engine_stream_reprotect(lab->sites[site].engine, "pg-lab", reverse, order_done, &order);
    pair_wait(lab, is_set, &order.is_done);
    return order.error;
}

int pair_reprotect_met(struct pair_lab *lab, unsigned site, bool reverse)
{
    uint64_t limit_ns = loop_now_ns(lab->loop) + LIMIT_NS;
    int error = pair_reprotect(lab, site, reverse);

    while (error == -EHOSTUNREACH && loop_now_ns(lab->loop) < limit_ns) {
        pair_run_ms(lab, 5);
        error = pair_reprotect(lab, site, reverse);
    }
    return error;
}

int pair_remove(struct pair_lab *lab, unsigned site)
{
    return pair_remove_journal(lab, site, false);
}

static void forget_order(void *arg, int error, const char *why)
{
}

void pair_begin_remove(struct pair_lab *lab, unsigned site)
{
    engine_stream_remove(lab->sites[site].engine, "pg-lab", false, forget_order, NULL);
}

int pair_remove_journal(struct pair_lab *lab, unsigned site, bool give_up)
{
    struct order order = {0};

    engine_stream_remove(lab->sites[site].engine, "pg-lab", give_up, order_done, &order);
    pair_wait(lab, is_set, &order.is_done);
    return order.error;
}
