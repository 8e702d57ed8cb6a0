/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In what pieces long work goes: part of the options of who does it. 0 stands for the usual value,
 * which production takes always. The simulation takes small ones too: its disks and flows are
 * smaller than a usual piece, and what happens between two pieces would never happen there.
 */
#ifndef REPLICATION_PIECES_H
#define REPLICATION_PIECES_H

#include <stdint.h>

enum { PIECES_BLOCKS_MAX = 256 }; /* of a read, a message, a record */

struct link_pieces {
    uint32_t frame_bytes;  /* at least the payload of the longest data frame of these streams */
    uint32_t window_bytes; /* of data that a channel sends without credit, if the peer lets it */
    uint32_t queue_bytes;  /* of data that wait, a channel; more than a frame and its header */
    uint32_t credit_bytes; /* goes back in portions of at least this; with a frame in the window */
    uint32_t turn_bytes;   /* of a channel, before it is the next one's turn */
};

struct pieces {
    uint64_t hole_blocks;   /* of zeros, in one write of replication to a disk */
    uint64_t hole_count;    /* of first copies, under way at a target */
    uint64_t read_blocks;   /* of one read at a source, so of a message; PIECES_BLOCKS_MAX */
    uint64_t move_blocks;   /* of data, from the journal to the disk; PIECES_BLOCKS_MAX */
    uint64_t drain_bytes;   /* between two syncs of the disks */
    uint64_t segment_bytes; /* of a journal; usually by the journal's size */
    uint64_t table_entries; /* of one record of a journal */
    uint64_t index_extents; /* of a journal's index, in one turn of the loop */
    uint64_t dirty_runs;    /* in a message of the loser of a reprotect */
    struct link_pieces link;
};

static inline uint64_t piece_or(uint64_t piece, uint64_t usual)
{
    return piece != 0 ? piece : usual;
}

#endif
