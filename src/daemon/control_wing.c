/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything of the control wing is made and ended on the control loop's own thread; the main
 * thread posts what is to be done and waits on a condition variable for the answer.
 */
#include "daemon/control_wing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "api/api.h"
#include "api/door.h"
#include "base/check.h"
#include "base/log.h"
#include "control/roster_record.h"
#include "control/tree_memory.h"
#include "daemon/data_folder.h"
#include "daemon/sandbox.h"
#include "io/sync_note.h"
#include "meta/event_store.h"
#include "meta/record_cache.h"

struct control_wing {
    struct loop *loop;
    struct sync_note *syncs;
    struct meta_sqlite_watch watch; /* of SQLite, which has its own way to files */
    struct meta *meta;
    char monitor_folder[PATH_MAX / 2 + 16], disks_folder[PATH_MAX / 2 + 16];
    struct event_store *events; /* NULL: it could not be opened */
    struct secret_box *secret_box;
    struct control *control;
    struct api *api;
    struct door *door;
    struct http_server *http;
    const struct config *config;
    struct data_wing *data;
    bool is_quiet;   /* loop's thread: events are dropped */
    bool is_running; /* main thread */
    pthread_t thread;
    struct loop_message message; /* one order at a time */
    pthread_mutex_t lock;        /* protects is_answered, answer */
    pthread_cond_t answered;
    bool is_answered;
    struct err answer;
    atomic_bool is_sandboxed;                /* the process is */
    bool is_door_narrow[HTTP_LISTENERS_MAX]; /* each thread of the door its own */
};

static void answer(struct control_wing *wing)
{
    pthread_mutex_lock(&wing->lock);
    wing->is_answered = true;
    pthread_cond_signal(&wing->answered);
    pthread_mutex_unlock(&wing->lock);
}

/* Has run_cb run on the loop and waits until it (or what it began) calls answer(). */
static void order(struct control_wing *wing, void (*run_cb)(struct loop_message *message))
{
    wing->is_answered = false;
    wing->message.run_cb = run_cb;
    loop_post(wing->loop, &wing->message);
    pthread_mutex_lock(&wing->lock);
    while (!wing->is_answered)
        pthread_cond_wait(&wing->answered, &wing->lock);
    pthread_mutex_unlock(&wing->lock);
}

/* Without it the site goes on: what is recorded is worth less than what it serves. */
static void open_events(struct control_wing *wing)
{
    const struct config *config = wing->config;
    const struct event_limits limits = {.keep_ms = (int64_t)(config->audit.keep_ns / 1000000),
                                        .keep_bytes = (int64_t)config->audit.keep_bytes};
    char path[sizeof(config->site.data) + 16];
    struct err err = {0};

    snprintf(wing->disks_folder, sizeof(wing->disks_folder), "%s/disks", config->site.data);
    snprintf(wing->monitor_folder, sizeof(wing->monitor_folder), "%s/monitor", config->site.data);
    snprintf(path, sizeof(path), "%s/events.db", config->site.data);
    if (event_store_open(path, &limits, (int64_t)(loop_wall_ns(wing->loop) / 1000000),
                         &wing->events, &err) < 0)
        log_error("audit", "%s: nothing is recorded", err.text);
}

/* The key file, and that it opens every secret: found out now, not when a caller waits. */
static int open_secrets(struct control_wing *wing, struct err *err)
{
    char path[sizeof(wing->config->site.data) + 16];
    bool has_secrets;
    int failed = roster_record_check(wing->meta, NULL, &has_secrets, err);

    snprintf(path, sizeof(path), "%s/secret.key", wing->config->site.data);
    if (failed == 0)
        failed = secret_box_open(path, has_secrets, &wing->secret_box, err);
    return failed ? failed : roster_record_check(wing->meta, wing->secret_box, &has_secrets, err);
}

static void database_failed(void *arg)
{
    struct control_wing *wing = arg;

    sync_note_failed(wing->syncs);
}

/* SQLite opens files itself: what the kernel keeps of them is dropped before, if it must be. */
static int settle_databases(struct control_wing *wing, struct err *err)
{
    static const char *const names[] = {"site.db", "site.db-wal", "events.db", "events.db-wal"};
    char path[sizeof(wing->config->site.data) + 16];
    struct io_file *file;

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        int error;

        snprintf(path, sizeof(path), "%s/%s", wing->config->site.data, names[i]);
        error = io_file_open(wing->loop, path, 0, &file, err);
        if (error == 0)
            io_file_close(wing->loop, file);
        else if (error != -ENOENT)
            return error;
    }
    return 0;
}

