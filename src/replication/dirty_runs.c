/* SPDX-License-Identifier: Apache-2.0 */
/* What the loser of a reprotect tells: its open and suspect blocks as runs, message after message.
 */
#include "replication/dirty_runs.h"

#include "base/bytes.h"
#include "volume/volume.h"

static uint16_t dirty_runs_max(const struct stream *stream)
{
    uint64_t runs = piece_or(stream->settings.pieces.dirty_runs, DIRTY_RUNS_MAX);

    return (uint16_t)(runs < DIRTY_RUNS_MAX ? runs : DIRTY_RUNS_MAX);
}

/* The next message of runs from where the telling stands. False: all is told. */
bool dirty_runs_gather(struct stream *stream, struct stream_dirty *ret_dirty, uint8_t *ret_runs)
{
    struct reprotect *reprotect = &stream->reprotect;

    while (reprotect->tell_disk < stream->state.disk_count) {
        const struct volume *volume = stream->volumes[reprotect->tell_disk];
        const struct blockset *set =
            tracking_set(volume, reprotect->tell_suspects ? TRACKING_SUSPECT : TRACKING_OPEN);
        uint64_t from = reprotect->tell_block, block, count;
        uint16_t runs = 0, runs_max = dirty_runs_max(stream);

        while (runs < runs_max && from < blockset_size(set) &&
               blockset_next(set, from, UINT64_MAX, &block, &count)) {
            put_le64(ret_runs + 16 * (size_t)runs, block);
            put_le64(ret_runs + 16 * (size_t)runs + 8, count);
            from = block + count;
            runs++;
        }
        *ret_dirty = (struct stream_dirty){.nonce = reprotect->nonce,
                                           .disk = (uint16_t)reprotect->tell_disk,
                                           .is_suspect = reprotect->tell_suspects,
                                           .run_count = runs};
        if (runs > 0)
            return true;
        reprotect->tell_block = 0;
        if (reprotect->tell_suspects)
            reprotect->tell_disk++;
        reprotect->tell_suspects = !reprotect->tell_suspects;
    }
    return false;
}

void dirty_runs_advance(struct reprotect *reprotect, const struct stream_dirty *dirty,
                        const uint8_t *runs)
{
    const uint8_t *last = runs + 16 * (size_t)(dirty->run_count - 1);

    reprotect->tell_block = get_le64(last) + get_le64(last + 8);
    reprotect->run_count += dirty->run_count;
}
