/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the hosts of the group-cut oracle (tests/torture/chain_judge.py). Each chain is a thread
 * that writes one block after the other, on another disk each time, and begins the next one only
 * when the last was acknowledged. What it does is logged with CLOCK_MONOTONIC, so that the judge
 * can tell which blocks an image may show together.
 *
 *     chain_writer LOG SEED LINE PAUSE-US FIRST-BLOCK SLOTS STARTS URI...
 *
 * STARTS is SEQ:CRC,... for each chain: the number of its next record and the CRC of the last one.
 * It ends when it is killed. An error of the connection is met by a new connection and the same
 * write again; an error that the server answered is logged as well.
 *
 * Promises: a record is in the log before its first byte is sent; `issue` is not later than that
 * and `ack` not earlier than the reply. The content of a record follows from SEED, LINE, chain and
 * sequence number alone, so a restarted writer repeats what it cannot know to be written.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <libnbd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_SIZE = 4096, DISKS_MAX = 16, CHAINS_MAX = 64, MAGIC_SIZE = 8, CRC_OFFSET = 8 };

enum log_kind { LOG_ISSUE = 1, LOG_ACK = 2, LOG_ERROR = 3 };

/* One entry of the log and, without kind and time, the head of a block. Little endian. */
struct entry {
    uint32_t kind;
    uint32_t crc; /* of the block behind its own CRC; of LOG_ERROR: errno */
    uint32_t line;
    uint32_t chain;
    uint32_t disk;
    uint32_t previous; /* CRC of the chain's last record */
    uint64_t sequence;
    uint64_t block;
    uint64_t time_ns;
};

struct writer {
    int log;
    uint64_t seed, first_block, slots;
    uint32_t line, chain_count, disk_count;
    useconds_t pause_us;
    char *const *uris;
};

struct chain {
    const struct writer *writer;
    pthread_t thread;
    uint32_t number, previous;
    uint64_t sequence;
    struct nbd_handle *handles[DISKS_MAX];
    uint8_t block[BLOCK_SIZE];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Half of the records go to one eighth of the slots: blocks that are overwritten while they are
 * shipped. The chains lie between each other. */
static uint64_t choose_block(const struct chain *chain, uint64_t random)
{
    const struct writer *writer = chain->writer;
    uint64_t range = random & 1 ? writer->slots : (writer->slots + 7) / 8;

    return writer->first_block + (random >> 1) % range * writer->chain_count + chain->number;
}

static void log_entry(const struct writer *writer, struct entry entry, enum log_kind kind,
                      uint32_t crc)
{
    entry.kind = htole32(kind);
    entry.crc = htole32(crc);
    entry.time_ns = htole64(now_ns());
    if (write(writer->log, &entry, sizeof(entry)) != sizeof(entry))
        die("log");
}

/* Fills the block with its record; returns its CRC. */
static uint32_t fill_block(struct chain *chain, const struct entry *entry)
{
    uint64_t state = mix(chain->writer->seed ^ mix(chain->sequence) ^
                         ((uint64_t)chain->writer->line << 40) ^ chain->number);
    uint32_t crc;

    for (size_t at = 0; at < BLOCK_SIZE; at += sizeof(state)) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        memcpy(chain->block + at, &state, sizeof(state));
    }
    memcpy(chain->block, "VCHAIN01", MAGIC_SIZE);
    memcpy(chain->block + CRC_OFFSET + sizeof(crc), &entry->line,
           sizeof(*entry) - offsetof(struct entry, line) - sizeof(entry->time_ns));
    crc = crc32_gzip_refl(0, chain->block + CRC_OFFSET + sizeof(crc),
                          BLOCK_SIZE - CRC_OFFSET - sizeof(crc));
    uint32_t stored = htole32(crc);
    memcpy(chain->block + CRC_OFFSET, &stored, sizeof(stored));
    return crc;
}

static struct nbd_handle *connect_disk(const char *uri)
{
    struct nbd_handle *handle = nbd_create();

