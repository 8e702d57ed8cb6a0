/* SPDX-License-Identifier: Apache-2.0 */
/* Why: gives the wing (wing.c) what a daemon has: its configuration, a loop, a thread for it. */
#include "daemon/data_wing.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/check.h"

struct data_wing {
    struct loop *loop;
    struct wing *wing;
    pthread_t thread;
    bool is_running;
    struct loop_message stop_message;
    char unix_address[128]; /* what the options of the NBD server point to */
};

static void fill_engine_options(const struct config *config, struct engine_options *options)
{
    *options = (struct engine_options){
        .data_folder = config->site.data,
        .site_name = config->site.name,
        .link_listen = config->link.listen[0] ? config->link.listen : NULL,
        .psk = config->link.psk_length > 0 ? config->link.psk : NULL,
        .psk_length = config->link.psk_length,
        .heartbeat_ns = config->link.heartbeat_ns,
        .silence_ns = config->link.silence_ns,
        .peer_count = config->peer_count,
        .settings =
            {
                .interval_ns = config->replication.interval_ns,
                .stash_memory_bytes = config->replication.stash_memory_bytes,
                .stash_disk_bytes = config->replication.stash_disk_bytes,
                .journal_bytes_max = config->replication.journal_bytes_max,
                .failover_reserve_bytes = config->replication.failover_reserve_bytes,
                .retain_ns = config->replication.retain_ns,
                .retain_bytes = config->replication.retain_bytes,
                .bandwidth_bytes = config->replication.bandwidth_bytes,
                .open_when_peer_silent = config->replication.open_when_peer_silent,
                .peer_wait_ns = config->replication.peer_wait_ns,
                .snapshot_expiry_ns = config->replication.snapshot_expiry_ns,
                .snapshot_bytes_max = config->replication.snapshot_bytes_max,
            },
    };
    for (unsigned i = 0; i < config->peer_count; i++) {
        options->peers[i].name = config->peers[i].name;
        options->peers[i].address = config->peers[i].address;
    }
}

static void fill_nbd_options(struct data_wing *data, const struct config *config,
                             struct nbd_server_options *options)
{
    unsigned count = 0;

    options->limits = config->nbd.limits;
    snprintf(data->unix_address, sizeof(data->unix_address), "unix:%s", config->nbd.socket);
    if (config->nbd.socket[0])
        options->addresses[count++] = data->unix_address;
    if (config->nbd.listen[0])
        options->addresses[count++] = config->nbd.listen;
}

int data_wing_new(const struct config *config, const struct data_wing_owner *owner,
                  struct data_wing **ret_wing, struct err *err)
{
    struct wing_options options = {
        .control_loop = owner->control_loop, .events_cb = owner->events_cb, .arg = owner->arg};
    struct data_wing *data = calloc(1, sizeof(*data));
    int failed;

    if (data == NULL)
        return err_set(err, -ENOMEM, "no memory");
    fill_engine_options(config, &options.engine);
    fill_nbd_options(data, config, &options.nbd);
    failed = loop_new(config->site.io, &data->loop, err);
    if (failed == 0) {
        loop_watch_syncs(data->loop, owner->syncs);
        options.data_loop = data->loop;
        failed = wing_new(&options, &data->wing, err);
    }
    if (failed) {
        data_wing_free(data);
        return failed;
    }
    *ret_wing = data;
    return 0;
}

struct wing *data_wing_wing(struct data_wing *data)
{
    return data->wing;
}

struct loop *data_wing_loop(struct data_wing *data)
{
    return data->loop;
}

static void *run_loop(void *arg)
{
    struct data_wing *data = arg;

    (void)prctl(PR_SET_NAME, "verso-data");
    loop_run(data->loop);
    return NULL;
}

int data_wing_run(struct data_wing *data, struct err *err)
{
    int failed = pthread_create(&data->thread, NULL, run_loop, data);

    if (failed)
        return err_set(err, -failed, "data thread: %s", err_name(failed));
    data->is_running = true;
    return 0;
}

static void wing_stopped(void *arg)
{
    struct data_wing *data = arg;
    loop_stop(data->loop);
}

static void stop_arrived(struct loop_message *message)
{
    struct data_wing *data = container_of(message, struct data_wing, stop_message);
    wing_stop(data->wing, wing_stopped, data);
}

void data_wing_stop(struct data_wing *data)
{
    if (!data->is_running)
        return;
    data->stop_message.run_cb = stop_arrived;
    loop_post(data->loop, &data->stop_message);
    pthread_join(data->thread, NULL);
    data->is_running = false;
}

void data_wing_free(struct data_wing *data)
{
    if (data == NULL)
        return;
    check(!data->is_running);
    wing_free(data->wing);
    if (data->loop)
        loop_free(data->loop);
    free(data);
}
