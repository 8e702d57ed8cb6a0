/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nth-nbd [--every J [--phase P]]            an NBD session; every n-th call of the server fails
 * nth-nbd --point N --variant V              one of them again
 *
 * A client at another site sends a whole session at once: handshake, GO, WRITE, FLUSH, READ, DISC.
 * What it hears must be a beginning of what it hears without faults, or an error of the protocol;
 * a second session, without faults, must hear all of it, and the server must end without a trace.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "io/socket.h"
#include "nbd/server.h"
#include "nth_loop.h"
#include "sim.h"
#include "sim_alloc.h"
#include "sim_branch.h"

enum { DISK_BYTES = 1 << 20, PIECE = 8192, HEARD_MAX = 64 << 10, KINDS_SHOWN = 40 };
enum variant { ALLOCATION, ALLOCATIONS, ERROR, ERRORS, LATE, VARIANTS };

static const char *const variant_names[VARIANTS] = {
    "allocation", "allocations from here", "I/O error", "I/O errors from here", "I/O late",
};

struct session {
    struct bench *bench;
    struct io_connect connect;
    struct io_op send, recv;
    struct io_socket *socket;
    struct iovec iov;
    uint8_t sent[PIECE + 512], heard[HEARD_MAX];
    size_t sent_length, heard_length;
    unsigned under_way;
    bool is_over;
};

struct bench {
    struct sim_world *world;
    struct sim_site *server_site, *client_site;
    struct nth_loop *loop;
    struct nbd_server *server;
    struct nbd_export *export;
    struct loop_task finish;
    struct list ready;
    uint8_t disk[DISK_BYTES];
    bool is_stopped, is_counting, is_on, is_child;
    uint64_t point, every, phase, only_point, runs, failures;
    unsigned variant;
    int error;
    struct branches *branches;
    struct session sessions[3];
};

/* --- the export ------------------------------------------------------------------------------ */

static void finish(struct loop_task *task)
{
    struct bench *bench = container_of(task, struct bench, finish);
    struct list *node;

    while ((node = list_pop(&bench->ready))) {
        struct volume_request *request = container_of(node, struct volume_request, node);
        uint8_t *at = bench->disk + request->offset;
        if (request->op == VOLUME_READ)
            memcpy(request->iov->iov_base, at, request->length);
        else if (request->op == VOLUME_WRITE)
            memcpy(at, request->iov->iov_base, request->length);
        request->done_cb(request, 0);
    }
}

static void submit(void *arg, struct volume_request *request)
{
    struct bench *bench = arg;

    list_init(&request->node);
    list_append(&bench->ready, &request->node);
    loop_defer(sim_site_loop(bench->server_site), &bench->finish);
}

static void extents(void *arg, struct store_op *op, uint64_t offset, uint64_t length,
                    struct io_extent *found, unsigned found_max, store_done_fn done_cb)
{
    check(!"asked by this client");
}

static const struct nbd_export_ops ops = {submit, extents};

/* --- faults ---------------------------------------------------------------------------------- */

static bool strikes(struct bench *bench, unsigned variant)
{
    if (bench->is_child)
        return false;
    if (bench->only_point != 0)
        return bench->point == bench->only_point && variant == bench->variant;
    if ((bench->point * VARIANTS + variant) % bench->every != bench->phase)
        return false;
    bench->is_child = branches_fork(bench->branches, bench->point, variant);
    if (bench->is_child)
        bench->variant = variant;
    return bench->is_child;
}

static bool allocation_fails(void *arg, const void *owner)
{
    struct bench *bench = arg;

    if (!bench->is_counting || owner != bench->server_site)
        return false;
    if (bench->is_on)
        return bench->variant == ALLOCATIONS;
    bench->point++;
    for (unsigned variant = ALLOCATION; variant <= ALLOCATIONS; variant++) {
        if (strikes(bench, variant)) {
            bench->is_on = true;
            return true;
        }
    }
    return false;
}

static int answer_of(unsigned variant, enum nth_io io)
{
    if (variant == LATE)
        return NTH_LATE;
    return io == NTH_SOCKET ? -ECONNRESET : -EIO;
}

