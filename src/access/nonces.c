/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: who hears a signed request must not be able to send it once more, and the memory for that
 * is bounded, dies with the power, and may not cost a sync a request.
 *
 * A ring in a mapping of a file (kill-safe, io/file.h) holds the last nonces in the order of their
 * arrival; an index beside it finds them. Keys share LANES floors, by a hash of their id: sharing
 * one makes a refusal likelier, never a replay.
 *
 *   N1  A request is taken only if its time is above the floor of its lane and its tag is not in
 *       the ring.
 *   N2  What leaves the ring raises its lane's floor to its time first. So forgetting is never
 *       forgiving: not for want of room, not when a clock jumps back.
 *   N3  A mapping of another start of the kernel tells nothing. Then no time up to the start of
 *       this process and NONCES_AHEAD_S more is taken, by the clock as it is now: should it be put
 *       right after the start, the floor moves with it.
 *   N4  Of a lane no time further ahead than that is taken before a ceiling at or above it is
 *       durable in nonces.ahead; in the case of N3 ceilings become floors.
 *   N5  A nonce is in the mapping before its request is done.
 *
 * nonces.volatile, in the host's byte order (it never outlives the running kernel): struct head,
 * the floors, then the ring. Valid if and only if struct head is what this process would write.
 * nonces.ahead, little-endian: LANES records of 16 bytes: 0 4 CRC32C of the rest, 4 4 lane,
 * 8 8 ceiling in seconds; or zeros: none. It is made whole, durably, before anything is taken:
 * where it is missing nothing ever was. It is synced before it is read (a killed process may have
 * left its bytes in the page cache). A record that is not valid counts as the end of the window.
 */
#include "access/nonces.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "io/file.h"

enum {
    NONCES_MAGIC = 0x6e6f6e63,
    VERSION = 1,
    LANES = 4096,
    RECORD_BYTES = 16,
    AHEAD_BYTES = LANES * RECORD_BYTES,
    CEILING_STEP_S = 120,
    CAPACITY_MIN = 16,
    CAPACITY_MAX = 1 << 26,
};

#define SECOND_NS UINT64_C(1000000000)

struct head {
    char magic[8];
    uint32_t version, capacity, lanes, zero;
    char boot_id[64];
};

struct entry {
    uint64_t tag;
    uint32_t time_s, lane;
};

/* The mapping. */
struct memory {
    struct head head;
    uint8_t tag_key[SIGNATURE_HASH_SIZE];
    uint64_t taken;                  /* ever; the next one goes to taken % capacity */
    uint64_t is_suspect, started_ns; /* N3: since then, by the monotonic clock */
    int64_t floors[LANES];
    struct entry ring[];
};

struct nonces {
    uint32_t magic;
    struct nonces_options options;
    struct memory *memory;
    size_t memory_bytes;
    uint32_t *heads, *nexts; /* chains of the index: a place in the ring + 1 */
    uint32_t mask;           /* of heads */
    struct io_file *ahead;
    bool is_fenced; /* a sync of `ahead` failed */
    int64_t ceilings[LANES];
};

static int64_t wall_s(const struct nonces *nonces)
{
    return (int64_t)(loop_wall_ns(nonces->options.loop) / SECOND_NS);
}

static void path_of(const struct nonces *nonces, const char *name, char *ret_path)
{
    check(snprintf(ret_path, PATH_MAX, "%s/%s", nonces->options.folder, name) < PATH_MAX);
}

/* --- nonces.ahead ---------------------------------------------------------------------------- */

static void encode_record(unsigned lane, int64_t ceiling, uint8_t *ret_record)
{
    put_le32(ret_record + 4, lane);
    put_le64(ret_record + 8, (uint64_t)ceiling);
    put_le32(ret_record, crc32c(0, ret_record + 4, RECORD_BYTES - 4));
}

static bool decode_record(const uint8_t *record, unsigned lane, int64_t *ret_ceiling)
{
    *ret_ceiling = 0;
    if (bytes_are_zero(record, RECORD_BYTES))
        return true;
    *ret_ceiling = (int64_t)get_le64(record + 8);
    return get_le32(record) == crc32c(0, record + 4, RECORD_BYTES - 4) &&
           get_le32(record + 4) == lane && *ret_ceiling > 0 && *ret_ceiling <= UINT32_MAX;
}

