/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge. Each watched sector has a chain: what it held at first, then each write in order of
 * issue (hosts never write one sector twice at the same time, so that is also the order in which
 * they took effect). The same value may stand in a chain more than once only when it is 0 (trims
 * and zeroes); then an image is lawful if some choice of places makes it lawful, and judge_cut()
 * finds the least one.
 */
#include "sim_judge.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "sim_alloc.h"

enum { WORDS = JUDGE_SECTOR / 8 };

struct entry {
    uint64_t write, value;
    uint64_t issued, answered; /* ticks; answered 0: not */
    uint64_t answered_ns;
};

struct chain {
    struct entry *entries;
    unsigned count, max;
    unsigned durable; /* index of the newest entry known to be flushed */
};

struct judge_line {
    const struct judge_universe *universe;
    struct chain *chains;
};

void judge_universe_add(struct judge_universe *universe, unsigned disk, uint64_t offset,
                        uint64_t length)
{
    struct judge_span *span = &universe->spans[universe->span_count++];

    check(universe->span_count <= JUDGE_SPANS_MAX && disk < JUDGE_DISKS);
    check(offset + length <= universe->disk_bytes[disk]);
    *span = (struct judge_span){disk, offset, length, universe->sector_count};
    universe->sector_count += (unsigned)(length / JUDGE_SECTOR);
}

bool judge_sector(const struct judge_universe *universe, unsigned disk, uint64_t offset,
                  unsigned *ret_sector)
{
    for (unsigned i = 0; i < universe->span_count; i++) {
        const struct judge_span *span = &universe->spans[i];
        if (span->disk == disk && offset >= span->offset && offset < span->offset + span->length) {
            *ret_sector = span->first + (unsigned)((offset - span->offset) / JUDGE_SECTOR);
            return true;
        }
    }
    return false;
}

const char *judge_place(const struct judge_universe *universe, unsigned sector, char *text,
                        size_t size)
{
    for (unsigned i = 0; i < universe->span_count; i++) {
        const struct judge_span *span = &universe->spans[i];
        unsigned within = sector - span->first;
        if (sector >= span->first && within < span->length / JUDGE_SECTOR)
            snprintf(text, size, "disk %u block %llu sector %u", span->disk,
                     (unsigned long long)(span->offset / 4096 + within / 8), within % 8);
    }
    return text;
}

/* --- content --------------------------------------------------------------------------------- */

/* All words of a sector but the first are this, each with its index in it. */
static uint64_t base_of(uint64_t write, unsigned disk, uint64_t sector)
{
    return (write * 0x9e3779b97f4a7c15u) ^ (sector << 9) ^ disk;
}

static void fill_sector(uint8_t *bytes, unsigned disk, uint64_t sector, uint64_t write)
{
    uint64_t base = base_of(write, disk, sector);

    if (write == 0) {
        memset(bytes, 0, JUDGE_SECTOR);
        return;
    }
    put_le64(bytes, write);
    for (unsigned i = 1; i < WORDS; i++)
        put_le64(bytes + i * 8, base ^ i << 3);
}

void judge_fill(uint8_t *bytes, uint64_t length, unsigned disk, uint64_t offset, uint64_t write)
{
    for (uint64_t at = 0; at < length; at += JUDGE_SECTOR)
        fill_sector(bytes + at, disk, (offset + at) / JUDGE_SECTOR, write);
}

static bool say_torn(const uint8_t *bytes, unsigned disk, uint64_t sector, char *ret_why)
{
    uint8_t expected[JUDGE_SECTOR];
    uint64_t write = get_le64(bytes);
    unsigned at = 0;

    fill_sector(expected, disk, sector, write);
    while (at < JUDGE_SECTOR - 1 && bytes[at] == expected[at])
        at++;
    snprintf(ret_why, JUDGE_WHY_SIZE,
             "disk %u block %llu sector %llu is torn or from elsewhere (begins as write %llu, "
             "byte %u does not fit)",
             disk, (unsigned long long)sector / 8, (unsigned long long)sector % 8,
             (unsigned long long)write, at);
    return false;
}

static bool is_whole(const uint8_t *bytes, unsigned disk, uint64_t sector)
{
    uint64_t write = get_le64(bytes), base = base_of(write, disk, sector), wrong = 0;

    if (write == 0)
        return bytes_are_zero(bytes, JUDGE_SECTOR);
    for (unsigned i = 1; i < WORDS; i++)
        wrong |= get_le64(bytes + i * 8) ^ base ^ i << 3;
    return wrong == 0;
}

