/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_scene.h. A peer's struct is the harness's; only the simulated kernel sees its buffers.
 */
#include "fuzz_scene.h"

#include <stdlib.h>

#include "sim_alloc.h"

void fuzz_scene_open(struct fuzz_scene *scene)
{
    scene->world = sim_world_new(1);
    scene->server = sim_site_new(scene->world, "paris");
    scene->client = sim_site_new(scene->world, "nowhere");
    sim_net_latency(scene->world, 10 * SIM_US);
    sim_disk_latency(scene->server, 20 * SIM_US);
}

void fuzz_scene_close(struct fuzz_scene *scene)
{
    check(sim_alloc_count(scene->server) == 0);
    sim_world_free(scene->world);
    scene->world = NULL;
}

void fuzz_scene_call(struct fuzz_scene *scene, void (*fn)(void *arg), void *arg)
{
    check(sim_site_call(scene->server, fn, arg));
}

void fuzz_scene_run_us(struct fuzz_scene *scene, uint64_t us)
{
    sim_world_run_until(scene->world, sim_now_ns(scene->world) + us * SIM_US);
}

static bool is_set(void *arg)
{
    return *(const bool *)arg;
}

void fuzz_scene_await(struct fuzz_scene *scene, const bool *flag)
{
    check(sim_world_run_for(scene->world, is_set, (void *)flag,
                            sim_now_ns(scene->world) + 60 * SIM_SECOND));
}

int fuzz_scene_run(struct fuzz_scene *scene, void (*fn)(void *arg), void *arg, bool *is_done,
                   int *error)
{
    *is_done = false;
    *error = 0;
    fuzz_scene_call(scene, fn, arg);
    fuzz_scene_await(scene, is_done);
    return *error;
}

static void receive(struct fuzz_peer *peer);

static void receive_done(struct io_op *op, int64_t result)
{
    struct fuzz_peer *peer = container_of(op, struct fuzz_peer, recv_op);

    peer->is_receiving = false;
    if (result <= 0) {
        peer->is_ended = true;
        return;
    }
    if (peer->bytes_cb) {
        const void *before = sim_outside_begin();

        peer->bytes_cb(peer->arg, peer->in, (size_t)result);
        sim_outside_end(before);
    }
    receive(peer);
}

static void receive(struct fuzz_peer *peer)
{
    if (peer->is_deaf || peer->is_ended || peer->is_receiving || !peer->socket)
        return;
    peer->is_receiving = true;
    io_recv(sim_site_loop(peer->scene->client), &peer->recv_op, peer->socket, peer->in,
            sizeof(peer->in), receive_done);
}

static void call_receive(void *arg)
{
    receive(arg);
}

static void connected(struct io_op *op, int64_t result)
{
    struct fuzz_peer *peer = container_of(op, struct fuzz_peer, connect.op);

    peer->is_connecting = false;
    if (result == 0) {
        peer->socket = peer->connect.socket;
        receive(peer);
    }
}

static bool is_settled(void *arg)
{
    return !((struct fuzz_peer *)arg)->is_connecting;
}

struct opening {
    struct fuzz_peer *peer;
    const char *address;
    struct io_socket *listener;
};

static void call_open(void *arg)
{
    struct opening *opening = arg;
    struct fuzz_peer *peer = opening->peer;
    struct loop *loop = sim_site_loop(peer->scene->client);

    peer->is_connecting = true;
    if (opening->address)
        io_connect(loop, &peer->connect, opening->address, connected);
    else
        io_accept(loop, &peer->connect, opening->listener, connected);
}

static bool open_peer(struct fuzz_peer *peer, struct fuzz_scene *scene, struct opening *opening)
{
    *peer = (struct fuzz_peer){.scene = scene, .bytes_cb = peer->bytes_cb, .arg = peer->arg};
    check(sim_site_call(scene->client, call_open, opening));
    check(sim_world_run_for(scene->world, is_settled, peer,
                            sim_now_ns(scene->world) + 60 * SIM_SECOND));
    return peer->socket != NULL;
}

bool fuzz_peer_open(struct fuzz_peer *peer, struct fuzz_scene *scene, const char *address)
{
    struct opening opening = {.peer = peer, .address = address};

    return open_peer(peer, scene, &opening);
}

bool fuzz_peer_accept(struct fuzz_peer *peer, struct fuzz_scene *scene, struct io_socket *listener)
{
    struct opening opening = {.peer = peer, .listener = listener};

    return open_peer(peer, scene, &opening);
}

static void send_done(struct io_op *op, int64_t result)
{
    struct fuzz_peer *peer = container_of(op, struct fuzz_peer, send_op);

    peer->is_sending = false;
    sim_kernel_free(peer->out);
    peer->out = NULL;
    peer->is_ended = peer->is_ended || result < 0;
}

static void call_send(void *arg)
{
    struct fuzz_peer *peer = arg;

    peer->is_sending = true;
    io_send(sim_site_loop(peer->scene->client), &peer->send_op, peer->socket, &peer->iov, 1,
            send_done);
}

static bool has_sent(void *arg)
{
    return !((struct fuzz_peer *)arg)->is_sending;
}

/* One send of a peer whose last one has ended. */
static bool send_piece(struct fuzz_peer *peer, const uint8_t *bytes, size_t length)
{
    struct sim_world *world = peer->scene->world;

    peer->out = sim_kernel_alloc(length);
    memcpy(peer->out, bytes, length);
    peer->iov = (struct iovec){peer->out, length};
    check(sim_site_call(peer->scene->client, call_send, peer));
    return sim_world_run_for(world, has_sent, peer, sim_now_ns(world) + 20 * SIM_MS);
}

bool fuzz_peer_send(struct fuzz_peer *peer, const void *bytes, size_t length, size_t piece)
{
    const uint8_t *at = bytes;

    if (!peer->socket || peer->is_sending)
        return false;
    while (length > 0 && !peer->is_ended) {
        size_t part = piece > 0 && piece < length ? piece : length;

        if (!send_piece(peer, at, part))
            return false;
        at += part;
        length -= part;
    }
    return length == 0;
}

void fuzz_peer_deafen(struct fuzz_peer *peer, bool is_deaf)
{
    peer->is_deaf = is_deaf;
    if (!is_deaf && peer->socket)
        check(sim_site_call(peer->scene->client, call_receive, peer));
}

static void call_shut(void *arg)
{
    struct fuzz_peer *peer = arg;

    io_socket_shutdown(sim_site_loop(peer->scene->client), peer->socket);
}

static void call_close(void *arg)
{
    struct fuzz_peer *peer = arg;

    io_socket_close(sim_site_loop(peer->scene->client), peer->socket);
}

static bool is_idle(void *arg)
{
    const struct fuzz_peer *peer = arg;

    return !peer->is_sending && !peer->is_receiving;
}

void fuzz_peer_close(struct fuzz_peer *peer)
{
    if (!peer->socket)
        return;
    check(sim_site_call(peer->scene->client, call_shut, peer));
    check(sim_world_run_for(peer->scene->world, is_idle, peer,
                            sim_now_ns(peer->scene->world) + 60 * SIM_SECOND));
    check(sim_site_call(peer->scene->client, call_close, peer));
    peer->socket = NULL;
}
