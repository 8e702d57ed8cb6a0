/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network between simulated sites: stream sockets by address text.
 *
 * 1. Bytes of one direction arrive in order, after a latency; a receive may give any part of what
 *    is there. A send ends when its bytes fit the buffer that the receiver has not yet emptied.
 * 2. SIM_NET_CUT between two sites: each end of their connections gets -ECONNRESET after a delay of
 *    its own, bytes under way are lost, connecting fails.
 * 3. SIM_NET_BLACKHOLE: nothing is delivered and nobody is told; on healing it all arrives, as
 *    TCP's repetition would have it.
 * 4. A process that ends closes its sockets: its peers get what was under way and then the end of
 *    the stream, or a reset. A machine that loses power says nothing; its peers get a reset late.
 */
#include "sim_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_slots.h"

struct segment {
    struct list node;
    uint64_t arrival_ns;
    size_t length, used;
    bool is_end; /* of the stream */
    uint8_t bytes[];
};

enum { BUFFER_BYTES = 256 << 10, ADDRESS_SIZE = 128, MEMORY_SEGMENTS = 64 };

struct io_socket {
    struct io_handle handle;
    struct list node;               /* in site->sockets */
    struct sim_site *site, *remote; /* remote: where a connection's other end is, or was */
    bool is_listener, is_shut;
    char address[ADDRESS_SIZE], peer_text[ADDRESS_SIZE];
    uint16_t port;
    /* a listener's */
    struct list listener_node, backlog; /* backlog: sockets not yet accepted, by accept_node */
    struct io_connect *accept;
    /* a connection's */
    struct list accept_node;
    struct io_socket *peer; /* NULL: gone */
    struct list inbound;    /* on their way to us, in order */
    struct list arrived;    /* readable */
    struct sim_event *delivery, *done_recv, *done_send, *failing;
    uint64_t last_arrival_ns, unread_bytes; /* of what we were sent */
    int error;                              /* sticky */
    struct io_op *recv_op, *send_op;
    void *recv_bytes;
    size_t recv_length;
    int64_t send_length;
};

struct connecting {
    struct sim_site *site;
    struct io_connect *connect;
    char address[ADDRESS_SIZE];
};

static uint64_t draw_latency(struct sim_world *world)
{
    struct sim_random *random = &world->random_net;
    uint64_t max = world->net_latency_ns;

    if (!sim_draw_chance(random, 5))
        max /= 8;
    return SIM_US + sim_draw_below(random, max + 1);
}

static enum sim_net state_of(const struct io_socket *socket)
{
    return socket->site->world->net[socket->site->index][socket->remote->index];
}

static void check_send(struct io_socket *socket);

/* --- receiving ------------------------------------------------------------------------------- */

static void run_recv_done(struct sim_event *event)
{
    struct io_socket *socket = event->arg;
    struct io_op *op = socket->recv_op;
    struct segment *segment;
    size_t part = 0;
    int64_t result;

    socket->done_recv = NULL;
    socket->recv_op = NULL;
    if (socket->is_shut || socket->error < 0) {
        result = socket->is_shut ? -ECANCELED : socket->error;
    } else {
        segment = list_entry(socket->arrived.next, struct segment, node);
        part = segment->length - segment->used;
        part = part < socket->recv_length ? part : socket->recv_length;
        if (part > 512 && sim_draw_chance(&event->world->random_net, 10))
            part = 1 + sim_draw_below(&event->world->random_net, part);
        if (part > 0)
            memcpy(socket->recv_bytes, segment->bytes + segment->used, part);
        segment->used += part;
        socket->unread_bytes -= part;
        if (socket->peer)
            check_send(socket->peer);
        if (segment->used == segment->length && !segment->is_end) {
            list_remove(&segment->node);
            sim_kernel_free(segment);
        }
        result = (int64_t)part;
    }
    sim_hash_mix(event->world, (uint64_t)result);
    op->done_cb(op, result);
}

