/* SPDX-License-Identifier: Apache-2.0 */
#include "link_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"

#define STEP_NS 1000000ull

enum { PORT_FIRST = 12000, PORT_COUNT = 20000 };

/* --- the loop --------------------------------------------------------------------------------- */

static void fire_step(struct loop_timer *timer)
{
    struct lab *lab = container_of(timer, struct lab, timer);

    lab->is_met = lab->until != NULL && lab->until(lab->arg);
    if (lab->is_met || loop_now_ns(lab->loop) >= lab->deadline_ns)
        loop_stop(lab->loop);
    else
        loop_timer_set(lab->loop, timer, loop_now_ns(lab->loop) + STEP_NS);
}

void lab_init(struct lab *lab)
{
    const char *io = getenv("VERSO_IO");
    bool wants_threads = io != NULL && strcmp(io, "threads") == 0;
    struct err err = {0};

    *lab = (struct lab){.timer = {.fired_cb = fire_step}};
    if (loop_new(wants_threads ? LOOP_THREADS : LOOP_AUTO, &lab->loop, &err) < 0)
        fail_msg("%s", err.text);
}

void lab_fini(struct lab *lab)
{
    loop_free(lab->loop);
}

static void run(struct lab *lab, bool (*until)(void *arg), void *arg, double seconds)
{
    lab->until = until;
    lab->arg = arg;
    lab->is_met = false;
    loop_timer_set(lab->loop, &lab->timer, loop_now_ns(lab->loop));
    lab->deadline_ns = loop_now_ns(lab->loop) + (uint64_t)(seconds * 1e9);
    loop_run(lab->loop);
}

void lab_run(struct lab *lab, bool (*until)(void *arg), void *arg, double seconds)
{
    run(lab, until, arg, seconds);
    if (!lab->is_met)
        fail_msg("the condition did not come in %.1f s", seconds);
}

void lab_pass(struct lab *lab, double seconds)
{
    run(lab, NULL, NULL, seconds);
}

/* None that the system gives to who dials: it stays free until its owner listens. */
uint16_t lab_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_free = false;

    while (!is_free) {
        uint16_t port;
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        assert_true(fd >= 0);
        assert_int_equal(getrandom(&port, sizeof(port), 0), sizeof(port));
        address.sin_port = htons(PORT_FIRST + port % PORT_COUNT);
        is_free = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        assert_true(is_free || errno == EADDRINUSE);
        close(fd);
    }
    return ntohs(address.sin_port);
}

/* --- a site ----------------------------------------------------------------------------------- */

static void site_up(void *arg)
{
    struct lab_site *site = arg;

    assert_int_equal(site->up_count, site->down_count);
    assert_true(link_is_up(site->link));
    site->up_count++;
    site->check = 0;
}

static void site_down(void *arg, const char *why)
{
    struct lab_site *site = arg;

    site->down_count++;
    assert_int_equal(site->up_count, site->down_count);
    snprintf(site->down_why, sizeof(site->down_why), "%s", why);
    if (site->down_cb != NULL)
        site->down_cb(site);
}

static bool site_frame(void *arg, const struct link_frame_in *frame, struct err *why)
{
    struct lab_site *site = arg;

    site->frame_count++;
    if (site->frame_cb != NULL)
        return site->frame_cb(site, frame, why);
    if (site->refuses_frames) {
        err_set(why, -EPROTO, "I do not like it");
        return false;
    }
    if (frame->type == 1) {
        snprintf(site->last_text, sizeof(site->last_text), "%s:%.*s", frame->stream,
                 (int)frame->length, (const char *)frame->bytes);
        site->bytes_before_text = site->data_bytes;
        return true;
    }
    if (frame->stream[3] == '0' && frame->length >= 8 && get_le64(frame->bytes) != site->check++)
        site->has_order_error = true;
    site->data_bytes += frame->length;
    site->stream_bytes[(frame->stream[3] - '0') & 3] += frame->length;
    if (!site->keeps_credit)
        link_consumed(site->link, frame->stream, frame->length);
    return true;
}