    if (handle == NULL)
        die("nbd_create");
    if (nbd_connect_uri(handle, uri) == 0)
        return handle;
    nbd_close(handle);
    return NULL;
}

/* One attempt; false: not acknowledged, a new connection is needed. */
static bool write_block(struct chain *chain, const struct entry *entry)
{
    const struct writer *writer = chain->writer;
    uint32_t disk = le32toh(entry->disk);
    struct nbd_handle **handle = &chain->handles[disk];
    uint32_t flags = chain->sequence % 16 == 0 ? LIBNBD_CMD_FLAG_FUA : 0;

    if (*handle == NULL && (*handle = connect_disk(writer->uris[disk])) == NULL)
        return false;
    if (nbd_pwrite(*handle, chain->block, BLOCK_SIZE, le64toh(entry->block) * BLOCK_SIZE, flags) ==
        0)
        return true;
    int error = nbd_get_errno();
    if (nbd_aio_is_ready(*handle))
        log_entry(writer, *entry, LOG_ERROR, (uint32_t)error);
    nbd_close(*handle);
    *handle = NULL;
    return false;
}

static void write_record(struct chain *chain)
{
    const struct writer *writer = chain->writer;
    uint64_t random = mix(writer->seed + chain->sequence * CHAINS_MAX + chain->number);
    struct entry entry = {
        .line = htole32(writer->line),
        .chain = htole32(chain->number),
        .disk = htole32((uint32_t)((chain->number + chain->sequence) % writer->disk_count)),
        .previous = htole32(chain->previous),
        .sequence = htole64(chain->sequence),
        .block = htole64(choose_block(chain, random)),
    };
    uint32_t crc = fill_block(chain, &entry);

    log_entry(writer, entry, LOG_ISSUE, crc);
    while (!write_block(chain, &entry))
        usleep(5000);
    log_entry(writer, entry, LOG_ACK, crc);
    chain->previous = crc;
    chain->sequence++;
}

static void *run_chain(void *argument)
{
    struct chain *chain = argument;

    for (;;) {
        write_record(chain);
        if (chain->writer->pause_us > 0)
            usleep(chain->writer->pause_us);
    }
    return NULL;
}

static uint32_t parse_starts(char *text, struct chain *chains)
{
    uint32_t count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (count == CHAINS_MAX || sscanf(word, "%" SCNu64 ":%" SCNu32, &chains[count].sequence,
                                          &chains[count].previous) != 2) {
            fprintf(stderr, "chain_writer: bad start %s\n", word);
            exit(2);
        }
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    struct writer writer = {0};
    struct chain *chains = calloc(CHAINS_MAX, sizeof(*chains));

    if (argc < 10 || argc - 8 > DISKS_MAX || chains == NULL) {
        fprintf(stderr, "usage: chain_writer LOG SEED LINE PAUSE-US FIRST-BLOCK SLOTS STARTS "
                        "URI URI...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    writer.log = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (writer.log < 0)
        die(argv[1]);
    writer.seed = strtoull(argv[2], NULL, 10);
    writer.line = (uint32_t)strtoul(argv[3], NULL, 10);
    writer.pause_us = (useconds_t)strtoul(argv[4], NULL, 10);
    writer.first_block = strtoull(argv[5], NULL, 10);
    writer.slots = strtoull(argv[6], NULL, 10);
    writer.chain_count = parse_starts(argv[7], chains);
    writer.disk_count = (uint32_t)(argc - 8);
    writer.uris = argv + 8;
    for (uint32_t i = 0; i < writer.chain_count; i++) {
        chains[i].writer = &writer;
        chains[i].number = i;
        if (pthread_create(&chains[i].thread, NULL, run_chain, &chains[i]) != 0)
            die("pthread_create");
    }
    for (uint32_t i = 0; i < writer.chain_count; i++)
        pthread_join(chains[i].thread, NULL);
    return 0;
}
