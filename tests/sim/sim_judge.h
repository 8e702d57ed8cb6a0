/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge: what images of the disks are lawful, given what hosts wrote and when they were
 * answered. It is never seen by the engine. The rules are those of docs/model/epochs.py, by sector
 * (512 bytes) where the model has blocks:
 *
 *   cut     an image holds every write answered before the cut, and is closed under "answered
 *           before issued": if it holds a write, it holds all that were answered before that one
 *           was issued
 *   crash   after a kill every answered write is there; after a power loss every flushed one
 *   read    a host's read shows the last answered write or one under way
 *
 * Only the sectors of a universe are watched: a few spans, placed where mistakes hide (borders of
 * regions, both ends of a disk). Everything else is never written but with zeros.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JUDGE_DISKS = 2,
    JUDGE_SPANS_MAX = 12,
    JUDGE_SECTOR = 512,
    JUDGE_WHY_SIZE = 300,
};

struct judge_span {
    unsigned disk;
    uint64_t offset, length; /* bytes, whole blocks */
    unsigned first;          /* number of its first sector in an image */
};

struct judge_universe {
    uint64_t disk_bytes[JUDGE_DISKS];
    struct judge_span spans[JUDGE_SPANS_MAX];
    unsigned span_count, sector_count;
};

/* Spans of one disk must not overlap. */
void judge_universe_add(struct judge_universe *universe, unsigned disk, uint64_t offset,
                        uint64_t length);

/* A sector's content names its write (0: zeros), so that any byte out of place is seen. */
void judge_fill(uint8_t *bytes, uint64_t length, unsigned disk, uint64_t offset, uint64_t write);
/* Of a whole number of sectors read at `offset`; writes to ret_values[0 ..]. False: a sector is
 * torn or belongs elsewhere. */
bool judge_values(const uint8_t *bytes, uint64_t length, unsigned disk, uint64_t offset,
                  uint64_t *ret_values, char *ret_why);

/* One line of history: a site's writes since it became writable. */
struct judge_line;
struct judge_line *judge_line_new(const struct judge_universe *universe, const uint64_t *image);
void judge_line_free(struct judge_line *line);

/* A write of `value` was issued (tick: a counter that rises with every call); and was answered, at
 * `now_ns`; durable: with FUA. */
void judge_issue(struct judge_line *line, unsigned disk, uint64_t offset, uint64_t length,
                 uint64_t write, uint64_t value, uint64_t tick);
void judge_answer(struct judge_line *line, unsigned disk, uint64_t offset, uint64_t length,
                  uint64_t write, uint64_t tick, uint64_t now_ns, bool durable);
/* A flush of the disk, issued at that tick, ended well. */
void judge_flushed(struct judge_line *line, unsigned disk, uint64_t issued_tick);

/* Each: true, or false with the reason in ret_why (JUDGE_WHY_SIZE). */
bool judge_cut(const struct judge_line *line, const uint64_t *image, uint64_t cut_ns,
               char *ret_why);
/* Afterwards what the image holds is the truth. */
bool judge_crash(struct judge_line *line, const uint64_t *image, bool power, uint64_t tick,
                 uint64_t now_ns, char *ret_why);
/* One sector as read by a host whose read was issued at that tick. */
bool judge_read(const struct judge_line *line, unsigned sector, uint64_t value,
                uint64_t issued_tick, char *ret_why);
/* The sector of an image at that place; false: not watched. */
bool judge_sector(const struct judge_universe *universe, unsigned disk, uint64_t offset,
                  unsigned *ret_sector);
/* Is any of these bytes watched? */
bool judge_watches(const struct judge_universe *universe, unsigned disk, uint64_t offset,
                   uint64_t length);
/* "disk 1 block 1023 sector 4" */
const char *judge_place(const struct judge_universe *universe, unsigned sector, char *text,
                        size_t size);

#endif