static void check_recv(struct io_socket *socket)
{
    bool is_ready = socket->is_shut || socket->error < 0 || !list_is_empty(&socket->arrived);

    if (!socket->recv_op || socket->done_recv || !is_ready)
        return;
    socket->done_recv = sim_event_add(socket->site->world, socket->site,
                                      sim_draw_below(&socket->site->world->random_net, 20 * SIM_US),
                                      "recv", run_recv_done);
    socket->done_recv->arg = socket;
}

/* --- delivery -------------------------------------------------------------------------------- */

static void schedule_delivery(struct io_socket *socket);

static void run_delivery(struct sim_event *event)
{
    struct io_socket *socket = event->arg;

    socket->delivery = NULL;
    while (!list_is_empty(&socket->inbound)) {
        struct segment *segment = list_entry(socket->inbound.next, struct segment, node);
        if (segment->arrival_ns > event->world->now_ns)
            break;
        list_remove(&segment->node);
        list_append(&socket->arrived, &segment->node);
    }
    schedule_delivery(socket);
    check_recv(socket);
}

static void schedule_delivery(struct io_socket *socket)
{
    struct sim_world *world = socket->site->world;
    struct segment *first;

    if (socket->delivery || list_is_empty(&socket->inbound))
        return;
    if (state_of(socket) == SIM_NET_BLACKHOLE)
        return; /* sim_net_set() comes back here */
    first = list_entry(socket->inbound.next, struct segment, node);
    socket->delivery = sim_event_add(
        world, NULL, first->arrival_ns > world->now_ns ? first->arrival_ns - world->now_ns : 0,
        "deliver", run_delivery);
    socket->delivery->arg = socket;
}

static void segments_clear(struct list *segments)
{
    struct list *node;

    while ((node = list_pop(segments)))
        sim_kernel_free(list_entry(node, struct segment, node));
}

static bool strikes(struct sim_world *world, unsigned one_in)
{
    return one_in > 0 && sim_draw_below(&world->random_net, one_in) == 0;
}

static struct segment *segment_copy(const struct segment *segment)
{
    struct segment *copy = sim_kernel_alloc(sizeof(*copy) + segment->length);

    memcpy(copy->bytes, segment->bytes, segment->length);
    copy->length = segment->length;
    copy->arrival_ns = segment->arrival_ns;
    return copy;
}

static void arrive_too(struct io_socket *to, const struct segment *segment, uint64_t arrival_ns,
                       const char *what)
{
    struct segment *copy = segment_copy(segment);

    sim_trace(to->site->world, to->site, "%zu bytes %s", copy->length, what);
    copy->arrival_ns = arrival_ns;
    to->unread_bytes += copy->length;
    list_append(&to->inbound, &copy->node);
}

/* Bytes that arrived before, on whatever connection, arrive once more. */
static void replay(struct io_socket *to, uint64_t arrival_ns)
{
    struct sim_world *world = to->site->world;
    uint64_t index = sim_draw_below(&world->random_net, world->net_memory_count);
    struct list *node = world->net_memory.next;

    while (index-- > 0)
        node = node->next;
    arrive_too(to, list_entry(node, struct segment, node), arrival_ns, "are replayed");
}

static void remember(struct sim_world *world, const struct segment *segment)
{
    list_append(&world->net_memory, &segment_copy(segment)->node);
    if (++world->net_memory_count <= MEMORY_SEGMENTS)
        return;
    sim_kernel_free(list_entry(list_pop(&world->net_memory), struct segment, node));
    world->net_memory_count--;
}

static void make_trouble(struct io_socket *to, const struct segment *segment)
{
    struct sim_world *world = to->site->world;
    const struct sim_net_faults *faults = &world->net_faults;

    if (segment->is_end)
        return;
    if (strikes(world, faults->repeats))
        arrive_too(to, segment, segment->arrival_ns, "arrive twice");
    if (world->net_memory_count > 0 && strikes(world, faults->replays))
        replay(to, segment->arrival_ns);
    if (faults->replays > 0 && sim_draw_chance(&world->random_net, 10))
        remember(world, segment);
}

