/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite of loops on the simulated one: a world of one site for each case. */
#include "sim.h"
#include "tests/lib/loop_cases.h"

struct factory {
    struct sim_world *world;
    uint64_t seed;
};

static struct loop *make_loop(void *arg)
{
    struct factory *factory = arg;

    if (factory->world)
        sim_world_free(factory->world);
    factory->world = sim_world_new(factory->seed++);
    return sim_site_loop(sim_site_new(factory->world, "a"));
}

int main(void)
{
    struct factory factory = {0};
    struct loop_cases cases = {.name = "simulated",
                               .make = make_loop,
                               .arg = &factory,
                               .folder = "/cases",
                               .unix_address = "unix:/cases.sock",
                               .tcp_listen = "127.0.0.1:0"};
    int failed = 0;

    for (unsigned round = 0; round < 10 && failed == 0; round++)
        failed = loop_cases_run(&cases);
    sim_world_free(factory.world);
    return failed != 0;
}
