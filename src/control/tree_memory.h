/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for trees: what a tree gives back is kept for the next one, by its size, up to a bound;
 * each thread has its own. Aborts when there is none.
 *
 * For the daemon only: in the simulation sites share a thread, and the memory of one that is killed
 * goes with it.
 */
#ifndef CONTROL_TREE_MEMORY_H
#define CONTROL_TREE_MEMORY_H

#include <stddef.h>

/* Behind tree_init(): all trees take theirs here from now on. */
void tree_memory_install(void);
void *tree_memory_take(size_t size);
void tree_memory_give(void *memory); /* of any thread; NULL is fine */
/* Of the calling thread, what is kept; for the end of one that used trees. */
void tree_memory_drop(void);

#endif