static void site_room(void *arg, const char *stream)
{
    struct lab_site *site = arg;

    site->room_count++;
    if (site->room_cb != NULL)
        site->room_cb(site, stream);
}

void site_start(struct lab_site *site, struct lab *lab, const char *name, const char *peer,
                const struct lab_options *options)
{
    struct link_options link = {.site_name = name,
                                .site_id = options->site_id,
                                .peer_name = peer,
                                .psk = options->psk,
                                .psk_length = options->psk_length,
                                .heartbeat_ns = options->heartbeat_ns,
                                .silence_ns = options->silence_ns,
                                .backoff_min_ns = options->backoff_min_ns,
                                .backoff_max_ns = options->backoff_max_ns};
    struct link_callbacks callbacks = {.up_cb = site_up,
                                       .down_cb = site_down,
                                       .frame_cb = site_frame,
                                       .room_cb = site_room,
                                       .arg = site};
    struct err err = {0};

    *site = (struct lab_site){.lab = lab};
    snprintf(site->name, sizeof(site->name), "%s", name);
    snprintf(site->address, sizeof(site->address), "127.0.0.1:%u", options->port);
    snprintf(site->peer_address, sizeof(site->peer_address), "127.0.0.1:%u", options->peer_port);
    if (options->dials)
        link.peer_address = site->peer_address;
    if (link_new(lab->loop, &link, &callbacks, &site->link, &err) < 0)
        fail_msg("%s", err.text);
    if (options->listens &&
        link_listener_new(lab->loop, site->address, &site->link, 1, &site->listener, &err) < 0)
        fail_msg("%s", err.text);
    link_start(site->link);
}

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

void site_stop(struct lab_site *site)
{
    if (site->listener != NULL) {
        link_listener_stop(site->listener, set_true, &site->is_listener_stopped);
        lab_run(site->lab, is_true, &site->is_listener_stopped, 5);
        link_listener_free(site->listener);
    }
    link_stop(site->link, set_true, &site->is_stopped);
    assert_false(site->is_stopped);
    lab_run(site->lab, is_true, &site->is_stopped, 12);
    assert_int_equal(site->up_count, site->down_count);
    link_free(site->link);
}

bool site_is_up(void *arg)
{
    return link_is_up(((struct lab_site *)arg)->link);
}

/* --- the proxy -------------------------------------------------------------------------------- */

static void proxy_receive(struct lab_proxy *proxy, int way);
static void proxy_accept(struct lab_proxy *proxy);

static bool proxy_is_idle(void *arg)
{
    struct lab_proxy *proxy = arg;

    return !proxy->ways[0].is_active && !proxy->ways[1].is_active && !proxy->is_accepting &&
           !proxy->is_connecting;
}

static void proxy_end_way(struct lab_proxy *proxy, int way)
{
    proxy->ways[way].is_active = false;
    io_socket_shutdown(proxy->lab->loop, proxy->ends[0]);
    io_socket_shutdown(proxy->lab->loop, proxy->ends[1]);
    if (proxy->ways[0].is_active || proxy->ways[1].is_active)
        return;
    io_socket_close(proxy->lab->loop, proxy->ends[0]);
    io_socket_close(proxy->lab->loop, proxy->ends[1]);
    proxy->ends[0] = proxy->ends[1] = NULL;
    proxy_accept(proxy);
}

static int proxy_way(struct lab_proxy *proxy, struct io_op *op, bool is_send)
{
    struct io_op *first = is_send ? &proxy->ways[0].send_op : &proxy->ways[0].recv_op;

    return op == first ? 0 : 1;
}