static int ask_cb(void *arg, struct loop *loop, enum nth_io io)
{
    struct bench *bench = arg;
    const void *before;
    int answer = 0;

    if (!bench->is_counting)
        return 0;
    if (bench->is_on)
        return bench->variant == ERRORS ? answer_of(bench->variant, io) : 0;
    before = sim_outside_begin();
    bench->point++;
    for (unsigned variant = ERROR; variant < VARIANTS && answer == 0; variant++) {
        if (strikes(bench, variant)) {
            bench->is_on = true;
            answer = answer_of(variant, io);
        }
    }
    sim_outside_end(before);
    return answer;
}

/* --- the server ------------------------------------------------------------------------------ */

static void server_start(void *arg)
{
    struct bench *bench = arg;
    struct nbd_server_options options = {.addresses = {"127.0.0.1:10809"}};
    struct nbd_export_options export = {
        .name = "d", .size_bytes = DISK_BYTES, .ops = &ops, .arg = bench};
    struct loop *loop = sim_site_loop(bench->server_site);
    struct err err;

    bench->error = 0;
    if (!bench->server)
        bench->error = nbd_server_new(loop, &options, &bench->server, &err);
    if (bench->error == 0)
        bench->error = nbd_export_add(bench->server, &export, &bench->export);
}

static void stopped(void *arg)
{
    ((struct bench *)arg)->is_stopped = true;
}

static void server_stop(void *arg)
{
    struct bench *bench = arg;

    nbd_server_stop(bench->server, stopped, bench);
}

static void server_free(void *arg)
{
    nbd_server_free(((struct bench *)arg)->server);
}

static bool has_stopped(void *arg)
{
    return ((struct bench *)arg)->is_stopped;
}

/* --- the client ------------------------------------------------------------------------------ */

static void put(struct session *session, const void *bytes, size_t length)
{
    memcpy(session->sent + session->sent_length, bytes, length);
    session->sent_length += length;
}

