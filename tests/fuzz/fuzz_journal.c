/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery of a journal whose segments were edited. Input: a script of edits (fuzz_image.h) on a
 * journal of some epochs in several segments; marks are segment headers and records.
 *
 * Checked beside crashes, while no checksum was forged:
 *   - an epoch that is shown is one that was committed, with all its blocks and their content;
 *   - the newest ones may be missing only when both copies of their commits were hit, the oldest
 *     ones only when the journal says so (its owner knows what it applied);
 * and always: an opened journal takes another epoch, is closed, opens again and shows the same.
 *
 * Covers: journal/journal_recover.c journal/journal_record.c journal/journal_segment.c
 * journal/journal_index.c journal/journal_door.c.
 */
#include <stdlib.h>

#include "base/crc32c.h"
#include "fuzz_seal.h"
#include "journal/journal.h"
#include "journal/journal_record.h"

enum { DISKS = 2, EPOCHS = 9, RUN_MAX = 3, EXTENTS_MAX = 4096, BLOCK_LIMIT = 64 };

#define FOLDER "/journal"

struct commit_place {
    uint64_t epoch;
    unsigned file;
    size_t offset; /* of the record; its twin is behind it */
};

struct template
{
    struct fuzz_image image;
    struct commit_place commits[EPOCHS + 1];
    struct journal_epoch epochs[EPOCHS + 1]; /* by number, from 1 */
};

struct game {
    struct fuzz_scene scene;
    const struct template *template;
    struct journal *journal;
    struct journal_op op;
    uint8_t bytes[RECORD_DATA_BLOCKS_MAX * BLOCK_SIZE];
    uint32_t crcs[RECORD_DATA_BLOCKS_MAX];
    bool is_done, is_forged;
    int error, expected; /* expected: of the next operation; 1: any */
    unsigned disk;
    uint64_t block, count, epoch;
};

/* --- operations of a journal ------------------------------------------------------------------ */

static void op_done(struct journal_op *op, int error)
{
    struct game *game = container_of(op, struct game, op);

    game->is_done = true;
    game->error = error;
}

static int run(struct game *game, void (*fn)(void *arg))
{
    return fuzz_scene_run(&game->scene, fn, game, &game->is_done, &game->error);
}

static void call_open(void *arg)
{
    struct game *game = arg;
    struct journal_options options = {.folder = FOLDER,
                                      .stream = "pg-fuzz",
                                      .segment_bytes = 32 << 10,
                                      .bytes_max = 64 << 20,
                                      .disk_count_max = DISKS};
    struct err err = {0};

    game->journal = NULL;
    game->error = journal_open(sim_site_loop(game->scene.server), &options, &game->journal, &err);
    check(game->error == 0 || err.text[0]);
    game->is_done = true;
}

static void call_close(void *arg)
{
    struct game *game = arg;

    journal_close(game->journal);
    game->journal = NULL;
    game->is_done = true;
}

/* What block `block` of that epoch holds: no two blocks ever hold the same. */
static void fill(uint8_t *bytes, uint64_t epoch, unsigned disk, uint64_t block)
{
    uint64_t value = epoch << 32 | disk << 24 | block;

    for (unsigned i = 0; i < BLOCK_SIZE / 8; i++)
        put_le64(bytes + (size_t)i * 8, value * 0x9e3779b97f4a7c15ull + i);
}

static void call_append(void *arg)
{
    struct game *game = arg;

    for (uint64_t i = 0; i < game->count; i++) {
        fill(game->bytes + i * BLOCK_SIZE, game->epoch, game->disk, game->block + i);
        game->crcs[i] = crc32c(0, game->bytes + i * BLOCK_SIZE, BLOCK_SIZE);
    }
    journal_append(game->journal, &game->op, game->disk, game->block, game->count, game->bytes,
                   game->crcs, op_done);
}

static void call_append_hole(void *arg)
{
    struct game *game = arg;

    journal_append_hole(game->journal, &game->op, game->disk, 40 + game->epoch % 1000, 2, op_done);
}

static void call_commit(void *arg)
{
    struct game *game = arg;
    struct journal_epoch epoch = {.epoch = game->epoch,
                                  .cut_wall_ns = game->epoch * 1000,
                                  .generation = {1, 2, 3},
                                  .digest = game->epoch ^ 0x55};

    journal_commit(game->journal, &game->op, &epoch, op_done);
}

/* Two runs of blocks, every third epoch a hole, the fourth empty. */
static int add_epoch(struct game *game, uint64_t epoch)
{
    int error = 0;

    game->epoch = epoch;
    for (unsigned i = 0; i < 2 && epoch != 4 && error == 0; i++) {
        game->disk = i;
        game->block = epoch * 3 % 20;
        game->count = 1 + (epoch + i) % RUN_MAX;
        error = run(game, call_append);
    }
    if (error == 0 && epoch % 3 == 0)
        error = run(game, call_append_hole);
    return error ? error : run(game, call_commit);
}

/* --- the template ----------------------------------------------------------------------------- */

static void mark_records(struct template *template, unsigned index, uint64_t number)
{
    const struct fuzz_file *file = &template->image.files[index];
    size_t offset = SEGMENT_HEADER_BYTES;
    struct journal_record record;

    fuzz_image_mark(&template->image, index, 0, 128);
    while (offset < file->length) {
        struct journal_commit_record commit;

        check(journal_record_decode(file->bytes + offset, number, offset, &record) == 0);
        fuzz_image_mark(&template->image, index, offset,
                        (size_t)journal_record_bytes(record.type, record.count));
        if (record.type == RECORD_COMMIT && record.block == 0) {
            journal_record_commit(&record, file->bytes + offset, &commit);
            check(commit.epoch.epoch <= EPOCHS);
            template->commits[commit.epoch.epoch] =
                (struct commit_place){commit.epoch.epoch, index, offset};
        }
        offset += (size_t)journal_record_bytes(record.type, record.count);
    }
}

