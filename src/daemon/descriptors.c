/* SPDX-License-Identifier: Apache-2.0 */
/* Of the clients' half: NBD a half, the API a quarter (its unix socket and its addresses a half
 * each); the link's greetings need the rest. */
#include "daemon/descriptors.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/log.h"

static uint64_t raise_limit(void)
{
    struct rlimit limit = {0};

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return UINT64_MAX;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            return raised.rlim_cur;
        log_warning("versod", "the limit of open files stays low: %s", err_name(errno));
    }
    return limit.rlim_cur;
}

static void lower(unsigned *count, unsigned by_default, uint64_t most, const char *key)
{
    if (*count == 0)
        *count = by_default;
    if (*count <= most)
        return;
    *count = most > 2 ? (unsigned)most : 2;
    log_warning("versod", "few descriptors (ulimit -n): %s is %u", key, *count);
}

void descriptors_fit(struct config *config)
{
    uint64_t descriptors = raise_limit();
    bool has_network = config->api.listen[0] != '\0' || config->api.tls_listen[0] != '\0';

    lower(&config->nbd.limits.connections_max, 1024, descriptors / 4, "[nbd] connections-max");
    lower(&config->api.limits.connections_max, 256, descriptors / (has_network ? 16 : 8),
          "[api] connections-max");
}
