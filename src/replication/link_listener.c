/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that have not yet said and proved whose they are. Promises:
 *
 * 1. At most GREETING_MAX of them wait for their HELLO; one more ends the oldest, so that silent
 *    ones cannot keep a peer out. While ENDING_MAX are still closing, none is accepted.
 * 2. With a key, no byte but TLS's own goes out before the key was proved; without (tests), none
 *    before the name was known.
 */
#include "replication/link_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "replication/link.h"
#include "replication/link_hello.h"
#include "replication/link_session.h"

enum {
    LISTENER_MAGIC = 0x6c6c7374,
    GREETING_MAGIC = 0x6c677265,
    GREETING_MAX = 16,
    ENDING_MAX = 16,
    LOG_LINES_MAX = 20, /* in LOG_SPAN_NS */
};

#define ACCEPT_PAUSE_NS 100000000ull
#define LOG_SPAN_NS 10000000000ull

struct link_listener {
    uint32_t magic;
    struct loop *loop;
    struct io_socket *socket;
    struct io_connect accept;
    bool is_accepting;
    struct loop_timer pause_timer;
    struct loop_task task;
    struct list greetings; /* oldest first */
    unsigned greeting_count, ending_count;
    bool has_key, is_stopping;
    struct log_limit log_limit;
    char refused[200];
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
    unsigned link_count;
    struct link *links[];
};

struct greeting {
    uint32_t magic;
    struct list node; /* empty once it ends */
    struct link_listener *listener;
    struct link_session *session;
    struct link *link; /* named by the TLS identity; NULL: none yet */
};

static void accept_next(struct link_listener *listener);

/* --- one greeting ----------------------------------------------------------------------------- */

static void end_greeting(struct greeting *greeting, const char *why)
{
    struct link_listener *listener = greeting->listener;

    check_magic(greeting, GREETING_MAGIC);
    if (list_is_empty(&greeting->node))
        return;
    list_remove(&greeting->node);
    listener->greeting_count--;
    listener->ending_count++;
    link_session_end(greeting->session, why);
}

static bool greeting_psk(void *arg, const char *identity, const uint8_t **ret_psk,
                         size_t *ret_length)
{
    struct greeting *greeting = arg;
    struct link_listener *listener = greeting->listener;
    char expected[TLS_IDENTITY_SIZE];

    check_magic(greeting, GREETING_MAGIC);
    for (unsigned i = 0; i < listener->link_count; i++) {
        const struct link_options *settings = link_settings(listener->links[i]);

        link_hello_identity(settings->peer_name, settings->site_name, expected, sizeof(expected));
        if (strcmp(identity, expected) != 0)
            continue;
        greeting->link = listener->links[i];
        *ret_psk = settings->psk;
        *ret_length = settings->psk_length;
        return true;
    }
    return false;
}

static void greeting_secure(void *arg)
{
    struct greeting *greeting = arg;

    /* The dialler speaks first. */
    check_magic(greeting, GREETING_MAGIC);
    check((greeting->link != NULL) == greeting->listener->has_key);
}

static struct link *find_link(const struct link_listener *listener, const char *peer_name)
{
    for (unsigned i = 0; i < listener->link_count; i++)
        if (strcmp(link_settings(listener->links[i])->peer_name, peer_name) == 0)
            return listener->links[i];
    return NULL;
}

static bool greeting_frame(void *arg, const struct link_frame *frame, struct err *why)
{
    struct greeting *greeting = arg;
    struct link_listener *listener = greeting->listener;
    struct link_session *session = greeting->session;
    struct link *link = greeting->link;
    struct link_hello hello;

    check_magic(greeting, GREETING_MAGIC);
    if (frame->kind != LINK_FRAME_HELLO ||
        !link_hello_decode(frame->payload, frame->length, &hello))
        return false;
    if (link == NULL)
        link = find_link(listener, hello.site);
    if (link == NULL) {
        err_set(why, -ENOENT, "site %s is no peer of ours", hello.site);
        return false;
    }
    list_remove(&greeting->node);
    listener->greeting_count--;
    greeting->magic = 0;
    free(greeting);
    link_accept(link, session, &hello);
    return true;
}

static bool greeting_user_frame(void *arg, const struct link_frame_in *frame, struct err *why)
{
    return false; /* the session is never open while it is ours */
}

static void greeting_room(void *arg, const char *stream)
{
}

/* Strangers cause these lines, as many as they like. */
static void log_refusal(struct link_listener *listener, const char *peer, const char *why)
{
    unsigned dropped;

    snprintf(listener->refused, sizeof(listener->refused), "from %s: %s", peer, why);
    if (log_limit_take(&listener->log_limit, loop_now_ns(listener->loop), &dropped))
        log_notice("link", "connection from %s refused: %s", peer, why);
    if (dropped > 0)
        log_notice("link", "%u more refused connections were not logged", dropped);
}

static void greeting_closed(void *arg, struct link_session *session, const char *why)
{
    struct greeting *greeting = arg;
    struct link_listener *listener = greeting->listener;

    check_magic(greeting, GREETING_MAGIC);
    log_refusal(listener, link_session_peer(session), why);
    end_greeting(greeting, why);
    listener->ending_count--;
    link_session_free(session);
    greeting->magic = 0;
    free(greeting);
    loop_defer(listener->loop, &listener->task);
}