static struct lab_proxy *proxy_of(struct io_op *op, bool is_send)
{
    size_t offset = is_send ? offsetof(struct lab_proxy, ways[0].send_op)
                            : offsetof(struct lab_proxy, ways[0].recv_op);
    size_t proxy_offset = offsetof(struct lab_proxy, ways[0].proxy);

    /* Both ways have the same layout, so the back pointer lies as far before the op. */
    return *(struct lab_proxy **)((char *)op - offset + proxy_offset);
}

static void proxy_sent(struct io_op *op, int64_t result)
{
    struct lab_proxy *proxy = proxy_of(op, true);
    int way = proxy_way(proxy, op, true);

    if (result < 0)
        proxy_end_way(proxy, way);
    else
        proxy_receive(proxy, way);
}

static void proxy_received(struct io_op *op, int64_t result)
{
    struct lab_proxy *proxy = proxy_of(op, false);
    int way = proxy_way(proxy, op, false);
    int64_t bit = proxy->flip_bit - (int64_t)proxy->ways[way].passed * 8;

    if (result <= 0) {
        proxy_end_way(proxy, way);
        return;
    }
    if (way == 0 && proxy->flip_bit >= 0 && bit >= 0 && bit < result * 8)
        proxy->ways[0].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    proxy->ways[way].passed += (uint64_t)result;
    if (proxy->holds) {
        proxy_receive(proxy, way); /* swallowed */
        return;
    }
    proxy->ways[way].iov =
        (struct iovec){.iov_base = proxy->ways[way].bytes, .iov_len = (size_t)result};
    io_send(proxy->lab->loop, &proxy->ways[way].send_op, proxy->ends[1 - way],
            &proxy->ways[way].iov, 1, proxy_sent);
}

static void proxy_receive(struct lab_proxy *proxy, int way)
{
    io_recv(proxy->lab->loop, &proxy->ways[way].recv_op, proxy->ends[way], proxy->ways[way].bytes,
            sizeof(proxy->ways[way].bytes), proxy_received);
}

static void proxy_connected(struct io_op *op, int64_t result)
{
    struct lab_proxy *proxy = container_of(op, struct lab_proxy, connect.op);

    proxy->is_connecting = false;
    if (result < 0) {
        io_socket_close(proxy->lab->loop, proxy->ends[0]);
        proxy->ends[0] = NULL;
        proxy_accept(proxy);
        return;
    }
    proxy->connection_count++;
    proxy->ends[1] = proxy->connect.socket;
    for (int way = 0; way < 2; way++) {
        proxy->ways[way].is_active = true;
        proxy->ways[way].passed = 0;
        proxy_receive(proxy, way);
    }
}

static void proxy_accepted(struct io_op *op, int64_t result)
{
    struct lab_proxy *proxy = container_of(op, struct lab_proxy, accept.op);

    proxy->is_accepting = false;
    if (result < 0)
        return;
    proxy->ends[0] = proxy->accept.socket;
    proxy->is_connecting = true;
    io_connect(proxy->lab->loop, &proxy->connect, proxy->to_address, proxy_connected);
}

static void proxy_accept(struct lab_proxy *proxy)
{
    if (proxy->is_stopping)
        return;
    proxy->is_accepting = true;
    io_accept(proxy->lab->loop, &proxy->accept, proxy->listener, proxy_accepted);
}

void proxy_start(struct lab_proxy *proxy, struct lab *lab, uint16_t port, uint16_t to_port)
{
    char address[32];

    memset(proxy, 0, sizeof(*proxy));
    proxy->lab = lab;
    proxy->ways[0].proxy = proxy->ways[1].proxy = proxy;
    proxy->flip_bit = -1;
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    snprintf(proxy->to_address, sizeof(proxy->to_address), "127.0.0.1:%u", to_port);
    assert_int_equal(io_listen(lab->loop, address, &proxy->listener, NULL), 0);
    proxy_accept(proxy);
}

