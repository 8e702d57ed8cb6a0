/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one queue between what happens and the database of events (audit.h says when it is written
 * and what may be lost). Everything that comes in here is bounded: words by their fields, lines by
 * the second, the queue by QUEUE_MAX.
 */
#include "control/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/audit_object.h"
#include "control/tree.h"

#define SECOND_NS UINT64_C(1000000000)
#define WRITE_NS (SECOND_NS / 4)
#define RETRY_NS (5 * SECOND_NS)
#define GAP_NS (60 * SECOND_NS)

enum { AUDIT_MAGIC = 0x61756469, QUEUE_MAX = 20000, READS_MAX = 200, REFUSED_MAX = 50 };

struct audit {
    uint32_t magic;
    struct site *site;
    struct event_store *store; /* NULL: nothing is kept */
    unsigned reads_max, refused_max;
    struct event_record *queue;
    unsigned count, room;
    bool has_change; /* in the queue */
    bool is_failing;
    uint64_t second_ns; /* when the second began that is counted now */
    unsigned taken[EVENT_CLASS_COUNT], dropped[EVENT_CLASS_COUNT];
    unsigned lost; /* because the database cannot be written, not told yet */
    uint64_t lost_total;
    uint64_t gap_ns; /* when it was last told what is missing; 0: never */
    struct loop_timer timer;
    uint64_t armed_ns; /* 0: not */
};

static void timer_fired(struct loop_timer *timer);

void audit_init(struct site *site, struct event_store *store, unsigned reads_max,
                unsigned refused_max)
{
    struct audit *audit = calloc(1, sizeof(*audit));

    check(audit);
    audit->magic = AUDIT_MAGIC;
    audit->site = site;
    audit->store = store;
    audit->reads_max = reads_max ? reads_max : READS_MAX;
    audit->refused_max = refused_max ? refused_max : REFUSED_MAX;
    audit->timer.fired_cb = timer_fired;
    site->audit = audit;
}

static void arm(struct audit *audit, uint64_t wait_ns)
{
    uint64_t at_ns = loop_now_ns(audit->site->loop) + (audit->is_failing ? RETRY_NS : wait_ns);

    if (audit->armed_ns > 0 && audit->armed_ns <= at_ns)
        return;
    audit->armed_ns = at_ns;
    loop_timer_set(audit->site->loop, &audit->timer, at_ns);
}

/* --- the queue ------------------------------------------------------------------------------- */

static void forget_oldest(struct audit *audit)
{
    unsigned half = audit->count / 2;

    memmove(audit->queue, audit->queue + half, (audit->count - half) * sizeof(*audit->queue));
    audit->count -= half;
    audit->lost += half;
    audit->lost_total += half;
}

static void push(struct audit *audit, const struct event_record *record)
{
    if (audit->count == QUEUE_MAX)
        forget_oldest(audit);
    if (audit->count == audit->room) {
        audit->room = audit->room ? audit->room * 2 : 64;
        audit->queue = realloc(audit->queue, audit->room * sizeof(*audit->queue));
        check(audit->queue);
    }
    audit->queue[audit->count] = *record;
    audit->queue[audit->count].wall_ms = (int64_t)(loop_wall_ns(audit->site->loop) / 1000000);
    audit->count++;
}

/* A line of kind "audit" that says what is missing. */
static void push_gap(struct audit *audit, const char *format, unsigned count)
{
    struct event_record record = {.class = EVENT_STATE, .severity = EVENT_WARNING, .kind = "audit"};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(record.text, sizeof(record.text), format, count);
#pragma GCC diagnostic pop
    push(audit, &record);
    audit->has_change = true;
}

