/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls. A frame of the call channel has type 1 (request) or 2 (reply), and for content the
 * caller's number of the call (8 bytes, little-endian) and the bytes of the user.
 *
 * Invariants:
 *
 * 1. Each of our calls has a timer; whatever ends it sets its error and lets the timer fire at
 * once, but for a reply, which is told while its bytes are there.
 * 2. A token names one request of one connection: it is never used again, and those of a connection
 *    that went down are forgotten.
 */
#include "replication/link_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

enum { DESK_MAGIC = 0x63616c6c, HEAD_SIZE = 8, TYPE_REQUEST = 1, TYPE_REPLY = 2 };

struct call_out {
    struct list node;
    struct link_call_desk *desk;
    uint64_t number;
    int error; /* told when the timer fires */
    struct loop_timer timer;
    link_call_reply_fn reply_cb;
    void *arg;
};

struct call_in {
    struct list node;
    uint64_t token, number; /* ours, the peer's */
};

struct link_call_desk {
    uint32_t magic;
    struct loop *loop;
    struct link *link;
    struct link_call_callbacks callbacks;
    struct list out, in;
    unsigned out_count, in_count;
    uint64_t number_next, token_next;
};

int link_call_new(struct loop *loop, struct link *link, const struct link_call_callbacks *callbacks,
                  struct link_call_desk **ret_desk, struct err *err)
{
    struct link_call_desk *desk = calloc(1, sizeof(*desk));

    if (desk == NULL)
        return err_set(err, -ENOMEM, "calls: no memory");
    check(callbacks->request_cb != NULL);
    desk->magic = DESK_MAGIC;
    desk->loop = loop;
    desk->link = link;
    desk->callbacks = *callbacks;
    list_init(&desk->out);
    list_init(&desk->in);
    desk->number_next = loop_random(loop); /* a late reply to another life of ours meets no call */
    desk->token_next = 1;
    *ret_desk = desk;
    return 0;
}

static void forget_requests(struct link_call_desk *desk)
{
    struct list *node;

    while ((node = list_pop(&desk->in)) != NULL)
        free(list_entry(node, struct call_in, node));
    desk->in_count = 0;
}

void link_call_free(struct link_call_desk *desk)
{
    if (desk == NULL)
        return;
    check_magic(desk, DESK_MAGIC);
    check(desk->out_count == 0 && list_is_empty(&desk->out));
    forget_requests(desk);
    desk->magic = 0;
    free(desk);
}

/* Frees the call, then tells. */
static void end_call(struct call_out *call, int error, const void *bytes, uint32_t length)
{
    struct link_call_desk *desk = call->desk;
    link_call_reply_fn reply_cb = call->reply_cb;
    void *arg = call->arg;

    check_magic(desk, DESK_MAGIC);
    check(desk->out_count > 0 && error <= 0);
    loop_timer_cancel(desk->loop, &call->timer);
    list_remove(&call->node);
    desk->out_count--;
    free(call);
    reply_cb(arg, error, bytes, length);
}

static void fire_call(struct loop_timer *timer)
{
    struct call_out *call = container_of(timer, struct call_out, timer);

    end_call(call, call->error, NULL, 0);
}

static int send_frame(struct link_call_desk *desk, uint16_t type, uint64_t number,
                      const void *bytes, uint32_t length)
{
    uint8_t *frame = malloc(HEAD_SIZE + (size_t)length);
    int rc;

    if (frame == NULL)
        return -ENOMEM;
    put_le64(frame, number);
    if (length > 0)
        memcpy(frame + HEAD_SIZE, bytes, length);
    rc = link_send_control(desk->link, "", type, frame, HEAD_SIZE + length);
    free(frame);
    return rc;
}

static int send_request(struct link_call_desk *desk, uint64_t number, const void *bytes,
                        uint32_t length)
{
    int rc;

    if (length > CALL_BYTES_MAX)
        return -EMSGSIZE;
    if (desk->out_count > CALL_COUNT_MAX)
        return -ENOBUFS;
    rc = send_frame(desk, TYPE_REQUEST, number, bytes, length);
    return rc == -ENOTCONN ? -EHOSTUNREACH : rc;
}