static void transmit(struct io_socket *to, const struct iovec *iov, unsigned iov_count,
                     size_t length)
{
    struct sim_world *world = to->site->world;
    struct segment *segment = sim_kernel_alloc(sizeof(*segment) + length);
    uint64_t arrival_ns = world->now_ns + draw_latency(world);

    if (strikes(world, world->net_faults.spikes))
        arrival_ns += sim_draw_below(&world->random_net, 2 * SIM_SECOND);

    for (unsigned i = 0; i < iov_count; i++) {
        memcpy(segment->bytes + segment->length, iov[i].iov_base, iov[i].iov_len);
        segment->length += iov[i].iov_len;
    }
    check(segment->length == length);
    segment->is_end = length == 0;
    if (arrival_ns < to->last_arrival_ns)
        arrival_ns = to->last_arrival_ns;
    if (world->net_bandwidth > 0)
        arrival_ns += length * SIM_SECOND / world->net_bandwidth;
    segment->arrival_ns = to->last_arrival_ns = arrival_ns;
    to->unread_bytes += length;
    list_append(&to->inbound, &segment->node);
    make_trouble(to, segment);
    schedule_delivery(to);
}

/* --- sending --------------------------------------------------------------------------------- */

static void run_send_done(struct sim_event *event)
{
    struct io_socket *socket = event->arg;
    struct io_op *op = socket->send_op;
    int64_t result = socket->send_length;

    socket->done_send = NULL;
    socket->send_op = NULL;
    if (socket->is_shut)
        result = -ECANCELED;
    else if (socket->error < 0)
        result = -EPIPE;
    sim_hash_mix(event->world, (uint64_t)result);
    op->done_cb(op, result);
}

static void check_send(struct io_socket *socket)
{
    struct sim_world *world = socket->site->world;
    bool is_ready = socket->is_shut || socket->error < 0 || !socket->peer ||
                    socket->peer->unread_bytes <= BUFFER_BYTES;

    if (!socket->send_op || socket->done_send || !is_ready)
        return;
    socket->done_send =
        sim_event_add(world, socket->site, sim_draw_below(&world->random_net, 20 * SIM_US), "send",
                      run_send_done);
    socket->done_send->arg = socket;
}

/* --- ends ------------------------------------------------------------------------------------ */

static void run_failing(struct sim_event *event)
{
    struct io_socket *socket = event->arg;

    socket->failing = NULL;
    socket->error = -ECONNRESET;
    check_recv(socket);
    check_send(socket);
}

/* The connection is dead; its owner hears of it after `delay_ns`. */
static void fail_later(struct io_socket *socket, uint64_t delay_ns)
{
    if (socket->delivery)
        sim_event_cancel(socket->delivery);
    socket->delivery = NULL;
    segments_clear(&socket->inbound);
    if (socket->peer)
        socket->peer->peer = NULL;
    socket->peer = NULL;
    if (socket->failing || socket->error < 0)
        return;
    socket->failing = sim_event_add(socket->site->world, NULL, delay_ns, "reset", run_failing);
    socket->failing->arg = socket;
}

static void socket_free(struct io_socket *socket)
{
    struct list *node, *next;

    if (socket->delivery)
        sim_event_cancel(socket->delivery);
    if (socket->failing)
        sim_event_cancel(socket->failing);
    segments_clear(&socket->inbound);
    segments_clear(&socket->arrived);
    list_for_each(node, next, &socket->backlog)
    {
        struct io_socket *waiting = list_entry(node, struct io_socket, accept_node);
        if (waiting->peer)
            fail_later(waiting->peer, draw_latency(socket->site->world));
        socket_free(waiting);
    }
    list_remove(&socket->accept_node);
    list_remove(&socket->listener_node);
    list_remove(&socket->node);
    sim_kernel_free(socket);
}

/* Tells the peer that we are done: the end of the stream, or a reset. */
static void leave(struct io_socket *socket, bool resets)
{
    struct io_socket *peer = socket->peer;

    if (!peer)
        return;
    socket->peer = NULL;
    peer->peer = NULL;
    if (resets)
        fail_later(peer, draw_latency(peer->site->world));
    else
        transmit(peer, NULL, 0, 0);
    check_send(peer);
}

