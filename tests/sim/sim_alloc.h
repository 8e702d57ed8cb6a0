/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory with an owner, so that a simulated process can vanish.
 *
 * The linker's --wrap sends malloc() and its kin here. Each allocation made while an owner is set
 * is remembered as that owner's; sim_alloc_drop() frees all of them at once, as the end of a
 * process does. There is no header in front of the bytes: the sanitizers see the real allocation.
 */
#ifndef SIM_ALLOC_H
#define SIM_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Makes `owner` (any address; NULL: nobody, not remembered) the owner of what is allocated from
 * here on; returns the one before. */
const void *sim_alloc_owner_set(const void *owner);
/* Frees all that `owner` has. Returns how many allocations that were. */
size_t sim_alloc_drop(const void *owner);
/* Allocations that `owner` has now. */
size_t sim_alloc_count(const void *owner);

/* Asked before each allocation that would have an owner; true: it fails. NULL ends it. */
void sim_alloc_watch(bool (*fails_cb)(void *arg, const void *owner), void *arg);
/* For harness code that allocates as a site: nobody is asked between true and false. */
void sim_alloc_spare(bool is_spared);

/* The owner's memory, as malloc() gives, that never fails; for free(). */
void *sim_owned_alloc(size_t size);

/* Memory of the simulation itself, zeroed, whoever is set as owner. Never NULL. */
void *sim_kernel_alloc(size_t size);
char *sim_kernel_text(const char *text);
void sim_kernel_free(void *at);

/* The same, not zeroed, for the few sizes that come and go all the time: kept for the next one.
 * Freed with the size it was asked for. */
void *sim_block_alloc(size_t size);
void sim_block_free(void *at, size_t size);

#endif
