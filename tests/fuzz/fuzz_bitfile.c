/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of intent bits, edited. Input: a script of edits (fuzz_image.h); marks are the header
 * and the copies of the slots.
 *
 * Checked, while nothing was forged: each page holds the bits of its newest save, or of the one
 * before when both copies of a slot were hit, never others. Always: what opens can be changed,
 * saved, opened again, and holds what it held.
 *
 * Covers: store/bitfile_open.c store/bitfile_save.c store/bitfile_format.c.
 */
#include <stdlib.h>

#include "fuzz_seal.h"
#include "store/bitfile.h"
#include "store/bitfile_format.h"

enum { BITS = 40000, PAGES = 2, SAVES = 4 };

#define FOLDER "/bits"
#define PATH FOLDER "/intent"

struct game {
    struct fuzz_scene scene;
    struct bitfile *file;
    struct bitfile_save save;
    bool is_done;
    int error;
    unsigned step;
};

/* Of save `step`: bit by bit, the same rule for both pages. */
static bool wanted(uint64_t bit, unsigned step)
{
    return step > 0 && (bit * 2654435761u >> 7) % 101 == step;
}

/* wanted() as a table, a byte a bit: made once. */
static const uint8_t *wanted_table(unsigned step)
{
    static uint8_t tables[SAVES + 2][BITS];
    static bool is_made;

    for (unsigned i = 0; !is_made && i < SAVES + 2; i++)
        for (uint64_t bit = 0; bit < BITS; bit++)
            tables[i][bit] = wanted(bit, i);
    is_made = true;
    return tables[step];
}

static void call_open(void *arg)
{
    struct game *game = arg;
    struct err err = {0};

    check(io_dir_make(sim_site_loop(game->scene.server), FOLDER) == 0);
    game->file = NULL;
    game->error =
        bitfile_open(sim_site_loop(game->scene.server), PATH, "INTN", BITS, &game->file, &err);
    check(game->error == 0 || err.text[0]);
    game->is_done = true;
}

static void call_close(void *arg)
{
    struct game *game = arg;

    bitfile_close(game->file);
    game->file = NULL;
    game->is_done = true;
}

static void saved(struct bitfile_save *save, int error)
{
    struct game *game = container_of(save, struct game, save);

    check(error == 0);
    game->is_done = true;
}

static void call_save(void *arg)
{
    struct game *game = arg;

    bitfile_clear(game->file, 0, BITS);
    for (uint64_t bit = 0; bit < BITS; bit++)
        if (wanted_table(game->step)[bit])
            bitfile_set(game->file, bit, 1);
    bitfile_save(game->file, &game->save, saved);
}

static int run(struct game *game, void (*fn)(void *arg))
{
    game->is_done = false;
    fuzz_scene_call(&game->scene, fn, game);
    fuzz_scene_await(&game->scene, &game->is_done);
    return game->error;
}

static void seal(struct fuzz_image *image, const struct fuzz_place *mark)
{
    fuzz_seal_bitfile(image, mark, "INTN");
}

static void make_image(struct fuzz_image *image)
{
    struct game game = {0};

    fuzz_scene_open(&game.scene);
    check(sim_site_call(game.scene.server, call_open, &game));
    for (game.step = 1; game.step <= SAVES; game.step++)
        run(&game, call_save);
    run(&game, call_close);
    fuzz_image_read(image, game.scene.server, FOLDER);
    image->seal_cb = seal;
    fuzz_image_mark(image, 0, 0, 64);
    for (uint64_t page = 0; page < PAGES; page++)
        for (unsigned i = 0; i < BITFILE_COPIES * BITFILE_SLOTS; i++)
            fuzz_image_mark(image, 0, (size_t)bitfile_slot_offset(page, i % 2, i / 2),
                            BITFILE_PAGE_BYTES);
    fuzz_scene_close(&game.scene);
}

static bool page_is(const struct game *game, uint64_t page, unsigned step)
{
    static uint8_t has[BITFILE_PAGE_BITS];
    uint64_t from = page * BITFILE_PAGE_BITS, bit;
    uint64_t count = BITS - from < BITFILE_PAGE_BITS ? BITS - from : BITFILE_PAGE_BITS;

    memset(has, 0, count);
    for (bit = from; bitfile_next(game->file, bit, &bit) && bit < from + count; bit++)
        has[bit - from] = 1;
    return memcmp(has, wanted_table(step) + from, count) == 0;
}

static bool is_slot_hit(const struct fuzz_image *image, uint64_t page, unsigned slot)
{
    bool is_hit = true;

    for (unsigned copy = 0; copy < BITFILE_COPIES; copy++)
        is_hit =
            is_hit && fuzz_image_is_damaged(image, 0, (size_t)bitfile_slot_offset(page, slot, copy),
                                            (size_t)BITFILE_PAGE_BYTES);
    return is_hit;
}

static void check_pages(const struct game *game, const struct fuzz_image *image)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        bool is_hit = is_slot_hit(image, page, 0) || is_slot_hit(image, page, 1);

        check(page_is(game, page, SAVES) || (is_hit && page_is(game, page, SAVES - 1)) ||
              (is_hit && page_is(game, page, 0)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct fuzz_image template;
    struct bytes_reader script = {.at = bytes, .left = length};
    struct fuzz_image image;
    struct game game = {.step = 5};

    fuzz_quiet();
    if (template.file_count == 0)
        make_image(&template);
    fuzz_image_copy(&image, &template);
    fuzz_image_edit(&image, &script);
    fuzz_scene_open(&game.scene);
    fuzz_image_write(&image, game.scene.server, FOLDER);
    if (run(&game, call_open) == 0) {
        uint64_t bit;

        if (!image.is_forged && !image.has_removed)
            check_pages(&game, &image);
        check(!bitfile_next(game.file, 0, &bit) || bit < BITS);
        run(&game, call_save);
        run(&game, call_close);
        check(run(&game, call_open) == 0);
        for (uint64_t page = 0; page < PAGES; page++)
            check(page_is(&game, page, 5));
        run(&game, call_close);
    }
    fuzz_scene_close(&game.scene);
    fuzz_image_free(&image);
    return 0;
}
