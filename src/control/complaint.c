/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a site whose metadata has no room refuses all it is asked, hundreds of times a second, each
 * for the same reason. A log that is full of that reason hides the others, and takes the room that
 * is missing.
 */
#include "control/complaint.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define SPAN_NS UINT64_C(10000000000)

enum { TEXTS_MAX = 10, CALLS_MAX = 20 };

void complaint_init(struct complaint *complaint)
{
    *complaint = (struct complaint){.texts = {.count_max = TEXTS_MAX, .span_ns = SPAN_NS},
                                    .calls = {.count_max = CALLS_MAX, .span_ns = SPAN_NS}};
}

static const char *and_more(const struct complaint *complaint, char text[32])
{
    text[0] = 0;
    if (complaint->more > 0)
        snprintf(text, 32, " (%u more)", complaint->more);
    return text;
}

/* Most texts have it already. */
static const char *prefix(const char *text)
{
    static const char metadata[] = "metadata: ";

    return strncmp(text, metadata, sizeof(metadata) - 1) == 0 ? "" : metadata;
}

static bool is_same(const struct complaint *complaint, const char *text)
{
    return complaint->is_failing && strcmp(text, complaint->newest.text) == 0;
}

void complaint_failed(struct complaint *complaint, uint64_t now_ns, const struct err *err)
{
    unsigned ignored; /* they are in `more` */
    bool is_told = is_same(complaint, err->text)
                       ? now_ns - complaint->told_ns >= SPAN_NS
                       : log_limit_take(&complaint->texts, now_ns, &ignored);
    char more[32];

    complaint->is_failing = true;
    complaint->failed_ns = now_ns;
    complaint->newest = *err;
    if (!is_told) {
        complaint->more++;
        return;
    }
    log_error("control", "%s%s%s", prefix(err->text), err->text, and_more(complaint, more));
    complaint->told_ns = now_ns;
    complaint->more = 0;
}

void complaint_stored(struct complaint *complaint, uint64_t now_ns)
{
    char more[32];

    if (!complaint->is_failing || now_ns - complaint->failed_ns < SPAN_NS)
        return;
    log_notice("control", "metadata: changes are stored again%s", and_more(complaint, more));
    complaint->is_failing = false;
    complaint->more = 0;
}

void complaint_call(struct complaint *complaint, uint64_t now_ns, const char *operation,
                    const char *why)
{
    unsigned dropped;

    if (is_same(complaint, why) && now_ns - complaint->failed_ns < SPAN_NS)
        return;
    if (!log_limit_take(&complaint->calls, now_ns, &dropped))
        return;
    if (dropped > 0)
        log_error("control", "%u lines about calls that failed were left out", dropped);
    log_error("control", "%s: %s", operation, why);
}