static void tell_gaps(struct audit *audit)
{
    if (audit->dropped[EVENT_READ] > 0)
        push_gap(audit, "%u reads were not recorded: too many a second",
                 audit->dropped[EVENT_READ]);
    if (audit->dropped[EVENT_REFUSED] > 0)
        push_gap(audit, "%u refused calls of strangers were not recorded: too many a second",
                 audit->dropped[EVENT_REFUSED]);
    if (audit->dropped[EVENT_DENIED] > 0)
        push_gap(audit, "%u calls that a user may not make were not recorded: too many a second",
                 audit->dropped[EVENT_DENIED]);
    if (audit->lost > 0)
        push_gap(audit, "%u lines are lost: the record of events could not be written",
                 audit->lost);
    memset(audit->dropped, 0, sizeof(audit->dropped));
    audit->lost = 0;
}

static bool has_gap(const struct audit *audit)
{
    return audit->dropped[EVENT_READ] + audit->dropped[EVENT_REFUSED] +
               audit->dropped[EVENT_DENIED] + audit->lost >
           0;
}

/* No share bounds such lines; one a second, which strangers can cause, would push others out. */
static void tell_gaps_sometimes(struct audit *audit)
{
    uint64_t now_ns = loop_now_ns(audit->site->loop);

    if (audit->gap_ns > 0 && now_ns - audit->gap_ns < GAP_NS) {
        arm(audit, audit->gap_ns + GAP_NS - now_ns);
        return;
    }
    audit->gap_ns = now_ns;
    tell_gaps(audit);
}

static void next_second(struct audit *audit)
{
    uint64_t now_ns = loop_now_ns(audit->site->loop);

    if (now_ns - audit->second_ns < SECOND_NS)
        return;
    audit->second_ns = now_ns;
    memset(audit->taken, 0, sizeof(audit->taken));
}

/* False: counted instead. */
static bool may_push(struct audit *audit, enum event_class class)
{
    bool is_refused = class == EVENT_REFUSED || class == EVENT_DENIED;
    unsigned most = class == EVENT_READ ? audit->reads_max
                    : is_refused        ? audit->refused_max
                                        : UINT32_MAX;

    next_second(audit);
    if (audit->taken[class] >= most) {
        audit->dropped[class]++;
        audit->lost_total++;
        return false;
    }
    audit->taken[class]++;
    return true;
}

/* --- writing --------------------------------------------------------------------------------- */

static void note_failure(struct audit *audit, const struct err *err)
{
    if (!audit->is_failing)
        log_error("audit", "%s; %u lines wait", err->text, audit->count);
    audit->is_failing = true;
}

static bool flush(struct audit *audit)
{
    struct err err = {0};

    if (audit->count == 0)
        return true;
    if (event_store_append(audit->store, audit->queue, audit->count, audit->has_change, &err) < 0) {
        note_failure(audit, &err);
        return false;
    }
    if (audit->is_failing)
        log_info("audit", "the record of events is written again");
    audit->is_failing = audit->has_change = false;
    audit->count = 0;
    return true;
}

static void timer_fired(struct loop_timer *timer)
{
    struct audit *audit = container_of(timer, struct audit, timer);

    check_magic(audit, AUDIT_MAGIC);
    audit->armed_ns = 0;
    if (flush(audit) && has_gap(audit))
        tell_gaps_sometimes(audit);
    if (audit->count > 0)
        arm(audit, SECOND_NS);
}

void audit_flush(struct site *site)
{
    check_magic(site->audit, AUDIT_MAGIC);
    if (site->audit->store)
        flush(site->audit);
}

void audit_fini(struct site *site)
{
    struct audit *audit = site->audit;

    if (!audit)
        return;
    check_magic(audit, AUDIT_MAGIC);
    loop_timer_cancel(site->loop, &audit->timer);
    if (audit->store) {
        tell_gaps(audit);
        flush(audit);
    }
    free(audit->queue);
    audit->magic = 0;
    free(audit);
    site->audit = NULL;
}

struct event_store *audit_store(struct site *site)
{
    check_magic(site->audit, AUDIT_MAGIC);
    return site->audit->store;
}

