/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable bitmap: the file behind intent bits (R3), superseded journal blocks (R10) and the
 * blocks a layer holds (R11). Format: docs/bitfile.md.
 *
 * Each page of bits has two slots, with a sequence number and a CRC32C, and each slot two copies. A
 * save writes both copies of the older slot, so a torn save costs no more than itself; and one copy
 * that rots, or whose write was lost or landed elsewhere, costs nothing: its twin counts, and
 * mends it at the next opening. No valid copy left is an error that names file and offset.
 *
 * Bits live in memory too; setting and clearing there is immediate, and a save makes all that
 * changed before it durable. Saves that wait together share one sync.
 */
#ifndef STORE_BITFILE_H
#define STORE_BITFILE_H

#include "io/file.h"

struct bitfile;

struct bitfile_save {
    void (*done_cb)(struct bitfile_save *save, int error);
    struct list node; /* the bitfile's */
};

/* Opens `path`, or makes it for `bit_count` bits, all 0, durably. `kind` is 4 letters that stand in
 * the header ("INTN", "SUPR", "LAYR"); another kind or bit count found is -EINVAL, a damaged
 * header or a file that is not as long -EUCLEAN, a version that we do not know -EPROTONOSUPPORT.
 * Blocks. */
int bitfile_open(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                 struct bitfile **ret_file, struct err *err);
/* The same for an owner whose number of bits only grows, and whose growth may have been cut off: a
 * file of more bits is taken as it is, one of fewer is made larger, with the new bits set in
 * memory.
 */
int bitfile_open_grown(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct bitfile **ret_file, struct err *err);
/* The same for an owner who will clear them all: one that cannot be read is made anew, and lacks
 * nothing. */
int bitfile_open_blank(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct bitfile **ret_file, struct err *err);
/* More intent bits, all 0: durably when it returns 0; else it is as it was, but fenced if nobody
 * knows what its header says. No save may be in flight. Blocks. */
int bitfile_grow(struct bitfile *file, uint64_t bit_count, struct err *err);
/* Makes `path` with all bits set, durably and whole or not at all, in place of what is there.
 * Blocks. */
int bitfile_make_full(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                      struct err *err);
/* A page of which a slot has no valid copy reads as its other slot: right when a save was cut
 * short, older when both copies of the newer one are damaged, and nobody can tell. Sets all bits of
 * such pages, for owners to whom too many bits do no harm; true: there were some. A save makes it
 * durable. */
bool bitfile_fill_doubtful(struct bitfile *file);
/* Is there a file, whatever it holds? For owners to whom a missing one does not mean "no bit". */
bool bitfile_is_there(struct loop *loop, const char *path);
/* Frees it; no save may be in flight. NULL is fine. */
void bitfile_close(struct bitfile *file);

bool bitfile_has(const struct bitfile *file, uint64_t bit);
/* Is the bit set both in memory and durably (in a finished save)? */
bool bitfile_has_durable(const struct bitfile *file, uint64_t bit);
void bitfile_set(struct bitfile *file, uint64_t bit, uint64_t count);
void bitfile_clear(struct bitfile *file, uint64_t bit, uint64_t count);
/* First set bit at or after `from`; false: none. */
bool bitfile_next(const struct bitfile *file, uint64_t from, uint64_t *ret_bit);
uint64_t bitfile_bit_count(const struct bitfile *file);

/* The error that fenced the file, or 0. */
int bitfile_fence(const struct bitfile *file);

/* Makes the present bits durable, then done_cb (never from inside this call). After an error the
 * file is fenced: every later save fails too. */
void bitfile_save(struct bitfile *file, struct bitfile_save *save,
                  void (*done_cb)(struct bitfile_save *save, int error));

#endif