static int start_greeting(struct link_listener *listener, struct io_socket *socket)
{
    struct greeting *greeting = calloc(1, sizeof(*greeting));
    struct tls_options tls = {.is_server = true, .psk_cb = greeting_psk, .arg = greeting};
    struct link_session_callbacks callbacks = {.secure_cb = greeting_secure,
                                               .greeting_cb = greeting_frame,
                                               .frame_cb = greeting_user_frame,
                                               .room_cb = greeting_room,
                                               .closed_cb = greeting_closed,
                                               .arg = greeting};
    int rc;

    if (greeting == NULL)
        return -ENOMEM;
    rc = link_session_new(listener->loop, socket, listener->has_key ? &tls : NULL,
                          &greeting->session, NULL);
    if (rc < 0) {
        free(greeting);
        return rc;
    }
    greeting->magic = GREETING_MAGIC;
    greeting->listener = listener;
    list_init(&greeting->node);
    if (listener->greeting_count == GREETING_MAX)
        end_greeting(list_entry(listener->greetings.next, struct greeting, node),
                     "too many wait, the oldest makes room");
    list_append(&listener->greetings, &greeting->node);
    listener->greeting_count++;
    link_session_own(greeting->session, &callbacks);
    link_session_start(greeting->session);
    return 0;
}

/* --- accepting -------------------------------------------------------------------------------- */

static void accept_done(struct io_op *op, int64_t result)
{
    struct link_listener *listener = container_of(op, struct link_listener, accept.op);
    unsigned dropped;

    check_magic(listener, LISTENER_MAGIC);
    listener->is_accepting = false;
    if (result == 0 && listener->is_stopping) {
        io_socket_close(listener->loop, listener->accept.socket);
    } else if (result == 0) {
        result = start_greeting(listener, listener->accept.socket);
        if (result < 0)
            io_socket_close(listener->loop, listener->accept.socket);
    }
    if (result < 0 && !listener->is_stopping) {
        if (log_limit_take(&listener->log_limit, loop_now_ns(listener->loop), &dropped))
            log_warning("link", "accept: %s", err_name((int)result));
        loop_timer_set(listener->loop, &listener->pause_timer,
                       loop_now_ns(listener->loop) + ACCEPT_PAUSE_NS);
        return;
    }
    loop_defer(listener->loop, &listener->task);
}

static void accept_next(struct link_listener *listener)
{
    if (listener->is_accepting || listener->is_stopping || listener->ending_count >= ENDING_MAX)
        return;
    listener->is_accepting = true;
    io_accept(listener->loop, &listener->accept, listener->socket, accept_done);
}

static void fire_pause(struct loop_timer *timer)
{
    struct link_listener *listener = container_of(timer, struct link_listener, pause_timer);

    check_magic(listener, LISTENER_MAGIC);
    accept_next(listener);
}

static void run_task(struct loop_task *task)
{
    struct link_listener *listener = container_of(task, struct link_listener, task);
    void (*stopped_cb)(void *arg) = listener->stopped_cb;

    check_magic(listener, LISTENER_MAGIC);
    accept_next(listener);
    if (!listener->is_stopping || listener->is_accepting || stopped_cb == NULL ||
        listener->greeting_count + listener->ending_count > 0)
        return;
    listener->stopped_cb = NULL;
    stopped_cb(listener->stopped_arg);
}

int link_listener_new(struct loop *loop, const char *address, struct link **links,
                      unsigned link_count, struct link_listener **ret_listener, struct err *err)
{
    struct link_listener *listener;
    int rc;

    for (unsigned i = 1; i < link_count; i++)
        if ((link_settings(links[i])->psk == NULL) != (link_settings(links[0])->psk == NULL))
            return err_set(err, -EINVAL, "link: all peers have a key or none has");
    listener = calloc(1, sizeof(*listener) + link_count * sizeof(links[0]));
    if (listener == NULL)
        return err_set(err, -ENOMEM, "link: no memory");
    listener->magic = LISTENER_MAGIC;
    listener->loop = loop;
    listener->link_count = link_count;
    for (unsigned i = 0; i < link_count; i++)
        listener->links[i] = links[i];
    listener->has_key = link_count > 0 && link_settings(links[0])->psk != NULL;
    list_init(&listener->greetings);
    list_init(&listener->task.node);
    listener->task.run_cb = run_task;
    listener->log_limit = (struct log_limit){.count_max = LOG_LINES_MAX, .span_ns = LOG_SPAN_NS};
    listener->pause_timer.fired_cb = fire_pause;
    rc = io_listen(loop, address, &listener->socket, err);
    if (rc < 0) {
        listener->magic = 0;
        free(listener);
        return rc;
    }
    accept_next(listener);
    *ret_listener = listener;
    return 0;
}

uint16_t link_listener_port(struct link_listener *listener)
{
    check_magic(listener, LISTENER_MAGIC);
    return io_socket_port(listener->socket);
}

const char *link_listener_refused(const struct link_listener *listener)
{
    check_magic(listener, LISTENER_MAGIC);
    return listener->refused;
}

void link_listener_stop(struct link_listener *listener, void (*stopped_cb)(void *arg), void *arg)
{
    check_magic(listener, LISTENER_MAGIC);
    check(!listener->is_stopping && stopped_cb != NULL);
    listener->is_stopping = true;
    listener->stopped_cb = stopped_cb;
    listener->stopped_arg = arg;
    loop_timer_cancel(listener->loop, &listener->pause_timer);
    io_socket_shutdown(listener->loop, listener->socket);
    while (!list_is_empty(&listener->greetings))
        end_greeting(list_entry(listener->greetings.next, struct greeting, node), "we stop");
    loop_defer(listener->loop, &listener->task);
}

void link_listener_free(struct link_listener *listener)
{
    if (listener == NULL)
        return;
    check_magic(listener, LISTENER_MAGIC);
    check(!listener->is_accepting && listener->greeting_count + listener->ending_count == 0);
    check(list_is_empty(&listener->task.node));
    loop_timer_cancel(listener->loop, &listener->pause_timer);
    io_socket_close(listener->loop, listener->socket);
    listener->magic = 0;
    free(listener);
}