bool judge_values(const uint8_t *bytes, uint64_t length, unsigned disk, uint64_t offset,
                  uint64_t *ret_values, char *ret_why)
{
    if (bytes_are_zero(bytes, length)) {
        memset(ret_values, 0, length / JUDGE_SECTOR * sizeof(*ret_values));
        return true;
    }
    for (uint64_t at = 0; at < length; at += JUDGE_SECTOR) {
        ret_values[at / JUDGE_SECTOR] = get_le64(bytes + at);
        if (!is_whole(bytes + at, disk, (offset + at) / JUDGE_SECTOR))
            return say_torn(bytes + at, disk, (offset + at) / JUDGE_SECTOR, ret_why);
    }
    return true;
}

/* --- lines ----------------------------------------------------------------------------------- */

static void chain_add(struct chain *chain, struct entry entry)
{
    if (chain->count == chain->max) {
        unsigned max = chain->max ? chain->max * 2 : 8;
        struct entry *entries = sim_kernel_alloc(max * sizeof(*entries));
        if (chain->count > 0)
            memcpy(entries, chain->entries, chain->count * sizeof(*entries));
        sim_kernel_free(chain->entries);
        chain->entries = entries;
        chain->max = max;
    }
    chain->entries[chain->count++] = entry;
}

struct judge_line *judge_line_new(const struct judge_universe *universe, const uint64_t *image)
{
    struct judge_line *line = sim_kernel_alloc(sizeof(*line));

    line->universe = universe;
    line->chains = sim_kernel_alloc(universe->sector_count * sizeof(*line->chains));
    for (unsigned i = 0; i < universe->sector_count; i++)
        chain_add(&line->chains[i], (struct entry){.value = image[i], .answered = 1});
    return line;
}

void judge_line_free(struct judge_line *line)
{
    if (!line)
        return;
    for (unsigned i = 0; i < line->universe->sector_count; i++)
        sim_kernel_free(line->chains[i].entries);
    sim_kernel_free(line->chains);
    sim_kernel_free(line);
}

/* The watched sectors of a range, one run of them for each span. */
struct range {
    unsigned span, first, count; /* count 0: no more */
};

static struct range range_next(const struct judge_universe *universe, unsigned disk,
                               uint64_t offset, uint64_t length, unsigned span_first)
{
    for (unsigned i = span_first; i < universe->span_count; i++) {
        const struct judge_span *span = &universe->spans[i];
        uint64_t begin = offset > span->offset ? offset : span->offset;
        uint64_t end = span->offset + span->length;
        end = offset + length < end ? offset + length : end;
        if (span->disk == disk && begin < end)
            return (struct range){i,
                                  span->first + (unsigned)((begin - span->offset) / JUDGE_SECTOR),
                                  (unsigned)((end - begin + JUDGE_SECTOR - 1) / JUDGE_SECTOR)};
    }
    return (struct range){0};
}

bool judge_watches(const struct judge_universe *universe, unsigned disk, uint64_t offset,
                   uint64_t length)
{
    return range_next(universe, disk, offset, length, 0).count > 0;
}

#define FOR_EACH_RANGE(range, universe, disk, offset, length)                                      \
    for (struct range range = range_next(universe, disk, offset, length, 0); range.count > 0;      \
         range = range_next(universe, disk, offset, length, range.span + 1))

void judge_issue(struct judge_line *line, unsigned disk, uint64_t offset, uint64_t length,
                 uint64_t write, uint64_t value, uint64_t tick)
{
    FOR_EACH_RANGE(range, line->universe, disk, offset, length)
    {
        for (unsigned i = range.first; i < range.first + range.count; i++)
            chain_add(&line->chains[i],
                      (struct entry){.write = write, .value = value, .issued = tick});
    }
}

static void chain_answer(struct chain *chain, uint64_t write, uint64_t tick, uint64_t now_ns,
                         bool durable)
{
    for (unsigned i = chain->count; i-- > 0;) {
        struct entry *entry = &chain->entries[i];
        if (entry->write != write)
            continue;
        entry->answered = tick;
        entry->answered_ns = now_ns;
        if (durable && i > chain->durable)
            chain->durable = i;
        break;
    }
}

void judge_answer(struct judge_line *line, unsigned disk, uint64_t offset, uint64_t length,
                  uint64_t write, uint64_t tick, uint64_t now_ns, bool durable)
{
    FOR_EACH_RANGE(range, line->universe, disk, offset, length)
    {
        for (unsigned i = range.first; i < range.first + range.count; i++)
            chain_answer(&line->chains[i], write, tick, now_ns, durable);
    }
}

/* The newest entry answered before that tick. */
static unsigned answered_before(const struct chain *chain, uint64_t tick)
{
    for (unsigned i = chain->count; i-- > 0;) {
        if (chain->entries[i].answered && chain->entries[i].answered < tick)
            return i;
    }
    return 0;
}