void sim_net_kill(struct sim_site *site, bool power)
{
    struct sim_random *random = &site->world->random_net;

    while (!list_is_empty(&site->sockets)) {
        struct io_socket *socket = list_entry(site->sockets.next, struct io_socket, node);
        struct io_socket *peer = socket->peer;
        if (power && peer)
            fail_later(peer, sim_draw_below(random, 5 * SIM_SECOND));
        else
            leave(socket, sim_draw_chance(random, 50));
        socket_free(socket);
    }
}

/* The connection is dead, but this end hears of it only seconds later; what was under way to it
 * comes slowly. */
static void haunt(struct io_socket *socket)
{
    struct sim_world *world = socket->site->world;
    uint64_t delay_ns = sim_draw_below(&world->random_net, 5 * SIM_SECOND);
    struct list *node, *next;

    if (!socket->peer || socket->failing || socket->error < 0)
        return;
    socket->peer->peer = NULL;
    socket->peer = NULL;
    if (socket->delivery)
        sim_event_cancel(socket->delivery);
    socket->delivery = NULL;
    list_for_each(node, next, &socket->inbound)
    {
        struct segment *segment = list_entry(node, struct segment, node);
        segment->arrival_ns += delay_ns;
    }
    schedule_delivery(socket);
    sim_trace(world, socket->site, "does not hear yet that a connection is cut");
    socket->failing = sim_event_add(world, NULL, delay_ns + SIM_SECOND, "reset", run_failing);
    socket->failing->arg = socket;
}

static void fail_between(struct sim_world *world, struct sim_site *at, struct sim_site *to)
{
    struct list *node, *next;

    list_for_each(node, next, &at->sockets)
    {
        struct io_socket *socket = list_entry(node, struct io_socket, node);
        if (socket->remote != to)
            continue;
        if (strikes(world, world->net_faults.ghosts))
            haunt(socket);
        else
            fail_later(socket, sim_draw_below(&world->random_net, 100 * SIM_MS));
    }
}

static void revive_between(struct sim_site *at, struct sim_site *to)
{
    struct list *node, *next;

    list_for_each(node, next, &at->sockets)
    {
        struct io_socket *socket = list_entry(node, struct io_socket, node);
        if (socket->remote == to)
            schedule_delivery(socket);
    }
}

void sim_net_set(struct sim_world *world, struct sim_site *a, struct sim_site *b,
                 enum sim_net state)
{
    check(a != b && !world->running);
    if (world->net[a->index][b->index] == state)
        return;
    sim_trace(world, NULL, "network %s - %s: %s", a->name, b->name,
              state == SIM_NET_OK    ? "heals"
              : state == SIM_NET_CUT ? "is cut"
                                     : "is a black hole");
    world->net[a->index][b->index] = world->net[b->index][a->index] = state;
    if (state == SIM_NET_CUT) {
        fail_between(world, a, b);
        fail_between(world, b, a);
    }
    if (state == SIM_NET_OK) {
        revive_between(a, b);
        revive_between(b, a);
    }
}

enum sim_net sim_net_get(struct sim_world *world, struct sim_site *a, struct sim_site *b)
{
    return world->net[a->index][b->index];
}

void sim_net_latency(struct sim_world *world, uint64_t latency_ns_max)
{
    world->net_latency_ns = latency_ns_max;
}

void sim_net_trouble(struct sim_world *world, const struct sim_net_faults *faults)
{
    world->net_faults = *faults;
}

void sim_net_fini(struct sim_world *world)
{
    segments_clear(&world->net_memory);
}

void sim_net_bandwidth(struct sim_world *world, uint64_t bytes_per_second)
{
    world->net_bandwidth = bytes_per_second;
}

/* --- the loop's slots ------------------------------------------------------------------------ */

static struct io_socket *socket_new(struct sim_site *site)
{
    struct io_socket *socket = sim_kernel_alloc(sizeof(*socket));

