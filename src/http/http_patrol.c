/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads: the library's tells, the loop's looks, ten times a second while there are guests.
 * One lock holds all; a guest leaves under it before its descriptor is closed, so nobody else's is
 * ever shut down.
 */
#include "http/http_patrol.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "http/http_linger.h"
#include "http/http_origin.h"

enum { PATROL_MAGIC = 0x70617472, LOG_LINES_MAX = 20, ENDED_MAX = 512 /* a look */ };

#define SECOND_NS (UINT64_C(1000) * 1000 * 1000)
#define LOOK_NS (SECOND_NS / 10)
#define FAIR_NS (SECOND_NS / 10)
#define LATE_NS (5 * SECOND_NS)

struct http_guest {
    struct list node;
    struct http_origin *origin; /* NULL: ended, or of no address */
    int fd;
    enum http_phase phase;
    uint64_t since_ns;         /* of the phase */
    uint64_t request_since_ns; /* its first line, or the connection */
    uint64_t probed_ns;        /* whether the peer is still there */
    uint64_t body_bytes;
    bool is_ended; /* shut down; the library has not yet seen it */
    bool is_late;  /* reading is shut down: it is still to be told */
    bool is_proved;
};

struct http_patrol {
    uint32_t magic;
    struct loop *loop;
    const struct http_limits *limits;
    struct loop_message message; /* begins looking */
    struct loop_timer timer;
    struct log_limit log_limit;
    bool is_stopped;
    pthread_mutex_t lock; /* protects the rest */
    bool is_looking;      /* the message is posted or the timer set */
    unsigned count;       /* guests that are not ended */
    struct list guests;   /* oldest first */
    struct http_origins origins;
    struct http_linger linger;
};