/* All ceilings, in a new file in place of the old one. */
static int ahead_write(struct nonces *nonces, struct err *err)
{
    uint8_t *bytes = calloc(1, AHEAD_BYTES);
    int error;

    if (!bytes)
        return err_set(err, -ENOMEM, "nonces: out of memory");
    for (unsigned lane = 0; lane < LANES; lane++)
        if (nonces->ceilings[lane] > 0)
            encode_record(lane, nonces->ceilings[lane], bytes + lane * RECORD_BYTES);
    error = io_file_replace(nonces->options.loop, nonces->options.folder, "nonces.ahead", bytes,
                            AHEAD_BYTES, err);
    free(bytes);
    return error;
}

/* The number of records that are not valid: these count as the end of the window. */
static unsigned ahead_decode(struct nonces *nonces, const uint8_t *bytes)
{
    int64_t end = wall_s(nonces) + nonces->options.window_s + CEILING_STEP_S;
    unsigned bad_count = 0;

    for (unsigned lane = 0; lane < LANES; lane++)
        if (!bytes || !decode_record(bytes + lane * RECORD_BYTES, lane, &nonces->ceilings[lane])) {
            nonces->ceilings[lane] = end;
            bad_count++;
        }
    return bad_count;
}

static int ahead_read(struct nonces *nonces, struct io_file *file, const char *path,
                      unsigned *ret_bad, struct err *err)
{
    uint8_t *bytes = calloc(1, AHEAD_BYTES);
    int error;

    if (!bytes)
        return err_set(err, -ENOMEM, "nonces: out of memory");
    /* A process that was killed may have left what is in no memory but this kernel's. */
    error = io_file_sync_now(nonces->options.loop, file);
    if (error == 0)
        error = io_dir_sync(nonces->options.loop, nonces->options.folder);
    if (error == 0)
        error = io_file_read_now(nonces->options.loop, file, bytes, AHEAD_BYTES, 0);
    if (error == 0 || error == -ENODATA)
        *ret_bad = ahead_decode(nonces, error == 0 ? bytes : NULL);
    free(bytes);
    if (error != 0 && error != -ENODATA)
        return err_set(err, error, "read %s: %s", path, err_name(error));
    return 0;
}

/* `ret_is_fresh`: there was none, so nothing was ever taken here. */
static int ahead_open(struct nonces *nonces, bool *ret_is_fresh, struct err *err)
{
    struct loop *loop = nonces->options.loop;
    struct err why = {0};
    struct io_file *file;
    unsigned bad_count = 0;
    char path[PATH_MAX];
    int error;

    path_of(nonces, "nonces.ahead", path);
    error = io_file_open(loop, path, 0, &file, &why);
    *ret_is_fresh = error == -ENOENT;
    if (error != 0 && error != -ENOENT)
        return err_set(err, error, "%s", why.text);
    if (error == 0) {
        error = ahead_read(nonces, file, path, &bad_count, err);
        io_file_close(loop, file);
        if (error == 0 && bad_count > 0)
            log_warning("api", "%s: %u records are damaged: their keys wait for %u s", path,
                        bad_count, nonces->options.window_s);
    }
    if (error == -ENOENT || (error == 0 && bad_count > 0))
        error = ahead_write(nonces, err);
    if (error == 0)
        error = io_file_open(loop, path, 0, &nonces->ahead, err);
    return error;
}

/* N4 */
static int ahead_raise(struct nonces *nonces, unsigned lane, int64_t time_s)
{
    uint8_t record[RECORD_BYTES];
    int64_t ceiling = time_s + CEILING_STEP_S;
    int error;

    if (time_s <= nonces->ceilings[lane])
        return 0;
    if (nonces->is_fenced)
        return -EIO;
    encode_record(lane, ceiling, record);
    error = io_file_write_now(nonces->options.loop, nonces->ahead, record, sizeof(record),
                              (uint64_t)lane * RECORD_BYTES);
    if (error == 0)
        error = io_file_sync_now(nonces->options.loop, nonces->ahead);
    if (error != 0) {
        nonces->is_fenced = true;
        log_error("api",
                  "nonces.ahead: %s: requests from clocks that are ahead are refused until "
                  "the daemon is restarted",
                  err_name(error));
        return -EIO;
    }
    nonces->ceilings[lane] = ceiling;
    return 0;
}