    socket->handle.loop = &site->loop->loop;
    socket->site = site;
    list_init(&socket->listener_node);
    list_init(&socket->accept_node);
    list_init(&socket->backlog);
    list_init(&socket->inbound);
    list_init(&socket->arrived);
    list_append(&site->sockets, &socket->node);
    return socket;
}

static struct io_socket *find_listener(struct sim_world *world, const char *address)
{
    struct list *node, *next;

    list_for_each(node, next, &world->listeners)
    {
        struct io_socket *socket = list_entry(node, struct io_socket, listener_node);
        if (strcmp(socket->address, address) == 0 && !socket->is_shut)
            return socket;
    }
    return NULL;
}

static bool address_is_valid(const char *address, unsigned *ret_port)
{
    const char *colon = strrchr(address, ':');
    char host[ADDRESS_SIZE];
    struct in6_addr parsed;
    size_t length, digits;

    *ret_port = 0;
    if (strlen(address) >= ADDRESS_SIZE - 8 || !colon)
        return false;
    if (strncmp(address, "unix:", 5) == 0)
        return address[5] == '/';
    digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0')
        return false;
    *ret_port = (unsigned)atoi(colon + 1);
    length = (size_t)(colon - address);
    memcpy(host, address, length);
    host[length] = '\0';
    if (host[0] == '[' && length > 2 && host[length - 1] == ']') {
        host[length - 1] = '\0';
        return *ret_port <= UINT16_MAX && inet_pton(AF_INET6, host + 1, &parsed) == 1;
    }
    return *ret_port <= UINT16_MAX && inet_pton(AF_INET, host, &parsed) == 1;
}

int sim_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
               struct err *err)
{
    struct sim_site *site = sim_loop_site(loop);
    struct sim_world *world = site->world;
    char text[ADDRESS_SIZE];
    struct io_socket *socket;
    unsigned port;

    sim_kernel_call(site);
    if (!address_is_valid(address, &port))
        return err_set(err, -EINVAL, "listen on %.60s: not an address", address);
    snprintf(text, sizeof(text), "%s", address);
    if (strncmp(address, "unix:", 5) != 0 && port == 0) {
        port = world->port_next++;
        snprintf(text, sizeof(text), "%.*s:%u", (int)(strrchr(address, ':') - address), address,
                 port);
    }
    if (find_listener(world, text))
        return err_set(err, -EADDRINUSE, "listen on %.60s: in use", address);
    socket = socket_new(site);
    socket->is_listener = true;
    socket->port = (uint16_t)port;
    memcpy(socket->address, text, sizeof(text));
    list_append(&world->listeners, &socket->listener_node);
    *ret_listener = socket;
    return 0;
}

static void run_accepted(struct sim_event *event)
{
    struct io_socket *listener = event->arg;
    struct io_connect *accept = listener->accept;
    int64_t result = -ECANCELED;

    listener->done_recv = NULL;
    listener->accept = NULL;
    if (!listener->is_shut) {
        struct io_socket *socket =
            list_entry(listener->backlog.next, struct io_socket, accept_node);
        list_remove(&socket->accept_node);
        accept->socket = socket;
        result = 0;
    }
    accept->op.done_cb(&accept->op, result);
}

static void check_accept(struct io_socket *listener)
{
    bool is_ready = listener->is_shut || !list_is_empty(&listener->backlog);

    if (!listener->accept || listener->done_recv || !is_ready)
        return;
    listener->done_recv =
        sim_event_add(listener->site->world, listener->site, SIM_US, "accept", run_accepted);
    listener->done_recv->arg = listener;
}

void sim_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener)
{
    check(listener->is_listener && !listener->accept);
    check(listener->site == sim_loop_site(loop));
    listener->accept = accept;
    check_accept(listener);
}

/* The two ends of a new connection; the listener's waits to be accepted. */
static struct io_socket *join(struct sim_site *site, struct io_socket *listener)
{
    struct io_socket *ours = socket_new(site), *theirs = socket_new(listener->site);
    bool is_unix = strncmp(listener->address, "unix:", 5) == 0;