static void make_template(struct template *template)
{
    static struct game game;

    fuzz_scene_open(&game.scene);
    check(run(&game, call_open) == 0);
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        check(add_epoch(&game, epoch) == 0);
        if (epoch == 5) { /* a second life */
            run(&game, call_close);
            check(run(&game, call_open) == 0);
        }
    }
    check(journal_epoch_count(game.journal) == EPOCHS);
    for (unsigned i = 0; i < EPOCHS; i++)
        template->epochs[i + 1] = *journal_epoch_at(game.journal, i);
    run(&game, call_close);
    fuzz_image_read(&template->image, game.scene.server, FOLDER);
    template->image.seal_cb = fuzz_seal_journal;
    for (unsigned i = 0; i < template->image.file_count; i++)
        mark_records(template, i,
                     strtoull(strrchr(template->image.files[i].path, '/') + 1, NULL, 10));
    fuzz_scene_close(&game.scene);
}

/* --- what must hold --------------------------------------------------------------------------- */

static void call_read(void *arg)
{
    struct game *game = arg;
    struct journal_extent extent;

    if (!journal_lookup(game->journal, game->disk, game->block, game->count, &extent) ||
        extent.is_hole) {
        game->count = extent.count;
        game->is_done = true;
        return;
    }
    game->epoch = extent.epoch;
    game->count = extent.count < RUN_MAX ? extent.count : RUN_MAX;
    extent.count = game->count;
    journal_read(game->journal, &game->op, &extent, game->bytes, op_done);
}

/* The newest view, block by block: readable, and what some epoch put there. */
static void check_view(struct game *game)
{
    uint8_t wanted[BLOCK_SIZE];

    for (game->disk = 0; game->disk < DISKS; game->disk++) {
        uint64_t block = 0;

        while (block < BLOCK_LIMIT) {
            game->block = block;
            game->count = BLOCK_LIMIT - block;
            game->epoch = 0;
            check(run(game, call_read) == 0 && game->count > 0);
            for (uint64_t i = 0; game->epoch > 0 && !game->is_forged && i < game->count; i++) {
                fill(wanted, game->epoch, game->disk, block + i);
                check(memcmp(game->bytes + i * BLOCK_SIZE, wanted, BLOCK_SIZE) == 0);
            }
            block += game->count;
        }
    }
}

static void check_extents(const struct game *game, const struct journal_epoch *epoch)
{
    struct journal_extent extent;
    uint64_t cursor = 0, blocks = 0;

    for (unsigned i = 0; journal_epoch_next(game->journal, epoch->epoch, &cursor, &extent); i++) {
        check(i < EXTENTS_MAX && extent.disk < DISKS && extent.count > 0);
        blocks += extent.count;
    }
    check(blocks == epoch->block_count);
}

static bool both_copies_hit(const struct fuzz_image *image, const struct commit_place *commit)
{
    return fuzz_image_is_damaged(image, commit->file, commit->offset, RECORD_ALIGN) &&
           fuzz_image_is_damaged(image, commit->file, commit->offset + RECORD_ALIGN, RECORD_ALIGN);
}

static void check_epochs(const struct game *game, const struct fuzz_image *image)
{
    unsigned count = journal_epoch_count(game->journal);
    uint64_t first = count > 0 ? journal_epoch_at(game->journal, 0)->epoch : 0;
    uint64_t last = count > 0 ? journal_epoch_at(game->journal, count - 1)->epoch : 0;

    for (unsigned i = 0; i < count; i++) {
        const struct journal_epoch *epoch = journal_epoch_at(game->journal, i);

        check_extents(game, epoch);
        if (image->is_forged)
            continue;
        check(epoch->epoch == first + i && epoch->epoch <= EPOCHS);
        check(memcmp(epoch, &game->template->epochs[epoch->epoch], sizeof(*epoch)) == 0);
    }
    if (image->is_forged)
        return;
    check(first <= 1 || journal_missing(game->journal) == first - 1);
    for (uint64_t epoch = last + 1; epoch <= EPOCHS; epoch++)
        check(both_copies_hit(image, &game->template->commits[epoch]) || image->has_removed);
}

static void check_goes_on(struct game *game)
{
    unsigned count = journal_epoch_count(game->journal);
    uint64_t last = count > 0 ? journal_epoch_at(game->journal, count - 1)->epoch : 0;
    uint64_t missing = journal_missing(game->journal);

    if (last > UINT64_MAX - 4 || missing > UINT64_MAX - 4)
        return; /* forged */
    check(add_epoch(game, (last > missing ? last : missing) + 3) == 0);
    check(journal_epoch_count(game->journal) == count + 1);
    run(game, call_close);
    check(run(game, call_open) == 0);
    check(journal_epoch_count(game->journal) == count + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct template template;
    static struct game game;
    struct bytes_reader script = {.at = bytes, .left = length};
    struct fuzz_image image;

    fuzz_quiet();
    if (template.image.file_count == 0)
        make_template(&template);
    fuzz_image_copy(&image, &template.image);
    fuzz_image_edit(&image, &script);
    game.template = &template;
    game.is_forged = image.is_forged;
    fuzz_scene_open(&game.scene);
    fuzz_image_write(&image, game.scene.server, FOLDER);
    if (run(&game, call_open) == 0) {
        check_epochs(&game, &image);
        check_view(&game);
        check_goes_on(&game);
        run(&game, call_close);
    }
    fuzz_scene_close(&game.scene);
    fuzz_image_free(&image);
    return 0;
}
