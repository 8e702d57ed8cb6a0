/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_nbd.h. */
#include "fuzz_nbd.h"

static void boot(void *arg)
{
    static const char *const names[] = {"disk", "snapshot"};
    static const char *const paths[] = {"/disk", "/snapshot"};
    struct fuzz_nbd *nbd = arg;
    struct loop *loop = sim_site_loop(nbd->scene.server);
    struct nbd_server_options options = {.addresses = {FUZZ_NBD_ADDRESS}};

    check(nbd_server_new(loop, &options, &nbd->server, NULL) == 0);
    for (unsigned i = 0; i < FUZZ_NBD_EXPORTS; i++) {
        struct store_options file = {.driver = "file",
                                     .path = paths[i],
                                     .name = names[i],
                                     .size_bytes = FUZZ_NBD_BYTES,
                                     .create = true};
        struct store *store;

        check(store_open(loop, &file, &store, NULL) == 0);
        store->is_read_only = i == 1;
        check(volume_new(loop, store, names[i], &nbd->volumes[i]) == 0);
        check(nbd_export_add_volume(nbd->server, names[i], nbd->volumes[i],
                                    volume_size_bytes(nbd->volumes[i]), &nbd->exports[i]) == 0);
    }
}

void fuzz_nbd_open(struct fuzz_nbd *nbd)
{
    memset(nbd, 0, sizeof(*nbd));
    fuzz_scene_open(&nbd->scene);
    fuzz_scene_call(&nbd->scene, boot, nbd);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void call_remove(void *arg)
{
    struct fuzz_nbd *nbd = arg;

    nbd_export_remove(nbd->exports[0], set_flag, &nbd->is_removed);
}

void fuzz_nbd_remove(struct fuzz_nbd *nbd)
{
    if (nbd->is_removing)
        return;
    nbd->is_removing = true;
    fuzz_scene_call(&nbd->scene, call_remove, nbd);
}

static void call_hold(void *arg)
{
    volume_hold(((struct fuzz_nbd *)arg)->volumes[0], NULL, NULL);
}

static void call_release(void *arg)
{
    volume_release(((struct fuzz_nbd *)arg)->volumes[0]);
}

void fuzz_nbd_hold(struct fuzz_nbd *nbd, bool is_held)
{
    if (nbd->is_held == is_held)
        return;
    nbd->is_held = is_held;
    fuzz_scene_call(&nbd->scene, is_held ? call_hold : call_release, nbd);
}

static void call_stop(void *arg)
{
    struct fuzz_nbd *nbd = arg;

    nbd_server_stop(nbd->server, set_flag, &nbd->is_stopped);
}

static void call_free(void *arg)
{
    struct fuzz_nbd *nbd = arg;

    nbd_server_free(nbd->server);
    for (unsigned i = 0; i < FUZZ_NBD_EXPORTS; i++)
        volume_free(nbd->volumes[i]);
}

void fuzz_nbd_close(struct fuzz_nbd *nbd)
{
    fuzz_nbd_hold(nbd, false);
    if (nbd->is_removing)
        fuzz_scene_await(&nbd->scene, &nbd->is_removed);
    fuzz_scene_call(&nbd->scene, call_stop, nbd);
    fuzz_scene_await(&nbd->scene, &nbd->is_stopped);
    fuzz_scene_call(&nbd->scene, call_free, nbd);
    fuzz_scene_close(&nbd->scene);
}
