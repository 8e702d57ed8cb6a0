/* SPDX-License-Identifier: Apache-2.0 */
/* Small pieces: the usual ones are larger than all that the disks and flows of a schedule hold. */
#include "sim_pieces.h"

#include "sim_kernel.h"
#include "sim_run.h"

#define DRAW(random, ...)                                                                          \
    ((const uint64_t[]){__VA_ARGS__}[sim_draw_below(                                               \
        random, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))])

/* What holds a frame of four blocks, and little more. */
static void choose_link_pieces(struct sim_random *random, struct link_pieces *link)
{
    link->frame_bytes = 17 << 10;
    link->credit_bytes = (uint32_t)DRAW(random, 1, 4096);
    link->window_bytes = (uint32_t)DRAW(random, 22 << 10, 22 << 10, 40 << 10);
    link->queue_bytes = (uint32_t)DRAW(random, 18 << 10, 30 << 10, 0);
}

/* In one schedule of four, or always, long work goes in small pieces, so that what happens between
 * two pieces happens here too. Drawn apart: no other draw is disturbed, and a schedule that has
 * none of this is as it was before. */
void run_choose_pieces(struct sim_run *run, bool is_always)
{
    struct sim_random random = {run->seed * 0x9e3779b97f4a7c15u + 0x70696563};
    struct pieces *pieces = &run->pieces;

    if (!sim_draw_chance(&random, 25) && !is_always)
        return;
    run->figures.in_pieces = 1;
    *pieces = (struct pieces){
        .hole_blocks = DRAW(&random, 0, 6, 20, 100),
        .hole_count = DRAW(&random, 0, 1, 3),
        .read_blocks = DRAW(&random, 0, 4, 40),
        .move_blocks = DRAW(&random, 0, 1, 5),
        .drain_bytes = DRAW(&random, 0, 4096, 5 * 4096, 20 * 4096),
        .segment_bytes = DRAW(&random, 0, 16 << 10, 64 << 10),
        .table_entries = DRAW(&random, 0, 1, 4),
        .dirty_runs = DRAW(&random, 0, 1, 3),
    };
    pieces->link.turn_bytes = (uint32_t)DRAW(&random, 0, 100, 5000);
    if (pieces->read_blocks == 4)
        choose_link_pieces(&random, &pieces->link);
    if (sim_draw_chance(&random, 50)) { /* the stash is full at once, or on disk at once */
        run->settings.stash_memory_bytes = 0;
        run->settings.stash_disk_bytes = DRAW(&random, 0, 4096, 1 << 20);
        run->settings.bandwidth_bytes = DRAW(&random, 0, 100 << 10, 400 << 10);
    }
    pieces->index_extents = DRAW(&random, 0, 1, 2, 5);
}