uint64_t audit_lost(const struct site *site)
{
    check_magic(site->audit, AUDIT_MAGIC);
    return site->audit->lost_total;
}

/* --- lines ----------------------------------------------------------------------------------- */

/* What is too long is cut between two characters. */
static void take(char *to, size_t size, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    if (length > 0)
        memcpy(to, text, length);
    to[length] = '\0';
}

/* Without what SignatureDoesNotMatch tells the client: the request, with its parameters. */
static void take_message(char *to, size_t size, const char *text)
{
    char *tail;

    take(to, size, text);
    tail = strstr(to, " server string to sign");
    if (tail)
        *tail = '\0';
}

/* Who is known and may not: he changes nothing, however often he asks. */
static bool is_denied(const struct audit_call *call)
{
    return call->http_status == 403 && !caller_is_root(call->caller) &&
           strncmp(tree_text(call->body, "Code"), "Forbidden", 9) == 0;
}

static enum event_class class_of(const struct audit_call *call)
{
    if (!call->caller)
        return EVENT_REFUSED;
    if (is_denied(call))
        return EVENT_DENIED;
    return call->is_read ? EVENT_READ : EVENT_CHANGE;
}

static void add_passed(char *text, size_t size)
{
    static const char passed[] = "passed on by the other site";
    char others[256];

    snprintf(others, sizeof(others), "%s", text);
    if (others[0])
        snprintf(text, size, "%s; %.200s", passed, others);
    else
        snprintf(text, size, "%s", passed);
}

void audit_call(struct site *site, const struct audit_call *call)
{
    struct audit *audit = site->audit;
    enum event_class class = class_of(call);
    struct event_record record = {.class = class, .kind = "call", .status = call->http_status};

    check_magic(audit, AUDIT_MAGIC);
    if (!audit->store)
        return;
    arm(audit, class == EVENT_CHANGE ? WRITE_NS : SECOND_NS);
    if (!may_push(audit, class))
        return;
    if (call->caller) {
        take(record.caller, sizeof(record.caller), call->caller->user);
        take(record.key_id, sizeof(record.key_id), call->caller->key_id);
        take(record.source, sizeof(record.source), call->caller->source);
    } else {
        take(record.source, sizeof(record.source), call->source);
        take(record.key_id, sizeof(record.key_id), call->key_id);
    }
    take(record.request_id, sizeof(record.request_id), call->request_id);
    take(record.action, sizeof(record.action), call->action);
    take(record.object, sizeof(record.object),
         audit_object_of(call->operation, call->texts, call->body));
    if (call->http_status != 200) {
        take(record.code, sizeof(record.code), tree_text(call->body, "Code"));
        take_message(record.text, sizeof(record.text), tree_text(call->body, "Message"));
    } else {
        audit_object_others(call->operation, call->texts, call->body, record.text,
                            sizeof(record.text));
        if (call->is_passed)
            add_passed(record.text, sizeof(record.text));
    }
    record.severity = call->http_status >= 500 ? EVENT_WARNING : EVENT_INFO;
    record.duration_us = (int64_t)((loop_now_ns(site->loop) - call->began_ns) / 1000);
    push(audit, &record);
    audit->has_change |= class == EVENT_CHANGE;
}

void audit_event(struct site *site, const char *kind, enum event_severity severity,
                 const char *object, const char *format, ...)
{
    struct audit *audit = site->audit;
    struct event_record record = {.class = EVENT_STATE, .severity = severity};
    va_list arguments;

    check_magic(audit, AUDIT_MAGIC);
    if (!audit->store)
        return;
    take(record.kind, sizeof(record.kind), kind);
    take(record.object, sizeof(record.object), object);
    va_start(arguments, format);
    vsnprintf(record.text, sizeof(record.text), format, arguments);
    va_end(arguments);
    push(audit, &record);
    audit->has_change = true;
    arm(audit, WRITE_NS);
}