/* --- the ring -------------------------------------------------------------------------------- */

static uint32_t *chain_of(struct nonces *nonces, uint64_t tag)
{
    return &nonces->heads[tag & nonces->mask];
}

static void index_add(struct nonces *nonces, uint32_t place)
{
    uint32_t *head = chain_of(nonces, nonces->memory->ring[place].tag);

    nonces->nexts[place] = *head;
    *head = place + 1;
}

static void index_remove(struct nonces *nonces, uint32_t place)
{
    uint32_t *link = chain_of(nonces, nonces->memory->ring[place].tag);

    while (*link != place + 1) {
        check(*link != 0);
        link = &nonces->nexts[*link - 1];
    }
    *link = nonces->nexts[place];
}

static bool index_has(struct nonces *nonces, uint64_t tag)
{
    for (uint32_t at = *chain_of(nonces, tag); at != 0; at = nonces->nexts[at - 1])
        if (nonces->memory->ring[at - 1].tag == tag)
            return true;
    return false;
}

static int index_new(struct nonces *nonces)
{
    uint32_t capacity = nonces->options.capacity, heads = 1;
    uint64_t taken;

    check(nonces->memory);
    taken = nonces->memory->taken;
    while (heads < capacity)
        heads *= 2;
    nonces->mask = heads - 1;
    nonces->heads = calloc(heads, sizeof(nonces->heads[0]));
    nonces->nexts = calloc(capacity, sizeof(nonces->nexts[0]));
    if (!nonces->heads || !nonces->nexts)
        return -ENOMEM;
    for (uint32_t place = 0; place < capacity && place < taken; place++)
        index_add(nonces, place);
    return 0;
}

static void fill_head(const struct nonces *nonces, struct head *ret_head)
{
    memset(ret_head, 0, sizeof(*ret_head));
    memcpy(ret_head->magic, "VERSONON", 8);
    ret_head->version = VERSION;
    ret_head->capacity = nonces->options.capacity;
    ret_head->lanes = LANES;
    snprintf(ret_head->boot_id, sizeof(ret_head->boot_id), "%s",
             loop_boot_id(nonces->options.loop));
}

static int map(struct nonces *nonces, const char *path, struct err *err)
{
    void *at;
    int error = io_map_open(nonces->options.loop, path, nonces->memory_bytes, &at, err);

    if (error == 0)
        nonces->memory = at;
    return error;
}

/* A mapping that tells nothing, in place of one that means nothing; the head last, so that one
 * that was not finished is made again. */
static int map_anew(struct nonces *nonces, const char *path, bool is_fresh, struct err *err)
{
    struct loop *loop = nonces->options.loop;
    struct memory *memory;
    int error;

    io_map_close(loop, nonces->memory, nonces->memory_bytes);
    nonces->memory = NULL;
    error = io_unlink(loop, path);
    if (error != 0)
        return err_set(err, error, "%s: cannot remove it: %s", path, err_name(error));
    error = map(nonces, path, err);
    if (error != 0)
        return error;
    memory = nonces->memory;
    for (unsigned i = 0; i < sizeof(memory->tag_key) / 8; i++)
        put_le64(memory->tag_key + 8 * i, loop_random(loop));
    memory->is_suspect = !is_fresh;
    memory->started_ns = loop_now_ns(loop);
    for (unsigned lane = 0; lane < LANES; lane++)
        memory->floors[lane] = nonces->ceilings[lane];
    atomic_signal_fence(memory_order_seq_cst);
    fill_head(nonces, &memory->head);
    return 0;
}

static int memory_open(struct nonces *nonces, bool is_fresh, struct err *err)
{
    struct head head;
    char path[PATH_MAX];
    int error;

    path_of(nonces, "nonces.volatile", path);
    nonces->memory_bytes =
        sizeof(struct memory) + (size_t)nonces->options.capacity * sizeof(struct entry);
    error = map(nonces, path, err);
    fill_head(nonces, &head);
    if (error == 0 && (is_fresh || memcmp(&nonces->memory->head, &head, sizeof(head)) != 0))
        error = map_anew(nonces, path, is_fresh, err);
    if (error == 0 && index_new(nonces) < 0)
        error = err_set(err, -ENOMEM, "nonces: out of memory");
    return error;
}

/* --- the door -------------------------------------------------------------------------------- */