static uint64_t clock_ns(void)
{
    struct timespec now;

    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void shut_guest(struct http_patrol *patrol, struct http_guest *guest)
{
    guest->is_ended = true;
    patrol->count--;
    if (guest->origin != NULL)
        http_origin_leave(guest->origin);
    guest->origin = NULL;
    (void)shutdown(guest->fd, SHUT_RDWR);
}

static void log_end(struct http_patrol *patrol, const char *why)
{
    unsigned dropped;

    if (log_limit_take(&patrol->log_limit, clock_ns(), &dropped))
        log_notice("api", "a connection ended: %s", why);
    if (dropped > 0)
        log_notice("api", "%u more ended connections were not logged", dropped);
}

static void end_guest(struct http_patrol *patrol, struct http_guest *guest, const char *why)
{
    shut_guest(patrol, guest);
    log_end(patrol, why);
}

/* The library reads the end, and before it closes the guest is told. It has LATE_NS for it: it may
 * overlook the end behind bytes that still come. */
static void stop_listening(struct http_patrol *patrol, struct http_guest *guest, uint64_t now_ns)
{
    guest->is_late = true;
    guest->probed_ns = now_ns + LATE_NS;
    (void)shutdown(guest->fd, SHUT_RD);
    log_end(patrol, "the head of its request did not come in time (head-time)");
}

/* The library waits for edges and overlooks an end that comes with the last bytes: such a
 * connection would hold its place until a time is over. */
static bool has_gone(struct http_guest *guest, uint64_t now_ns)
{
    char byte;

    if (guest->phase == HTTP_PHASE_WORK || guest->phase == HTTP_PHASE_REPLY ||
        guest->since_ns + FAIR_NS > now_ns || guest->probed_ns + SECOND_NS > now_ns)
        return false;
    guest->probed_ns = now_ns;
    return recv(guest->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void look_at(struct http_patrol *patrol, struct http_guest *guest, uint64_t now_ns)
{
    const struct http_limits *limits = patrol->limits;
    uint64_t age_ns = now_ns > guest->since_ns ? now_ns - guest->since_ns : 0;
    bool is_coming = guest->phase == HTTP_PHASE_HEAD || guest->phase == HTTP_PHASE_BODY;

    if (has_gone(guest, now_ns) || (guest->is_late && age_ns > limits->head_ns_max + LATE_NS))
        shut_guest(patrol, guest);
    else if (guest->phase == HTTP_PHASE_HEAD && age_ns > limits->head_ns_max && !guest->is_late)
        stop_listening(patrol, guest, now_ns);
    else if (guest->phase == HTTP_PHASE_IDLE && age_ns > limits->idle_ns_max)
        end_guest(patrol, guest, "it was idle (idle-time)");
    else if (is_coming && guest->request_since_ns + limits->request_ns_max < now_ns)
        end_guest(patrol, guest, "its request did not come in time (request-time)");
    else if (guest->phase == HTTP_PHASE_BODY && age_ns > limits->head_ns_max &&
             guest->body_bytes < limits->body_rate_min * (age_ns / SECOND_NS))
        end_guest(patrol, guest, "the body of its request came too slowly (body-rate-min)");
    else if (guest->phase == HTTP_PHASE_REPLY && age_ns > limits->request_ns_max)
        end_guest(patrol, guest, "it did not take its answer (request-time)");
}

static bool goes_before(const struct http_guest *a, const struct http_guest *b)
{
    unsigned a_count = a->origin ? a->origin->count : 1, b_count = b->origin ? b->origin->count : 1;

    if (a->is_proved != b->is_proved)
        return b->is_proved;
    return a_count > b_count; /* else the older one, which was met first */
}

static bool may_go(const struct http_guest *guest, uint64_t now_ns)
{
    bool had_time = guest->since_ns + FAIR_NS <= now_ns;

    if (guest->phase == HTTP_PHASE_IDLE)
        return !guest->is_ended && (had_time || !guest->is_proved);
    return !guest->is_ended && had_time && guest->phase == HTTP_PHASE_HEAD;
}

/* Who is the next to go, of one phase (or both), of one address (or all)? NULL: nobody may. */
static struct http_guest *choose(struct http_patrol *patrol, uint64_t now_ns,
                                 const enum http_phase *phase, const struct http_origin *origin)
{
    struct http_guest *chosen = NULL;
    struct list *node, *next_node;

    list_for_each(node, next_node, &patrol->guests)
    {
        struct http_guest *guest = list_entry(node, struct http_guest, node);

        if (!may_go(guest, now_ns) || (phase != NULL && guest->phase != *phase) ||
            (origin != NULL && guest->origin != origin))
            continue;
        if (chosen == NULL || goes_before(guest, chosen))
            chosen = guest;
    }
    return chosen;
}

/* Ends guests of a phase that had their time, until at most `max` of `count` are left. */
static void thin_out(struct http_patrol *patrol, uint64_t now_ns, unsigned count, unsigned max,
                     enum http_phase phase, const char *why)
{
    for (unsigned ended = 0; count > max && ended < ENDED_MAX; ended++) {
        struct http_guest *guest = choose(patrol, now_ns, &phase, NULL);

        if (guest == NULL)
            return;
        end_guest(patrol, guest, why);
        count--;
    }
}

static void look(struct http_patrol *patrol)
{
    uint64_t now_ns = clock_ns();
    unsigned waiting = 0;
    struct list *node, *next_node;

    list_for_each(node, next_node, &patrol->guests)
    {
        struct http_guest *guest = list_entry(node, struct http_guest, node);

        if (!guest->is_ended)
            look_at(patrol, guest, now_ns);
        waiting += !guest->is_ended && guest->phase == HTTP_PHASE_HEAD;
    }
    thin_out(patrol, now_ns, waiting, patrol->limits->waiting_max, HTTP_PHASE_HEAD,
             "too many wait with their request (waiting-max)");
    thin_out(patrol, now_ns, patrol->count, patrol->limits->connections_max - 1, HTTP_PHASE_IDLE,
             "connections-max");
    http_linger_step(&patrol->linger, now_ns);
}

static void timer_fired(struct loop_timer *timer)
{
    struct http_patrol *patrol = container_of(timer, struct http_patrol, timer);

    check_magic(patrol, PATROL_MAGIC);
    check(pthread_mutex_lock(&patrol->lock) == 0);
    look(patrol);
    patrol->is_looking = !list_is_empty(&patrol->guests) || patrol->linger.count > 0;
    if (patrol->is_looking)
        loop_timer_set(patrol->loop, timer, loop_now_ns(patrol->loop) + LOOK_NS);
    check(pthread_mutex_unlock(&patrol->lock) == 0);
}

static void look_wanted(struct loop_message *message)
{
    struct http_patrol *patrol = container_of(message, struct http_patrol, message);

    check_magic(patrol, PATROL_MAGIC);
    if (!patrol->is_stopped)
        loop_timer_set(patrol->loop, &patrol->timer, loop_now_ns(patrol->loop) + LOOK_NS);
}

struct http_patrol *http_patrol_new(struct loop *loop, const struct http_limits *limits)
{
    struct http_patrol *patrol = calloc(1, sizeof(*patrol));

    if (patrol == NULL)
        return NULL;
    patrol->magic = PATROL_MAGIC;
    patrol->loop = loop;
    patrol->limits = limits;
    patrol->message.run_cb = look_wanted;
    patrol->timer.fired_cb = timer_fired;
    patrol->log_limit = (struct log_limit){.count_max = LOG_LINES_MAX, .span_ns = 10 * SECOND_NS};
    list_init(&patrol->guests);
    http_origins_init(&patrol->origins, clock_ns() * UINT64_C(0x9e3779b97f4a7c15));
    check(pthread_mutex_init(&patrol->lock, NULL) == 0);
    return patrol;
}

void http_patrol_stop(struct http_patrol *patrol)
{
    check_magic(patrol, PATROL_MAGIC);
    check(list_is_empty(&patrol->guests));
    http_linger_fini(&patrol->linger);
    patrol->is_stopped = true;
    loop_timer_cancel(patrol->loop, &patrol->timer);
}

void http_patrol_free(struct http_patrol *patrol)
{
    if (patrol == NULL)
        return;
    check_magic(patrol, PATROL_MAGIC);
    pthread_mutex_destroy(&patrol->lock);
    patrol->magic = 0;
    free(patrol);
}

/* Ends one that may go, so that another can come; false: nobody may. */
static bool make_room(struct http_patrol *patrol, const struct http_origin *origin, const char *why)
{
    struct http_guest *guest = choose(patrol, clock_ns(), NULL, origin);

    if (guest != NULL)
        end_guest(patrol, guest, why);
    return guest != NULL;
}

bool http_patrol_admit(struct http_patrol *patrol, const struct sockaddr *address)
{
    const struct http_limits *limits = patrol->limits;
    const struct http_origin *origin;
    bool may_come = true;

    check(pthread_mutex_lock(&patrol->lock) == 0);
    origin = http_origins_find(&patrol->origins, address);
    if (origin != NULL && origin->count >= limits->address_connections_max)
        may_come = make_room(patrol, origin, "connections-per-address");
    else if (patrol->count >= limits->connections_max)
        may_come = make_room(patrol, NULL, "connections-max") ||
                   patrol->count < 2 * limits->connections_max;
    check(pthread_mutex_unlock(&patrol->lock) == 0);
    return may_come;
}

/* Under the lock. */
static void want_look(struct http_patrol *patrol)
{
    if (!patrol->is_looking)
        loop_post(patrol->loop, &patrol->message);
    patrol->is_looking = true;
}

struct http_guest *http_patrol_enter(struct http_patrol *patrol, int fd,
                                     const struct sockaddr *address)
{
    struct http_guest *guest = calloc(1, sizeof(*guest));

    if (guest == NULL)
        return NULL;
    guest->fd = fd;
    guest->since_ns = guest->request_since_ns = clock_ns();
    check(pthread_mutex_lock(&patrol->lock) == 0);
    guest->origin = http_origins_join(&patrol->origins, address);
    list_append(&patrol->guests, &guest->node);
    patrol->count++;
    want_look(patrol);
    check(pthread_mutex_unlock(&patrol->lock) == 0);
    return guest;
}

void http_patrol_leave(struct http_patrol *patrol, struct http_guest *guest, bool may_linger)
{
    check(pthread_mutex_lock(&patrol->lock) == 0);
    list_remove(&guest->node);
    patrol->count -= !guest->is_ended;
    if (guest->origin != NULL)
        http_origin_leave(guest->origin);
    if (may_linger && !guest->is_ended) {
        http_linger_add(&patrol->linger, guest->fd, clock_ns());
        want_look(patrol);
    }
    check(pthread_mutex_unlock(&patrol->lock) == 0);
    free(guest);
}

void http_patrol_phase(struct http_patrol *patrol, struct http_guest *guest, enum http_phase phase)
{
    if (guest == NULL)
        return;
    check(pthread_mutex_lock(&patrol->lock) == 0);
    guest->phase = phase;
    guest->since_ns = clock_ns();
    if (phase == HTTP_PHASE_HEAD)
        guest->request_since_ns = guest->since_ns;
    guest->body_bytes = 0;
    guest->is_late = guest->is_late && phase != HTTP_PHASE_BODY; /* it came after all */
    check(pthread_mutex_unlock(&patrol->lock) == 0);
}

void http_patrol_body(struct http_patrol *patrol, struct http_guest *guest, size_t length)
{
    if (guest == NULL)
        return;
    check(pthread_mutex_lock(&patrol->lock) == 0);
    guest->body_bytes += length;
    check(pthread_mutex_unlock(&patrol->lock) == 0);
}

void http_patrol_proved(struct http_patrol *patrol, struct http_guest *guest)
{
    if (guest == NULL)
        return;
    check(pthread_mutex_lock(&patrol->lock) == 0);
    guest->is_proved = true;
    check(pthread_mutex_unlock(&patrol->lock) == 0);
}

bool http_patrol_has_ended(struct http_patrol *patrol, const struct http_guest *guest)
{
    bool has_ended;

    if (guest == NULL)
        return false;
    check(pthread_mutex_lock(&patrol->lock) == 0);
    has_ended = guest->is_ended;
    check(pthread_mutex_unlock(&patrol->lock) == 0);
    return has_ended;
}

bool http_patrol_is_late(struct http_patrol *patrol, const struct http_guest *guest)
{
    bool is_late;

    if (guest == NULL)
        return false;
    check(pthread_mutex_lock(&patrol->lock) == 0);
    is_late = guest->is_late && !guest->is_ended;
    check(pthread_mutex_unlock(&patrol->lock) == 0);
    return is_late;
}
