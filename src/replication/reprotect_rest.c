/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a reprotect that was decided goes on at each meeting, and a failed try ends in a meeting.
 * What keeps the loser (no room for a snapshot) stays so for minutes or hours; without a pause both
 * sites try as fast as the link is.
 */
#include "replication/reprotect_rest.h"

#include "base/check.h"

#define REST_NS (5 * UINT64_C(1000000000))

static void rest_is_over(struct loop_timer *timer)
{
    struct reprotect *reprotect = container_of(timer, struct reprotect, again);
    struct stream *stream = container_of(reprotect, struct stream, reprotect);

    check_magic(stream, STREAM_MAGIC);
    reprotect->is_resting = false;
    if (!stream->is_ending)
        stream_role_changed(stream); /* the two meet */
}

void reprotect_rest_begin(struct stream *stream)
{
    stream->reprotect.is_resting = true;
    stream->reprotect.again.fired_cb = rest_is_over;
    loop_timer_set(stream->loop, &stream->reprotect.again, loop_now_ns(stream->loop) + REST_NS);
}

void reprotect_rest_end(struct stream *stream)
{
    stream->reprotect.is_resting = false;
    loop_timer_cancel(stream->loop, &stream->reprotect.again);
}