/* The note of failed syncs: beside the socket, in a folder of memory that outlives us. */
static int watch_syncs(struct control_wing *wing, struct err *err)
{
    char path[sizeof(wing->config->api.socket) + 8];
    int failed;

    snprintf(path, sizeof(path), "%s.syncs", wing->config->api.socket);
    failed = loop_new(LOOP_THREADS, &wing->loop, err);
    if (failed == 0)
        failed = sync_note_open(wing->loop, path, &wing->syncs, err);
    if (failed)
        return failed;
    loop_watch_syncs(wing->loop, wing->syncs);
    wing->watch = (struct meta_sqlite_watch){database_failed, wing};
    failed = meta_sqlite_watch(&wing->watch, err);
    if (failed == 0 && sync_note_is_distrusting(wing->syncs))
        failed = settle_databases(wing, err);
    return failed;
}

int control_wing_new(const struct config *config, struct control_wing **ret_wing, struct err *err)
{
    struct control_wing *wing = calloc(1, sizeof(*wing));
    char path[sizeof(config->site.data) + 16];
    int failed;

    if (wing == NULL)
        return err_set(err, -ENOMEM, "no memory");
    wing->config = config;
    pthread_mutex_init(&wing->lock, NULL);
    pthread_cond_init(&wing->answered, NULL);
    snprintf(path, sizeof(path), "%s/site.db", config->site.data);
    failed = data_folder_open(config->site.data, err);
    if (failed == 0)
        failed = watch_syncs(wing, err);
    if (failed == 0)
        failed = record_cache_open(path, &wing->meta, err);
    if (failed == 0)
        failed = open_secrets(wing, err);
    if (failed) {
        control_wing_free(wing);
        return failed;
    }
    open_events(wing);
    *ret_wing = wing;
    return 0;
}

struct loop *control_wing_loop(struct control_wing *wing)
{
    return wing->loop;
}

struct sync_note *control_wing_syncs(struct control_wing *wing)
{
    return wing->syncs;
}

void control_wing_event(void *arg, const struct data_event *event)
{
    struct control_wing *wing = arg;

    if (wing->control != NULL && !wing->is_quiet)
        control_event(wing->control, event);
}

static void fill_site_options(const struct control_wing *wing, struct site_options *options)
{
    const struct config *config = wing->config;

    *options = (struct site_options){
        .name = config->site.name,
        .region = config->site.region,
        .zone = config->site.zone,
        .peer_count = config->peer_count,
        .nbd_socket = config->nbd.socket[0] ? config->nbd.socket : NULL,
        .nbd_listen = config->nbd.listen[0] ? config->nbd.listen : NULL,
        .disks_folder = wing->disks_folder,
        .monitor_folder = wing->monitor_folder,
        .events = wing->events,
        .audit_reads_max = config->audit.reads_max,
        .audit_refused_max = config->audit.refused_max,
        .account_id = config->api.account_id[0] ? config->api.account_id : NULL,
        .endpoint = config->api.endpoint[0] ? config->api.endpoint : NULL,
        .quota = config->quota,
        .is_strict = config->api.strict,
    };
    for (unsigned i = 0; i < config->peer_count; i++) {
        options->peers[i].name = config->peers[i].name;
        options->peers[i].region = config->peers[i].region;
        options->peers[i].zone = config->peers[i].zone;
    }
}

/* On a thread of the door: from its first connection after sandbox_enter() on it has its own list.
 */
static void door_used(void *arg, unsigned thread)
{
    struct control_wing *wing = arg;
    struct err err = {0};

    if (wing->is_door_narrow[thread] || !atomic_load(&wing->is_sandboxed))
        return;
    wing->is_door_narrow[thread] = true;
    if (sandbox_narrow(&err) < 0)
        log_warning("api", "%s", err.text); /* the list of the process still holds */
}

void control_wing_sandboxed(struct control_wing *wing)
{
    atomic_store(&wing->is_sandboxed, true);
}

/* The records are open: the door may open. */
static void control_started(void *arg)
{
    struct control_wing *wing = arg;
    struct http_server_options options = {
        .socket_path = wing->config->api.socket,
        .listen = wing->config->api.listen,
        .tls_listen = wing->config->api.tls_listen,
        .tls_cert = wing->config->api.tls_cert,
        .tls_key = wing->config->api.tls_key,
        .loop = wing->loop,
        .connected_cb = door_used,
        .connected_arg = wing,
        .limits = wing->config->api.limits,
        .route_cb = api_route,
        .refused_cb = api_refused,
        .arg = wing->api,
        .host_id = wing->config->site.name,
    };

    if (http_server_new(&options, &wing->http, &wing->answer) < 0)
        err_wrap(&wing->answer, "[api]");
    answer(wing);
}