void proxy_stop(struct lab_proxy *proxy)
{
    proxy->is_stopping = true;
    if (proxy->ends[0] != NULL)
        io_socket_shutdown(proxy->lab->loop, proxy->ends[0]);
    if (proxy->ends[1] != NULL)
        io_socket_shutdown(proxy->lab->loop, proxy->ends[1]);
    io_socket_shutdown(proxy->lab->loop, proxy->listener);
    lab_run(proxy->lab, proxy_is_idle, proxy, 5);
    io_socket_close(proxy->lab->loop, proxy->listener);
}

/* --- the raw peer ----------------------------------------------------------------------------- */

static void raw_received(struct io_op *op, int64_t result)
{
    struct lab_raw *raw = container_of(op, struct lab_raw, recv_op);

    if (result <= 0) {
        raw->is_closed = true;
        return;
    }
    raw->in_length += (size_t)result;
    assert_true(raw->in_length < sizeof(raw->in));
    io_recv(raw->lab->loop, op, raw->socket, raw->in + raw->in_length,
            sizeof(raw->in) - raw->in_length, raw_received);
}

static void raw_sent(struct io_op *op, int64_t result)
{
    struct lab_raw *raw = container_of(op, struct lab_raw, send_op);

    raw->is_sending = false;
}

static void raw_send(struct lab_raw *raw, const void *bytes, size_t length)
{
    raw->is_sending = true;
    raw->iov = (struct iovec){.iov_base = (void *)bytes, .iov_len = length};
    io_send(raw->lab->loop, &raw->send_op, raw->socket, &raw->iov, 1, raw_sent);
}

static void raw_connected(struct io_op *op, int64_t result)
{
    struct lab_raw *raw = container_of(op, struct lab_raw, connect.op);

    assert_int_equal(result, 0);
    raw->socket = raw->connect.socket;
    io_recv(raw->lab->loop, &raw->recv_op, raw->socket, raw->in, sizeof(raw->in), raw_received);
    if (raw->out_length > 0)
        raw_send(raw, raw->out, raw->out_length);
}

static bool raw_is_idle(void *arg)
{
    return !((struct lab_raw *)arg)->is_sending;
}

void raw_send_more(struct lab_raw *raw, const void *bytes, size_t length)
{
    assert_true(length <= sizeof(raw->out));
    lab_run(raw->lab, raw_is_idle, raw, 5);
    memcpy(raw->out, bytes, length);
    raw_send(raw, raw->out, length);
}

void raw_send_long(struct lab_raw *raw, const void *bytes, size_t length)
{
    lab_run(raw->lab, raw_is_idle, raw, 5);
    raw_send(raw, bytes, length);
}

void raw_start(struct lab_raw *raw, struct lab *lab, uint16_t port, const void *bytes,
               size_t length)
{
    char address[32];

    memset(raw, 0, sizeof(*raw));
    raw->lab = lab;
    assert_true(length <= sizeof(raw->out));
    if (length > 0)
        memcpy(raw->out, bytes, length);
    raw->out_length = length;
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    io_connect(lab->loop, &raw->connect, address, raw_connected);
}

bool raw_is_closed(void *arg)
{
    struct lab_raw *raw = arg;

    return raw->is_closed && !raw->is_sending;
}

void raw_finish(struct lab_raw *raw)
{
    lab_run(raw->lab, raw_is_closed, raw, 15);
    io_socket_close(raw->lab->loop, raw->socket);
}

size_t raw_frame(uint8_t *bytes, uint8_t kind, uint16_t channel, uint64_t sequence,
                 const void *payload, uint32_t length)
{
    struct link_frame frame = {.kind = kind,
                               .channel = channel,
                               .length = length,
                               .sequence = sequence,
                               .payload_crc = crc32c(0, payload, length)};

    link_frame_encode(&frame, bytes);
    memcpy(bytes + LINK_FRAME_HEADER_SIZE, payload, length);
    return LINK_FRAME_HEADER_SIZE + length;
}