int link_call_send(struct link_call_desk *desk, const void *bytes, uint32_t length,
                   uint64_t timeout_ns, link_call_reply_fn reply_cb, void *arg)
{
    struct call_out *call = calloc(1, sizeof(*call));
    uint64_t now_ns = loop_now_ns(desk->loop);
    int rc;

    check_magic(desk, DESK_MAGIC);
    check(reply_cb != NULL);
    if (call == NULL)
        return -ENOMEM;
    call->desk = desk;
    call->number = desk->number_next++;
    call->reply_cb = reply_cb;
    call->arg = arg;
    call->timer.fired_cb = fire_call;
    list_init(&call->node);
    list_append(&desk->out, &call->node);
    desk->out_count++;
    rc = send_request(desk, call->number, bytes, length);
    call->error = rc < 0 ? rc : -ETIMEDOUT;
    loop_timer_set(desk->loop, &call->timer, rc < 0 ? now_ns : now_ns + timeout_ns);
    return 0;
}

void link_call_reply(struct link_call_desk *desk, uint64_t token, const void *bytes,
                     uint32_t length)
{
    struct list *node, *next_node;

    check_magic(desk, DESK_MAGIC);
    list_for_each(node, next_node, &desk->in)
    {
        struct call_in *call = list_entry(node, struct call_in, node);

        if (call->token != token)
            continue;
        list_remove(&call->node);
        desk->in_count--;
        if (length <= CALL_BYTES_MAX)
            (void)send_frame(desk, TYPE_REPLY, call->number, bytes, length);
        free(call);
        return;
    }
}

static bool take_request(struct link_call_desk *desk, uint64_t number, const uint8_t *bytes,
                         uint32_t length, struct err *why)
{
    struct call_in *call;

    /* Whose time is out over there still waits here. One too many gets no answer: a control wing
     * that stands still may not cost the replication its link. */
    if (desk->in_count == CALL_COUNT_MAX)
        return true;
    call = calloc(1, sizeof(*call));
    if (call == NULL) {
        err_set(why, -ENOMEM, "no memory for a call");
        return false;
    }
    call->token = desk->token_next++;
    call->number = number;
    list_init(&call->node);
    list_append(&desk->in, &call->node);
    desk->in_count++;
    desk->callbacks.request_cb(desk->callbacks.arg, call->token, bytes, length);
    return true;
}

/* A reply that nobody waits for came after the time was out: no harm. */
static void take_reply(struct link_call_desk *desk, uint64_t number, const uint8_t *bytes,
                       uint32_t length)
{
    struct list *node, *next_node;

    list_for_each(node, next_node, &desk->out)
    {
        struct call_out *call = list_entry(node, struct call_out, node);

        if (call->number == number && call->error == -ETIMEDOUT) {
            end_call(call, 0, bytes, length);
            return;
        }
    }
}

bool link_call_frame(struct link_call_desk *desk, const struct link_frame_in *frame,
                     struct err *why)
{
    uint64_t number;

    check_magic(desk, DESK_MAGIC);
    check(frame->stream[0] == 0);
    if (frame->length < HEAD_SIZE || frame->length > HEAD_SIZE + CALL_BYTES_MAX) {
        err_set(why, -EPROTO, "a call of %u bytes", frame->length);
        return false;
    }
    number = get_le64(frame->bytes);
    if (frame->type == TYPE_REQUEST)
        return take_request(desk, number, frame->bytes + HEAD_SIZE, frame->length - HEAD_SIZE, why);
    if (frame->type != TYPE_REPLY) {
        err_set(why, -EPROTO, "a call's frame of type %u", frame->type);
        return false;
    }
    take_reply(desk, number, frame->bytes + HEAD_SIZE, frame->length - HEAD_SIZE);
    return true;
}

void link_call_down(struct link_call_desk *desk)
{
    struct list *node, *next_node;
    uint64_t now_ns = loop_now_ns(desk->loop);

    check_magic(desk, DESK_MAGIC);
    forget_requests(desk);
    list_for_each(node, next_node, &desk->out)
    {
        struct call_out *call = list_entry(node, struct call_out, node);

        if (call->error == -ETIMEDOUT)
            call->error = -ENOTCONN;
        loop_timer_set(desk->loop, &call->timer, now_ns);
    }
}

unsigned link_call_count(const struct link_call_desk *desk)
{
    check_magic(desk, DESK_MAGIC);
    return desk->out_count;
}