static int open_door(struct control_wing *wing, struct err *err)
{
    const struct config *config = wing->config;
    struct door_options options = {
        .loop = wing->loop,
        .folder = config->site.data,
        .directory = control_site(wing->control)->directory,
        .is_remote = config->api.listen[0] || config->api.tls_listen[0],
        .allow_v1 = config->api.allow_v1,
        .rate = config->api.key_rate,
        .nonces_max = config->api.nonces_max,
        .clock_window = (unsigned)(config->api.clock_window_ns / 1000000000),
    };
    int failed = door_new(&options, &wing->door, err);

    if (failed)
        return err_wrap(err, "[api]");
    api_set_door(wing->api, wing->door);
    return 0;
}

static void start_arrived(struct loop_message *message)
{
    struct control_wing *wing = container_of(message, struct control_wing, message);
    struct site_options options;
    int failed;

    fill_site_options(wing, &options);
    options.secret_box = wing->secret_box;
    failed = control_new(wing->loop, wing->meta, wing_ops(), data_wing_wing(wing->data), &options,
                         &wing->control, &wing->answer);
    tree_memory_install();
    if (failed == 0)
        failed = api_new(wing->control, &wing->api, &wing->answer);
    if (failed == 0)
        failed = open_door(wing, &wing->answer);
    if (failed)
        answer(wing);
    else
        control_start(wing->control, control_started, wing);
}

static void *run_loop(void *arg)
{
    struct control_wing *wing = arg;

    (void)prctl(PR_SET_NAME, "verso-control");
    loop_run(wing->loop);
    return NULL;
}

int control_wing_run(struct control_wing *wing, struct data_wing *data, struct err *err)
{
    int failed;

    wing->data = data;
    failed = pthread_create(&wing->thread, NULL, run_loop, wing);
    if (failed)
        return err_set(err, -failed, "control thread: %s", err_name(failed));
    wing->is_running = true;
    order(wing, start_arrived);
    *err = wing->answer;
    return err->code;
}

static void reload_arrived(struct loop_message *message)
{
    struct control_wing *wing = container_of(message, struct control_wing, message);

    wing->answer = (struct err){0};
    http_server_reload(wing->http, &wing->answer);
    answer(wing);
}

int control_wing_reload(struct control_wing *wing, struct err *err)
{
    order(wing, reload_arrived);
    *err = wing->answer;
    return err->code;
}

static void control_stopped(void *arg)
{
    struct control_wing *wing = arg;

    wing->is_quiet = true;
    answer(wing);
}

static void http_stopped(void *arg)
{
    struct control_wing *wing = arg;

    http_server_free(wing->http);
    wing->http = NULL;
    control_stop(wing->control, control_stopped, wing);
}

static void quiesce_arrived(struct loop_message *message)
{
    struct control_wing *wing = container_of(message, struct control_wing, message);

    if (wing->control == NULL)
        answer(wing);
    else if (wing->http != NULL)
        http_server_stop(wing->http, http_stopped, wing);
    else
        control_stop(wing->control, control_stopped, wing);
}

void control_wing_quiesce(struct control_wing *wing)
{
    if (wing->is_running)
        order(wing, quiesce_arrived);
}

static void stop_arrived(struct loop_message *message)
{
    struct control_wing *wing = container_of(message, struct control_wing, message);

    api_free(wing->api);
    door_free(wing->door);
    control_free(wing->control);
    tree_memory_drop();
    wing->api = NULL;
    wing->door = NULL;
    wing->control = NULL;
    loop_stop(wing->loop);
}

void control_wing_stop(struct control_wing *wing)
{
    if (!wing->is_running)
        return;
    wing->message.run_cb = stop_arrived;
    loop_post(wing->loop, &wing->message);
    pthread_join(wing->thread, NULL);
    wing->is_running = false;
}

void control_wing_free(struct control_wing *wing)
{
    if (wing == NULL)
        return;
    check(!wing->is_running && wing->control == NULL);
    event_store_close(wing->events);
    meta_close(wing->meta);
    secret_box_free(wing->secret_box);
    sync_note_close(wing->syncs);
    if (wing->loop)
        loop_free(wing->loop);
    pthread_cond_destroy(&wing->answered);
    pthread_mutex_destroy(&wing->lock);
    free(wing);
}