static void put_be(struct session *session, uint64_t value, unsigned size)
{
    for (unsigned i = size; i-- > 0;)
        put(session, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void put_request(struct session *session, unsigned type, uint64_t offset, uint32_t length)
{
    put_be(session, 0x25609513, 4);
    put_be(session, 0, 2);
    put_be(session, type, 2);
    put_be(session, 0x1122334455667700 + type, 8);
    put_be(session, offset, 8);
    put_be(session, length, 4);
}

static void fill(struct session *session)
{
    uint8_t payload[PIECE];

    memset(payload, 0x5a, sizeof(payload));
    put_be(session, 3, 4);                  /* fixed newstyle, no zeroes */
    put_be(session, 0x49484156454f5054, 8); /* IHAVEOPT */
    put_be(session, 7, 4);                  /* GO */
    put_be(session, 4 + 1 + 2, 4);
    put_be(session, 1, 4);
    put(session, "d", 1);
    put_be(session, 0, 2);
    put_request(session, 1, 4096, PIECE);
    put(session, payload, sizeof(payload));
    put_request(session, 3, 0, 0);
    put_request(session, 0, 4096, PIECE);
    put_request(session, 2, 0, 0);
}

static void part_ended(struct session *session)
{
    check(session->under_way > 0);
    if (--session->under_way > 0)
        return;
    io_socket_close(sim_site_loop(session->bench->client_site), session->socket);
    session->is_over = true;
}

static void sent(struct io_op *op, int64_t result)
{
    part_ended(container_of(op, struct session, send));
}

static void hear(struct session *session);

static void heard(struct io_op *op, int64_t result)
{
    struct session *session = container_of(op, struct session, recv);

    if (result <= 0) {
        io_socket_shutdown(sim_site_loop(session->bench->client_site), session->socket);
        part_ended(session);
        return;
    }
    session->heard_length += (size_t)result;
    hear(session);
}

static void hear(struct session *session)
{
    check(session->heard_length < HEARD_MAX);
    io_recv(sim_site_loop(session->bench->client_site), &session->recv, session->socket,
            session->heard + session->heard_length, HEARD_MAX - session->heard_length, heard);
}

static void connected(struct io_op *op, int64_t result)
{
    struct session *session = container_of(op, struct session, connect.op);

    if (result < 0) {
        session->is_over = true;
        return;
    }
    session->socket = session->connect.socket;
    session->under_way = 2;
    session->iov = (struct iovec){session->sent, session->sent_length};
    io_send(sim_site_loop(session->bench->client_site), &session->send, session->socket,
            &session->iov, 1, sent);
    hear(session);
}

static void session_start(void *arg)
{
    struct session *session = arg;

    fill(session);
    io_connect(sim_site_loop(session->bench->client_site), &session->connect, "127.0.0.1:10809",
               connected);
}

static bool session_is_over(void *arg)
{
    return ((struct session *)arg)->is_over;
}

/* False: it hangs. */
static bool session_run(struct bench *bench, struct session *session)
{
    session->bench = bench;
    sim_site_call(bench->client_site, session_start, session);
    return sim_world_run_for(bench->world, session_is_over, session,
                             sim_now_ns(bench->world) + 60 * SIM_SECOND);
}

/* --- a run ----------------------------------------------------------------------------------- */

static void start_with_patience(struct bench *bench)
{
    bench->is_counting = true;
    sim_site_call(bench->server_site, server_start, bench);
    if (bench->error < 0) { /* said so: again, without faults */
        bench->is_counting = false;
        sim_site_call(bench->server_site, server_start, bench);
        check(bench->error == 0);
    }
}

/* What is wrong, or NULL. */
static const char *play(struct bench *bench)
{
    struct session *first = &bench->sessions[0], *second = &bench->sessions[1];
    struct session *plain = &bench->sessions[2];

    start_with_patience(bench);
    if (!session_run(bench, first))
        return "the first session hangs";
    bench->is_counting = false;
    sim_world_run_until(bench->world, sim_now_ns(bench->world) + 15 * SIM_SECOND);
    if (!session_run(bench, second) || !session_run(bench, plain))
        return "a session without faults hangs";
    if (plain->heard_length < PIECE || second->heard_length != plain->heard_length ||
        memcmp(second->heard, plain->heard, plain->heard_length) != 0)
        return "a session without faults does not hear all";
    if (first->heard_length > plain->heard_length + 512)
        return "the first session hears more than there is";
    sim_site_call(bench->server_site, server_stop, bench);
    if (!sim_world_run_for(bench->world, has_stopped, bench,
                           sim_now_ns(bench->world) + 60 * SIM_SECOND))
        return "the server does not stop";
    sim_site_call(bench->server_site, server_free, bench);
    return sim_alloc_count(bench->server_site) > 0 ? "the server leaves allocations" : NULL;
}

static void ended_cb(void *arg, uint64_t point, unsigned variant, enum branch_end end,
                     const char *why)
{
    struct bench *bench = arg;

    if (++bench->failures > KINDS_SHOWN)
        return;
    printf("FAILED: %s %llu: %s\n    again: nth-nbd --point %llu --variant %u\n",
           variant_names[variant], (unsigned long long)point, why, (unsigned long long)point,
           variant);
}

static void bench_begin(struct bench *bench)
{
    bench->world = sim_world_new(1);
    bench->server_site = sim_site_new(bench->world, "server");
    bench->client_site = sim_site_new(bench->world, "client");
    bench->finish.run_cb = finish;
    list_init(&bench->finish.node);
    list_init(&bench->ready);
    bench->loop = nth_loop_new(sim_site_loop(bench->server_site), ask_cb, bench);
    sim_alloc_watch(allocation_fails, bench);
}

int main(int argc, char **argv)
{
    struct bench *bench = sim_kernel_alloc(sizeof(*bench));
    const char *why;

    bench->every = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t number = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--every") == 0 && number > 0)
            bench->every = number;
        else if (strcmp(argv[i], "--phase") == 0)
            bench->phase = number;
        else if (strcmp(argv[i], "--point") == 0)
            bench->only_point = number;
        else if (strcmp(argv[i], "--variant") == 0 && number < VARIANTS)
            bench->variant = (unsigned)number;
        else
            return 2;
    }
    bench->phase %= bench->every;
    log_set_level((enum log_level)0);
    bench->branches = branches_new(2, ended_cb, bench);
    bench_begin(bench);
    why = play(bench);
    if (bench->is_child)
        branches_end(bench->branches, why ? BRANCH_FAILED : BRANCH_NOTED, why);
    branches_wait(bench->branches);
    if (why)
        ended_cb(bench, bench->only_point, bench->variant, BRANCH_FAILED, why);
    printf("nbd-session %llu points %llu runs %llu failures\n", (unsigned long long)bench->point,
           (unsigned long long)branches_count(bench->branches),
           (unsigned long long)bench->failures);
    sim_world_free(bench->world);
    nth_loop_free(bench->loop);
    branches_free(bench->branches);
    why = bench->failures > 0 ? "failed" : NULL;
    sim_kernel_free(bench);
    return why ? 1 : 0;
}