    ours->peer = theirs;
    theirs->peer = ours;
    ours->remote = listener->site;
    theirs->remote = site;
    snprintf(ours->peer_text, ADDRESS_SIZE, "%s", is_unix ? "unix" : listener->address);
    if (is_unix)
        snprintf(theirs->peer_text, ADDRESS_SIZE, "unix");
    else
        snprintf(theirs->peer_text, ADDRESS_SIZE, "127.0.0.1:%u",
                 (unsigned)site->world->port_next++);
    list_append(&listener->backlog, &theirs->accept_node);
    check_accept(listener);
    return ours;
}

static void run_connected(struct sim_event *event)
{
    struct connecting *connecting = event->arg;
    struct io_connect *connect = connecting->connect;
    struct sim_site *site = connecting->site;
    struct io_socket *listener = find_listener(event->world, connecting->address);
    enum sim_net state =
        listener ? event->world->net[site->index][listener->site->index] : SIM_NET_OK;
    int64_t result = 0;

    if (listener && state == SIM_NET_BLACKHOLE && event->result == 0) {
        struct sim_event *again =
            sim_event_add(event->world, site, 4 * SIM_SECOND, "connect", run_connected);
        again->arg = connecting;
        again->result = -ETIMEDOUT;
        return;
    }
    if (event->result < 0)
        result = event->result;
    else if (!listener)
        result = strncmp(connecting->address, "unix:", 5) == 0 ? -ENOENT : -ECONNREFUSED;
    else if (state == SIM_NET_CUT)
        result = -EHOSTUNREACH;
    else
        connect->socket = join(site, listener);
    free(connecting);
    sim_hash_mix(event->world, (uint64_t)result);
    connect->op.done_cb(&connect->op, result);
}

void sim_connect(struct loop *loop, struct io_connect *connect, const char *address)
{
    struct sim_site *site = sim_loop_site(loop);
    struct connecting *connecting = sim_owned_alloc(sizeof(*connecting)); /* gone with the site */
    struct sim_event *event;
    unsigned port;

    connecting->site = site;
    connecting->connect = connect;
    snprintf(connecting->address, ADDRESS_SIZE, "%s", address);
    event = sim_event_add(site->world, site, draw_latency(site->world), "connect", run_connected);
    event->arg = connecting;
    if (!address_is_valid(address, &port))
        event->result = -EINVAL;
    sim_kernel_call(site);
}

void sim_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
              size_t length)
{
    check(socket->site == sim_loop_site(loop) && !socket->recv_op && length > 0);
    socket->recv_op = op;
    socket->recv_bytes = bytes;
    socket->recv_length = length;
    check_recv(socket);
    sim_kernel_call(socket->site);
}

void sim_send(struct loop *loop, struct io_op *op, struct io_socket *socket,
              const struct iovec *iov, unsigned iov_count)
{
    size_t length = 0;

    check(socket->site == sim_loop_site(loop) && !socket->send_op);
    for (unsigned i = 0; i < iov_count; i++)
        length += iov[i].iov_len;
    socket->send_op = op;
    socket->send_length = (int64_t)length;
    sim_hash_mix(socket->site->world, length);
    if (socket->peer && !socket->is_shut && socket->error == 0 && length > 0)
        transmit(socket->peer, iov, iov_count, length);
    check_send(socket);
    sim_kernel_call(socket->site);
}

void sim_socket_shutdown(struct loop *loop, struct io_socket *socket)
{
    check(socket->site == sim_loop_site(loop));
    if (socket->is_shut)
        return;
    socket->is_shut = true;
    if (socket->is_listener) {
        check_accept(socket);
        return;
    }
    leave(socket, false);
    check_recv(socket);
    check_send(socket);
}

void sim_socket_close(struct loop *loop, struct io_socket *socket)
{
    check(socket->site == sim_loop_site(loop));
    check(!socket->recv_op && !socket->send_op && !socket->accept);
    leave(socket, sim_draw_chance(&socket->site->world->random_net, 20));
    socket_free(socket);
}

const char *sim_socket_peer(struct io_socket *socket)
{
    return socket->peer_text;
}

uint16_t sim_socket_port(struct io_socket *socket)
{
    return socket->port;
}
