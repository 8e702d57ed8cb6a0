/* SPDX-License-Identifier: Apache-2.0 */
/*
 * R17: what compared equal in a first copy is settled. A lost connection does not make it suspect
 * again; else a link that drops more often than it takes to compare all that was sent would never
 * end a first copy.
 *
 * Settled is a word about one running source and one running target: the target's disks hold the
 * block, but perhaps in its memory alone. So neither makes it durable. Our restart knows of none;
 * a target names its life, made at its start, and how many blocks came in it. Each connection asks
 * (WHO) before anything else, and does nothing while it has settled blocks and no answer (LIFE).
 * They are suspect again
 *
 *   in another life, or with a peer that cannot say which it is;
 *   when less came than must have: the target was put back with its memory (a machine's snapshot);
 *   when more came than we sent, or the question before this one, by the target, is none of ours:
 *     we were, or one of both sites went two ways from one such snapshot, whose counts may agree;
 *   when the first copy is done: there is a point to compare with.
 */
#include "replication/source_parts.h"

#include <errno.h>
#include <string.h>

#include "wire/peer_life.h"

enum { PROTOCOL_WITHOUT_LIFE = 1 };

uint64_t source_settled_count(const struct source *source)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < source->volume_count; i++)
        if (tracking_is_on(source->volumes[i]))
            count += blockset_count(tracking_set(source->volumes[i], TRACKING_SETTLED));
    return count;
}

uint64_t source_settled_life(const struct source *source)
{
    return source->link != NULL && source->peer.is_known ? source->peer.life : 0;
}

static int unsettle(struct source *source, bool with_initial)
{
    int error = 0;

    for (unsigned i = 0; i < source->volume_count && error == 0; i++)
        if (tracking_is_on(source->volumes[i]) && (with_initial || !source->is_initial[i]))
            error = tracking_unsettle(source->volumes[i]);
    return error;
}

void source_unsettle(struct source *source)
{
    (void)unsettle(source, true); /* dirty_file.c takes what stays for suspect, too */
}

static bool has_initial(const struct source *source)
{
    for (unsigned i = 0; i < source->volume_count; i++)
        if (source->is_initial[i])
            return true;
    return false;
}

/* Without memory some of it stays settled, and is not believed on the next connection either. */
static void unsettle_or_part(struct source *source, bool with_initial)
{
    if (unsettle(source, with_initial) == 0)
        return;
    source->peer.is_known = false;
    source->peer.life = 0;
    link_drop(source->link, "no memory at the source");
}

void source_meet_life(struct source *source)
{
    bool can_say = link_protocol(source->link) != PROTOCOL_WITHOUT_LIFE;

    source->peer.is_known = false;
    source->peer.is_unsent = can_say && has_initial(source);
    unsettle_or_part(source, !can_say);
}

bool source_send_who(struct source *source)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];

    if (!source->peer.is_unsent)
        return true;
    /* Random: a source that was put back must not ask what it asked before. */
    uint64_t token = loop_random(source->loop) | 1;
    uint32_t length = stream_number_encode(token, bytes);

    if (link_send_data(source->link, source->stream, STREAM_WHO, bytes, length, NULL, 0) != 0)
        return false;
    memmove(source->peer.whos + 1, source->peer.whos,
            (WHO_COUNT - 1) * sizeof(source->peer.whos[0]));
    source->peer.whos[0] = token;
    source->peer.asked = source->shipped_blocks;
    source->peer.is_unsent = false;
    return true;
}

/* Of those before the newest one the target has answered the last that came. */
static bool has_met_us(const struct source_peer_life *peer, uint64_t met)
{
    for (unsigned i = 1; i < WHO_COUNT; i++)
        if (peer->whos[i] != 0 && peer->whos[i] == met)
            return true;
    return false;
}

bool source_take_life(struct source *source, const struct link_frame_in *frame, struct err *why)
{
    struct source_peer_life *peer = &source->peer;
    struct peer_life life;

    if (!peer_life_decode(frame->bytes, frame->length, &life)) {
        err_set(why, -EPROTO, "a malformed LIFE");
        return false;
    }
    if (peer->is_unsent || peer->is_known || life.token != peer->whos[0])
        return true; /* of an earlier connection */
    bool is_same = life.life == peer->life && life.came >= peer->sure - peer->lost &&
                   life.came <= peer->asked - peer->lost && has_met_us(peer, life.met);

    peer->is_known = true;
    peer->life = life.life;
    peer->lost = peer->asked - life.came;
    peer->sure = peer->asked;
    memset(peer->whos + 1, 0, sizeof(peer->whos) - sizeof(peer->whos[0]));
    if (!is_same)
        unsettle_or_part(source, true);
    source_poll_soon(source);
    return true;
}

int source_settle_block(struct source *source, const struct slot *slot, uint64_t block)
{
    enum tracking_set into = source->peer.is_known ? TRACKING_SETTLED : TRACKING_UNACKED;
    int error = tracking_suspect_equals(source->volumes[slot->volume], into, block, 1);

    if (error == 0 && source->peer.sure < slot->shipped)
        source->peer.sure = slot->shipped;
    return error;
}