void judge_flushed(struct judge_line *line, unsigned disk, uint64_t issued_tick)
{
    for (unsigned i = 0; i < line->universe->span_count; i++) {
        const struct judge_span *span = &line->universe->spans[i];
        if (span->disk != disk)
            continue;
        for (unsigned at = 0; at < span->length / JUDGE_SECTOR; at++) {
            struct chain *chain = &line->chains[span->first + at];
            unsigned index = answered_before(chain, issued_tick);
            if (index > chain->durable)
                chain->durable = index;
        }
    }
}

/* --- judgements ------------------------------------------------------------------------------ */

/* The first entry at or after `from` that holds `value`; count: none. */
static unsigned place_of(const struct chain *chain, uint64_t value, unsigned from)
{
    while (from < chain->count && chain->entries[from].value != value)
        from++;
    return from;
}

static bool say_missing(const struct judge_line *line, unsigned sector, uint64_t value,
                        unsigned needed, const char *rule, char *ret_why)
{
    const struct chain *chain = &line->chains[sector];
    char place[64];
    bool is_known = place_of(chain, value, 0) < chain->count;

    snprintf(ret_why, JUDGE_WHY_SIZE, "%s holds write %llu%s: write %llu is missing, %s",
             judge_place(line->universe, sector, place, sizeof(place)), (unsigned long long)value,
             is_known ? "" : " (never written on this line)",
             (unsigned long long)chain->entries[needed].write, rule);
    return false;
}

static unsigned answered_before_ns(const struct chain *chain, uint64_t cut_ns)
{
    for (unsigned i = chain->count; i-- > 0;) {
        if (chain->entries[i].answered && chain->entries[i].answered_ns < cut_ns)
            return i;
    }
    return 0;
}

/* Raises places[] until the image holds all that was answered before its newest write was issued.
 */
static bool close_cut(const struct judge_line *line, const uint64_t *image, unsigned *places,
                      char *ret_why)
{
    uint64_t latest = 0, before;

    do {
        before = latest;
        for (unsigned i = 0; i < line->universe->sector_count; i++) {
            uint64_t issued = line->chains[i].entries[places[i]].issued;
            latest = issued > latest ? issued : latest;
        }
        for (unsigned i = 0; i < line->universe->sector_count && latest > before; i++) {
            const struct chain *chain = &line->chains[i];
            unsigned needed = answered_before(chain, latest);
            if (needed <= places[i])
                continue;
            places[i] = place_of(chain, image[i], needed);
            if (places[i] == chain->count)
                return say_missing(line, i, image[i], needed,
                                   "though a write issued after its answer is there", ret_why);
        }
    } while (latest > before);
    return true;
}

bool judge_cut(const struct judge_line *line, const uint64_t *image, uint64_t cut_ns, char *ret_why)
{
    unsigned count = line->universe->sector_count;
    unsigned *places = sim_kernel_alloc(count * sizeof(*places));
    bool is_lawful = true;

    for (unsigned i = 0; i < count && is_lawful; i++) {
        const struct chain *chain = &line->chains[i];
        unsigned needed = answered_before_ns(chain, cut_ns);
        places[i] = place_of(chain, image[i], needed);
        if (places[i] == chain->count)
            is_lawful = say_missing(line, i, image[i], needed, "answered before the cut", ret_why);
    }
    is_lawful = is_lawful && close_cut(line, image, places, ret_why);
    sim_kernel_free(places);
    return is_lawful;
}

bool judge_crash(struct judge_line *line, const uint64_t *image, bool power, uint64_t tick,
                 uint64_t now_ns, char *ret_why)
{
    for (unsigned i = 0; i < line->universe->sector_count; i++) {
        struct chain *chain = &line->chains[i];
        unsigned needed = power ? chain->durable : answered_before(chain, UINT64_MAX);
        unsigned place = place_of(chain, image[i], needed);
        if (place == chain->count)
            return say_missing(line, i, image[i], needed,
                               power ? "flushed, lost by a power loss" : "answered, lost by a kill",
                               ret_why);
        /* Equal values (zeros) further on: the newest place is the one to go on from. */
        for (unsigned at = place; at < chain->count; at++) {
            if (chain->entries[at].value == image[i])
                place = at;
        }
        chain->count = place + 1;
        for (unsigned at = 0; at <= place; at++) {
            if (!chain->entries[at].answered) {
                chain->entries[at].answered = tick;
                chain->entries[at].answered_ns = now_ns;
            }
        }
        if (chain->durable > place)
            chain->durable = place;
    }
    return true;
}

bool judge_read(const struct judge_line *line, unsigned sector, uint64_t value,
                uint64_t issued_tick, char *ret_why)
{
    const struct chain *chain = &line->chains[sector];
    unsigned needed = answered_before(chain, issued_tick);

    if (place_of(chain, value, needed) < chain->count)
        return true;
    return say_missing(line, sector, value, needed, "answered before this read was issued",
                       ret_why);
}
