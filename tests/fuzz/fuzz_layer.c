/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot layer whose three files (data, .map, .info) were edited. Input: a script of edits
 * (fuzz_image.h); marks are the info, the map's header and slots, the data's blocks.
 *
 * Checked: what opens is listed, describes itself within bounds, can be read where it says that it
 * kept, keeps more, and opens again with at least that; without a forgery its description is the
 * one it was made with.
 *
 * Covers: journal/layer.c journal/layer_info.c store/bitfile_open.c store/bitfile_save.c
 * store/bitfile_format.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_seal.h"
#include "journal/layer.h"
#include "store/bitfile_format.h"

enum { BLOCKS = 64, KEPT = 6 };

#define FOLDER "/layers"

struct game {
    struct fuzz_scene scene;
    struct layer *layer;
    struct layer_op op;
    uint8_t bytes[BLOCKS * BLOCK_SIZE];
    uint64_t block, count;
    bool is_done, is_listed;
    int error;
};

static const struct layer_description description = {.id = "l-1",
                                                     .disk = "d-1",
                                                     .label = "g7",
                                                     .reason = "reprotect of pg-1",
                                                     .size_bytes = (uint64_t)BLOCKS * BLOCK_SIZE,
                                                     .created_wall_ns = 5,
                                                     .expires_wall_ns = 9};

static void call_create(void *arg)
{
    struct game *game = arg;
    struct loop *loop = sim_site_loop(game->scene.server);

    check(io_dir_make(loop, FOLDER) == 0);
    check(layer_create(loop, FOLDER, &description, &game->layer, NULL) == 0);
    game->is_done = true;
}

static void note_layer(void *arg, const char *id)
{
    struct game *game = arg;

    game->is_listed = game->is_listed || strcmp(id, "l-1") == 0;
}

static void call_open(void *arg)
{
    struct game *game = arg;
    struct loop *loop = sim_site_loop(game->scene.server);
    struct layer_description found = {0};
    struct err err = {0};

    game->layer = NULL;
    check(layer_list(loop, FOLDER, note_layer, game) == 0);
    game->error = layer_read_info(loop, FOLDER, "l-1", &found, &err);
    if (game->error == 0)
        game->error = layer_open(loop, FOLDER, &found, &game->layer, &err);
    check(game->error == 0 || err.text[0]);
    game->is_done = true;
}

static void call_close(void *arg)
{
    struct game *game = arg;

    layer_close(game->layer);
    game->is_done = true;
}

static void op_done(struct layer_op *op, int error)
{
    struct game *game = container_of(op, struct game, op);

    game->error = error;
    game->is_done = true;
}

static void call_keep(void *arg)
{
    struct game *game = arg;

    layer_keep(game->layer, &game->op, game->block, game->count, game->bytes, op_done);
}

static void call_read(void *arg)
{
    struct game *game = arg;

    layer_read(game->layer, &game->op, game->block, game->count, game->bytes, op_done);
}

static int run(struct game *game, void (*fn)(void *arg))
{
    return fuzz_scene_run(&game->scene, fn, game, &game->is_done, &game->error);
}

static void make_image(struct fuzz_image *image)
{
    static struct game game;
    int map, info, data;

    fuzz_scene_open(&game.scene);
    run(&game, call_create);
    game.count = 2;
    for (unsigned i = 0; i < KEPT; i++) {
        game.block = i * 7;
        memset(game.bytes, (int)i + 1, 2 * BLOCK_SIZE);
        check(run(&game, call_keep) == 0);
    }
    run(&game, call_close);
    fuzz_image_read(image, game.scene.server, FOLDER);
    image->seal_cb = fuzz_seal_any;
    info = fuzz_image_find(image, "l-1.info");
    map = fuzz_image_find(image, "l-1.map");
    data = fuzz_image_find(image, "l-1");
    check(info >= 0 && map >= 0 && data >= 0);
    fuzz_image_mark(image, (unsigned)info, 0, LAYER_INFO_BYTES);
    for (unsigned page = 0; page < 5; page++)
        fuzz_image_mark(image, (unsigned)map, (size_t)page * BITFILE_PAGE_BYTES,
                        BITFILE_PAGE_BYTES);
    fuzz_image_mark(image, (unsigned)data, 0, BLOCK_SIZE);
    fuzz_image_mark(image, (unsigned)data, 14 * BLOCK_SIZE, BLOCK_SIZE);
    fuzz_scene_close(&game.scene);
}

/* Reads all that is kept; returns how many blocks. */
static uint64_t read_kept(struct game *game, uint64_t blocks)
{
    uint64_t kept = 0;

    for (game->block = 0; game->block < blocks; game->block += game->count) {
        bool is_kept = layer_lookup(game->layer, game->block, blocks - game->block, &game->count);

        check(game->count > 0 && game->count <= blocks - game->block);
        kept += is_kept ? game->count : 0;
        if (is_kept)
            (void)run(game, call_read); /* a file that was cut gives an error */
    }
    return kept;
}

static void play(struct game *game, const struct fuzz_image *image)
{
    const struct layer_description *described = layer_describe(game->layer);
    uint64_t blocks = described->size_bytes / BLOCK_SIZE, kept;

    check(memchr(described->label, 0, sizeof(described->label)) &&
          strcmp(described->id, "l-1") == 0);
    check(image->is_forged || image->has_removed ||
          memcmp(described, &description, sizeof(description)) == 0);
    if (blocks > BLOCKS)
        blocks = BLOCKS; /* forged */
    kept = read_kept(game, blocks);
    game->block = 1;
    game->count = 3;
    if (blocks < 4 || run(game, call_keep) != 0) {
        run(game, call_close);
        return;
    }
    run(game, call_close);
    check(run(game, call_open) == 0 && game->is_listed);
    check(read_kept(game, blocks) >= kept);
    run(game, call_close);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct fuzz_image template;
    static struct game game;
    struct bytes_reader script = {.at = bytes, .left = length};
    struct fuzz_image image;

    fuzz_quiet();
    if (template.file_count == 0)
        make_image(&template);
    memset(&game, 0, sizeof(game));
    fuzz_image_copy(&image, &template);
    fuzz_image_edit(&image, &script);
    fuzz_scene_open(&game.scene);
    fuzz_image_write(&image, game.scene.server, FOLDER);
    if (run(&game, call_open) == 0)
        play(&game, &image);
    fuzz_scene_close(&game.scene);
    fuzz_image_free(&image);
    return 0;
}
