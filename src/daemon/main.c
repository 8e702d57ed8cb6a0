/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versod: builds the two wings, tells that it is ready, waits for a signal, ends them in reverse.
 *
 *   main thread      configuration, signals
 *   control thread   metadata, operations, jobs (and libmicrohttpd's own thread at the door)
 *   data thread      exports, volumes, replication, the link
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "base/secret.h"
#include "daemon/control_wing.h"
#include "daemon/descriptors.h"
#include "daemon/sandbox.h"
#include "daemon/watchdog.h"
#include "http/http_tls.h"
#include "io/tls.h"

struct arguments {
    const char *config;
    bool only_check;
};

/* With --check: the files that the configuration names. */
static int check_files(const struct config *config, struct err *err)
{
    struct http_tls *tls = NULL;
    int failed = 0;

    if (config->api.tls_listen[0] != '\0')
        failed = http_tls_new(config->api.tls_cert, config->api.tls_key, &tls, err);
    http_tls_free(tls);
    return failed ? err_wrap(err, "[api]") : 0;
}

static const char usage_text[] = "usage: versod --config FILE [--check] [--debug]\n"
                                 "       versod --version\n"
                                 "\n"
                                 "  --check   says what is wrong with the configuration, and ends\n"
                                 "  --debug   logs more\n"
                                 "\n"
                                 "See versod(8) and verso.conf(5).\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return 2;
}

/* 0 go on, else the exit status + 1. */
static int parse_arguments(int argc, char **argv, struct arguments *ret_arguments)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            puts("versod " VERSO_VERSION);
            return 1;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage_text, stdout);
            return 1;
        }
        if (strcmp(argv[i], "--check") == 0)
            ret_arguments->only_check = true;
        else if (strcmp(argv[i], "--debug") == 0)
            log_set_level(LOG_DEBUG);
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            ret_arguments->config = argv[++i];
        else if (strncmp(argv[i], "--config=", 9) == 0)
            ret_arguments->config = argv[i] + 9;
        else
            return usage() + 1;
    }
    return ret_arguments->config ? 0 : usage() + 1;
}

/* Signals are waited for in this thread only; the others inherit the mask. */
static void block_signals(sigset_t *ret_waited)
{
    sigemptyset(ret_waited);
    sigaddset(ret_waited, SIGTERM);
    sigaddset(ret_waited, SIGINT);
    sigaddset(ret_waited, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret_waited, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void tell_doors(const struct config *config)
{
    if (config->api.listen[0] != '\0')
        log_notice("versod", "API: http at %s", config->api.listen);
    if (config->api.tls_listen[0] != '\0')
        log_notice("versod", "API: https at %s", config->api.tls_listen);
}

static void reload(struct control_wing *control)
{
    struct err err = {0};

    if (control_wing_reload(control, &err) < 0)
        log_error("versod", "SIGHUP: %s; the old certificate stays in use", err.text);
    else
        log_notice("versod", "SIGHUP: certificate and key of the API were read again");
}

static void run_until_signal(const struct config *config, const sigset_t *waited,
                             struct control_wing *control, struct watchdog *watchdog)
{
    const uint64_t pause_ns = watchdog->pause_ns;
    const struct timespec pause = {.tv_sec = (time_t)(pause_ns / 1000000000),
                                   .tv_nsec = (long)(pause_ns % 1000000000)};
    int number;

    tell_doors(config);
    log_notice("versod", "site %s is ready: API at %s", config->site.name, config->api.socket);
    sd_notify(0, "READY=1");
    while ((number = sigtimedwait(waited, NULL, pause_ns > 0 ? &pause : NULL)) < 0 ||
           number == SIGHUP) {
        if (number == SIGHUP)
            reload(control);
        watchdog_tell(watchdog);
    }
    log_notice("versod", "signal %d: stopping", number);
    sd_notify(0, "STOPPING=1");
}

static int enter_sandbox(const struct config *config, struct control_wing *control, struct err *err)
{
    int failed = 0;

    if (!config->site.sandbox)
        log_warning("versod", "sandbox=no: the kernel refuses us nothing");
    else
        failed = sandbox_enter(err);
    if (config->site.sandbox && failed == 0)
        control_wing_sandboxed(control);
    return failed;
}

static int make_data_wing(const struct config *config, struct control_wing *control,
                          struct data_wing **ret_data, struct err *err)
{
    const struct data_wing_owner owner = {.control_loop = control_wing_loop(control),
                                          .syncs = control_wing_syncs(control),
                                          .events_cb = control_wing_event,
                                          .arg = control};

    return data_wing_new(config, &owner, ret_data, err);
}

static int serve(const struct config *config, const sigset_t *waited, struct err *err)
{
    struct watchdog watchdog = {0};
    struct control_wing *control = NULL;
    struct data_wing *data = NULL;
    int failed = control_wing_new(config, &control, err);

    if (failed == 0)
        failed = make_data_wing(config, control, &data, err);
    if (failed == 0)
        watchdog_start(&watchdog, data_wing_loop(data));
    if (failed == 0)
        failed = data_wing_run(data, err);
    if (failed == 0)
        failed = control_wing_run(control, data, err);
    if (failed == 0)
        failed = enter_sandbox(config, control, err);
    if (failed == 0)
        run_until_signal(config, waited, control, &watchdog);
    if (control != NULL)
        control_wing_quiesce(control);
    if (data != NULL)
        data_wing_stop(data);
    if (control != NULL)
        control_wing_stop(control);
    watchdog_stop(&watchdog);
    data_wing_free(data);
    control_wing_free(control);
    return failed;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct config *config = secret_new(sizeof(*config)); /* the link's key is in it */
    struct err err = {0};
    sigset_t waited;
    int failed = parse_arguments(argc, argv, &arguments);

    if (failed || config == NULL) {
        secret_free(config, sizeof(*config));
        return failed ? failed - 1 : 1;
    }
    sandbox_hide_memory();
    umask(0077); /* whatever the data folder's mode is: SQLite makes files as it lets it */
    block_signals(&waited);
    failed = config_load(arguments.config, config, &err);
    if (failed == 0 && arguments.only_check)
        failed = check_files(config, &err);
    if (failed == 0 && arguments.only_check)
        printf("%s: fine\n", arguments.config);
    if (failed == 0 && !arguments.only_check) {
        descriptors_fit(config);
        tls_load();
        failed = serve(config, &waited, &err);
    }
    if (failed)
        log_error("versod", "%s", err.text);
    secret_free(config, sizeof(*config));
    return failed ? 1 : 0;
}