int nonces_open(const struct nonces_options *options, struct nonces **ret_nonces, struct err *err)
{
    struct nonces *nonces = calloc(1, sizeof(*nonces));
    bool is_fresh = false;
    int error;

    if (!nonces)
        return err_set(err, -ENOMEM, "nonces: out of memory");
    nonces->magic = NONCES_MAGIC;
    nonces->options = *options;
    if (options->capacity == 0)
        nonces->options.capacity = NONCES_DEFAULT;
    if (options->window_s == 0)
        nonces->options.window_s = NONCES_WINDOW_S;
    check(nonces->options.capacity >= CAPACITY_MIN && nonces->options.capacity <= CAPACITY_MAX);
    error = ahead_open(nonces, &is_fresh, err);
    if (error == 0)
        error = memory_open(nonces, is_fresh, err);
    if (error != 0) {
        nonces_close(nonces);
        return error;
    }
    *ret_nonces = nonces;
    return 0;
}

void nonces_close(struct nonces *nonces)
{
    if (!nonces)
        return;
    check_magic(nonces, NONCES_MAGIC);
    if (nonces->memory)
        io_map_close(nonces->options.loop, nonces->memory, nonces->memory_bytes);
    if (nonces->ahead)
        io_file_close(nonces->options.loop, nonces->ahead);
    free(nonces->heads);
    free(nonces->nexts);
    nonces->magic = 0;
    free(nonces);
}

/* N3, N4: in seconds. */
static int64_t floor_of(const struct nonces *nonces, unsigned lane)
{
    const struct memory *memory = nonces->memory;
    int64_t floor = memory->floors[lane], start;

    if (memory->is_suspect) {
        uint64_t age_ns = loop_now_ns(nonces->options.loop) - memory->started_ns;

        start = wall_s(nonces) - (int64_t)(age_ns / SECOND_NS);
        if (start + NONCES_AHEAD_S + 1 > floor)
            floor = start + NONCES_AHEAD_S + 1;
    }
    return floor;
}

enum nonce_verdict nonces_judge(struct nonces *nonces, const char *key_id, const char *text,
                                int64_t time_s, struct nonce *ret_nonce)
{
    uint8_t tag[SIGNATURE_HASH_SIZE];
    int64_t now_s, window_s, floor;

    check_magic(nonces, NONCES_MAGIC);
    now_s = wall_s(nonces);
    window_s = nonces->options.window_s;
    if (time_s < now_s - window_s || time_s > now_s + window_s || time_s <= 0 ||
        time_s > UINT32_MAX)
        return NONCE_EXPIRED;
    if (signature_tag(nonces->options.signature, nonces->memory->tag_key, key_id, text, tag) < 0)
        return NONCE_LATER;
    ret_nonce->tag = get_le64(tag);
    ret_nonce->time_s = (uint32_t)time_s;
    ret_nonce->lane = crc32c(0, key_id, strlen(key_id)) % LANES;
    if (index_has(nonces, ret_nonce->tag))
        return NONCE_USED;
    floor = floor_of(nonces, ret_nonce->lane);
    if (time_s > floor)
        return NONCE_FRESH;
    return now_s <= floor ? NONCE_LATER : NONCE_EXPIRED;
}

int nonces_take(struct nonces *nonces, const struct nonce *nonce)
{
    struct memory *memory;
    uint32_t place;

    check_magic(nonces, NONCES_MAGIC);
    memory = nonces->memory;
    place = (uint32_t)(memory->taken % nonces->options.capacity);
    if (nonce->time_s > wall_s(nonces) + NONCES_AHEAD_S &&
        ahead_raise(nonces, nonce->lane, nonce->time_s) < 0)
        return -EIO;
    if (memory->taken >= nonces->options.capacity) {
        const struct entry *old = &memory->ring[place];
        int64_t *floor = &memory->floors[old->lane % LANES];

        if (*floor < old->time_s)
            *floor = old->time_s;
        index_remove(nonces, place);
    }
    /* A kill between any two of these leaves N1 and N2 true. */
    atomic_signal_fence(memory_order_seq_cst);
    memory->ring[place] = (struct entry){nonce->tag, nonce->time_s, nonce->lane};
    atomic_signal_fence(memory_order_seq_cst);
    memory->taken++;
    index_add(nonces, place);
    return 0;
}
