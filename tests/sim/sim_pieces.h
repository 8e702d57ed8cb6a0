/* SPDX-License-Identifier: Apache-2.0 */
/* In what pieces the engines of a schedule do long work (replication/pieces.h). */
#ifndef SIM_PIECES_H
#define SIM_PIECES_H

#include <stdbool.h>

struct sim_run;

/* Small ones in one schedule of four, or always. Before run_go(). */
void run_choose_pieces(struct sim_run *run, bool is_always);

#endif
