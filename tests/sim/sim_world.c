/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual time, the queue of events, and the lives of sites.
 *
 * 1. Events run in the order (time, number of creation): total, so the same seed replays exactly.
 * 2. Code of a site runs only inside run_site(): there it owns what it allocates, and a crash
 *    armed with sim_site_crash_after() can jump out at any call into the kernel.
 * 3. A dead site has no event, no open file, no socket and no allocation.
 */
#include "sim_kernel.h"

#include <stdio.h>
#include <string.h>

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void heap_put(struct sim_world *world, unsigned index, struct sim_event *event)
{
    world->heap[index] = event;
    event->heap_index = index;
}

static void heap_settle(struct sim_world *world, unsigned index, struct sim_event *event)
{
    while (index > 0 && is_before(event, world->heap[(index - 1) / 2])) {
        heap_put(world, index, world->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        unsigned child = 2 * index + 1;
        if (child >= world->event_count)
            break;
        if (child + 1 < world->event_count && is_before(world->heap[child + 1], world->heap[child]))
            child++;
        if (!is_before(world->heap[child], event))
            break;
        heap_put(world, index, world->heap[child]);
        index = child;
    }
    heap_put(world, index, event);
}

static void heap_take(struct sim_world *world, struct sim_event *event)
{
    unsigned index = event->heap_index;
    struct sim_event *last = world->heap[--world->event_count];

    check(index <= world->event_count && event->world == world);
    if (last != event)
        heap_settle(world, index, last);
}

struct sim_event *sim_event_add(struct sim_world *world, struct sim_site *site, uint64_t delay_ns,
                                const char *kind, void (*run_cb)(struct sim_event *event))
{
    struct sim_event *event = sim_block_alloc(sizeof(*event));

    if (world->event_count == world->event_max) {
        unsigned max = world->event_max ? world->event_max * 2 : 256;
        struct sim_event **heap = sim_kernel_alloc(max * sizeof(struct sim_event *));
        if (world->event_count > 0)
            memcpy(heap, world->heap, world->event_count * sizeof(struct sim_event *));
        sim_kernel_free(world->heap);
        world->heap = heap;
        world->event_max = max;
    }
    *event = (struct sim_event){
        .time_ns = world->now_ns + delay_ns,
        .order = world->event_order++,
        .world = world,
        .site = site,
        .kind = kind,
        .run_cb = run_cb,
    };
    heap_settle(world, world->event_count++, event);
    return event;
}

void sim_event_cancel(struct sim_event *event)
{
    heap_take(event->world, event);
    sim_block_free(event, sizeof(*event));
}

static void run_done(struct sim_event *event)
{
    sim_hash_mix(event->world, (uint64_t)event->result);
    event->op->done_cb(event->op, event->result);
}

struct sim_event *sim_event_done(struct sim_site *site, struct io_op *op, int64_t result,
                                 uint64_t delay_ns, const char *kind)
{
    struct sim_event *event = sim_event_add(site->world, site, delay_ns, kind, run_done);

    event->op = op;
    event->result = result;
    return event;
}

static void run_after(struct sim_event *event)
{
    event->call_cb(event->arg);
}

struct sim_event *sim_after(struct sim_world *world, uint64_t delay_ns, void (*run_cb)(void *arg),
                            void *arg)
{
    struct sim_event *event = sim_event_add(world, NULL, delay_ns, "after", run_after);

    event->call_cb = run_cb;
    event->arg = arg;
    return event;
}

void sim_after_cancel(struct sim_event *event)
{
    sim_event_cancel(event);
}

/* splitmix64 */
uint64_t sim_draw(struct sim_random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_draw_below(struct sim_random *random, uint64_t limit)
{
    check(limit > 0);
    return sim_draw(random) % limit;
}

bool sim_draw_chance(struct sim_random *random, unsigned percent)
{
    return sim_draw_below(random, 100) < percent;
}

uint64_t sim_random(struct sim_world *world)
{
    return sim_draw(&world->random);
}

uint64_t sim_random_below(struct sim_world *world, uint64_t limit)
{
    return sim_draw_below(&world->random, limit);
}

bool sim_chance(struct sim_world *world, unsigned percent)
{
    return sim_draw_chance(&world->random, percent);
}

void sim_hash_mix(struct sim_world *world, uint64_t value)
{
    world->hash = (world->hash ^ value) * 0x100000001b3u;
    world->hash ^= world->hash >> 29;
}

uint64_t sim_hash(const struct sim_world *world)
{
    return world->hash;
}

uint64_t sim_now_ns(const struct sim_world *world)
{
    return world->now_ns;
}

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *world = sim_kernel_alloc(sizeof(*world));
    struct sim_random root = {seed * 0x2545f4914f6cdd1du + 1};

    world->seed = seed;
    world->now_ns = SIM_SECOND; /* 0 means "never" to some */
    world->random.state = sim_draw(&root);
    world->random_disk.state = sim_draw(&root);
    world->random_net.state = sim_draw(&root);
    world->hash = seed;
    list_init(&world->listeners);
    list_init(&world->net_memory);
    world->port_next = 40000;
    world->net_latency_ns = 2 * SIM_MS;
    return world;
}

void sim_world_free(struct sim_world *world)
{
    for (unsigned i = 0; i < world->site_count; i++) {
        if (world->sites[i]->is_alive)
            sim_site_kill(world->sites[i]);
    }
    for (unsigned i = 0; i < world->site_count; i++) {
        sim_disk_fini(world->sites[i]);
        sim_kernel_free(world->sites[i]);
    }
    while (world->event_count > 0)
        sim_event_cancel(world->heap[0]);
    sim_net_fini(world);
    sim_kernel_free(world->heap);
    sim_kernel_free(world);
}

static void run_deferred(struct sim_site *site)
{
    struct list *node;

    while ((node = list_pop(&site->deferred))) {
        struct loop_task *task = list_entry(node, struct loop_task, node);
        task->run_cb(task);
    }
}

static void drop_events(struct sim_site *site)
{
    struct sim_world *world = site->world;
    unsigned count = world->event_count;

    world->event_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct sim_event *event = world->heap[i];
        if (event->site == site) {
            sim_block_free(event, sizeof(*event));
        } else {
            unsigned index = world->event_count++;
            heap_settle(world, index, event);
        }
    }
}

static void machine_off(struct sim_site *site)
{
    sim_disk_power_loss(site);
    snprintf(site->boot_id, sizeof(site->boot_id), "boot-%016llx",
             (unsigned long long)sim_draw(&site->world->random_disk));
}

static void site_die(struct sim_site *site, bool power)
{
    struct sim_world *world = site->world;

    check(site->is_alive && world->running != site);
    sim_trace(world, site, "%s", power ? "loses power" : "is killed");
    sim_disk_kill(site);
    sim_net_kill(site, power);
    drop_events(site);
    list_init(&site->deferred);
    sim_alloc_drop(site);
    sim_loop_free(site->loop);
    site->loop = NULL;
    site->is_alive = false;
    site->crash_calls = 0;
    site->paused_until_ns = 0;
    if (power)
        machine_off(site);
}

static void run_event(void *arg)
{
    struct sim_event *event = arg;

    event->run_cb(event);
}

/* Does the site's turn go on with another event of the same moment? */
static bool turn_goes_on(const struct sim_site *site)
{
    const struct sim_world *world = site->world;

    return world->event_count > 0 && world->heap[0]->site == site &&
           world->heap[0]->time_ns == world->now_ns;
}

static enum sim_verdict ask_step(struct sim_site *site)
{
    struct sim_world *world = site->world;
    enum sim_verdict verdict = SIM_GO_ON;

    if (world->step_cb && !world->is_struck)
        verdict = world->step_cb(world->step_arg, site);
    world->is_struck = world->is_struck || verdict != SIM_GO_ON;
    return verdict;
}

static void strike(struct sim_world *world)
{
    if (!world->is_struck)
        return;
    world->is_struck = false;
    world->struck_cb(world->step_arg);
}

/* Runs fn(arg) as the site, then what it deferred. False: it died inside. */
static bool run_site(struct sim_site *site, void (*fn)(void *arg), void *arg)
{
    struct sim_world *world = site->world;
    const void *before;

    check(site->is_alive && !world->running);
    world->running = site;
    before = sim_alloc_owner_set(site);
    if (setjmp(world->death) == 0) {
        fn(arg);
        if (!turn_goes_on(site))
            run_deferred(site);
        world->running = NULL;
        sim_alloc_owner_set(before);
        strike(world);
        return true;
    }
    world->running = NULL;
    sim_alloc_owner_set(NULL);
    site_die(site, site->crash_power);
    if (world->is_struck)
        strike(world);
    else if (site->died_cb)
        site->died_cb(site->died_arg);
    return false;
}

bool sim_site_call(struct sim_site *site, void (*fn)(void *arg), void *arg)
{
    if (site->world->running == site) {
        fn(arg);
        return true;
    }
    return site->is_alive && run_site(site, fn, arg);
}

void sim_kernel_call(struct sim_site *site)
{
    enum sim_verdict verdict;

    check(site->is_alive);
    if (site->world->running != site)
        return;
    verdict = ask_step(site);
    if (verdict == SIM_STOP_DIES || verdict == SIM_STOP_DIES_POWER) {
        site->crash_power = verdict == SIM_STOP_DIES_POWER;
        longjmp(site->world->death, 1);
    }
    if (site->crash_calls > 0 && --site->crash_calls == 0)
        longjmp(site->world->death, 1);
}

void sim_steps_watch(struct sim_world *world,
                     enum sim_verdict (*step_cb)(void *arg, struct sim_site *site),
                     void (*struck_cb)(void *arg), void *arg)
{
    world->step_cb = step_cb;
    world->struck_cb = struck_cb;
    world->step_arg = arg;
    world->is_struck = false;
}

struct sim_site *sim_world_running(const struct sim_world *world)
{
    return world->running;
}

void sim_site_abort(struct sim_world *world)
{
    if (!world->running || !world->struck_cb)
        return;
    world->is_struck = true;
    world->running->crash_power = false;
    longjmp(world->death, 1);
}

void sim_lives_watch(struct sim_world *world, void (*born_cb)(void *arg, struct sim_site *site),
                     void *arg)
{
    world->born_cb = born_cb;
    world->born_arg = arg;
    for (unsigned i = 0; i < world->site_count; i++) {
        if (world->sites[i]->is_alive)
            born_cb(arg, world->sites[i]);
    }
}

static void run_site_event(struct sim_event *event)
{
    struct sim_site *site = event->site;
    unsigned life = site->life;

    if (ask_step(site) != SIM_GO_ON)
        strike(site->world);
    if (site->is_alive && site->life == life)
        run_site(site, run_event, event);
}

void sim_site_crash_after(struct sim_site *site, unsigned calls, bool power,
                          void (*died_cb)(void *arg), void *arg)
{
    site->crash_calls = calls;
    site->crash_power = power;
    site->died_cb = died_cb;
    site->died_arg = arg;
}

/* Of its first letters. */
static uint64_t kind_number(const char *kind)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 7 && kind[i]; i++)
        number = number << 8 | (unsigned char)kind[i];
    return number << 8;
}

/* Its site stands still: it comes later, in the same order. */
static void put_off(struct sim_event *event)
{
    struct sim_world *world = event->world;

    event->time_ns = event->site->paused_until_ns;
    event->order = world->event_order++;
    heap_settle(world, world->event_count++, event);
}

void sim_world_watch(struct sim_world *world, void (*after_cb)(void *arg, struct sim_site *site),
                     void *arg)
{
    world->after_cb = after_cb;
    world->after_arg = arg;
}

bool sim_world_step(struct sim_world *world)
{
    struct sim_event *event;

    if (world->event_count == 0)
        return false;
    event = world->heap[0];
    heap_take(world, event);
    if (event->site && event->site->paused_until_ns > event->time_ns) {
        put_off(event);
        return true;
    }
    check(event->time_ns >= world->now_ns);
    world->now_ns = event->time_ns;
    sim_hash_mix(world, event->time_ns);
    sim_hash_mix(world, kind_number(event->kind) ^ (event->site ? event->site->index + 1 : 0));
    if (event->site)
        run_site_event(event);
    else
        event->run_cb(event);
    if (world->after_cb)
        world->after_cb(world->after_arg, event->site);
    sim_block_free(event, sizeof(*event));
    return true;
}

void sim_world_run_until(struct sim_world *world, uint64_t time_ns)
{
    while (world->event_count > 0 && world->heap[0]->time_ns <= time_ns)
        sim_world_step(world);
    if (world->now_ns < time_ns)
        world->now_ns = time_ns;
}

bool sim_world_run_for(struct sim_world *world, bool (*is_done)(void *arg), void *arg,
                       uint64_t deadline_ns)
{
    while (!is_done(arg)) {
        if (world->event_count == 0 || world->heap[0]->time_ns > deadline_ns)
            return false;
        sim_world_step(world);
    }
    return true;
}

void sim_trace_on(struct sim_world *world)
{
    world->is_traced = true;
}

void sim_trace(struct sim_world *world, const struct sim_site *site, const char *format, ...)
{
    va_list arguments;

    if (!world->is_traced)
        return;
    printf("[%4llu.%06llu] %s: ", (unsigned long long)(world->now_ns / SIM_SECOND),
           (unsigned long long)(world->now_ns % SIM_SECOND / SIM_US), site ? site->name : "world");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

struct sim_site *sim_site_new(struct sim_world *world, const char *name)
{
    struct sim_site *site = sim_kernel_alloc(sizeof(*site));

    check(world->site_count < SIM_SITES_MAX);
    site->world = world;
    site->index = world->site_count;
    world->sites[world->site_count++] = site;
    snprintf(site->name, sizeof(site->name), "%s", name);
    snprintf(site->boot_id, sizeof(site->boot_id), "boot-%016llx",
             (unsigned long long)sim_draw(&world->random_disk));
    site->random.state = sim_draw(&world->random);
    /* Clocks of two machines agree to a second or so. */
    site->wall_offset_ns = 1790000000ull * SIM_SECOND + sim_draw_below(&site->random, SIM_SECOND);
    list_init(&site->deferred);
    list_init(&site->file_ops);
    list_init(&site->files);
    list_init(&site->sockets);
    list_init(&site->maps);
    sim_disk_init(site);
    sim_site_restart(site);
    return site;
}

void sim_site_restart(struct sim_site *site)
{
    check(!site->is_alive);
    site->is_alive = true;
    site->life++;
    site->loop = sim_loop_new(site);
    if (site->world->born_cb)
        site->world->born_cb(site->world->born_arg, site);
    if (site->life > 1)
        sim_trace(site->world, site, "starts again, life %u", site->life);
}

void sim_site_kill(struct sim_site *site)
{
    site_die(site, false);
}

void sim_site_power_loss(struct sim_site *site)
{
    if (site->is_alive)
        site_die(site, true);
    else
        machine_off(site);
}

const char *sim_site_name(const struct sim_site *site)
{
    return site->name;
}

struct loop *sim_site_loop(struct sim_site *site)
{
    return site->loop ? &site->loop->loop : NULL;
}

uint64_t sim_site_wall_offset_ns(const struct sim_site *site)
{
    return site->wall_offset_ns;
}

void sim_site_wall_jump(struct sim_site *site, int64_t delta_ns)
{
    uint64_t now_ns = site->world->now_ns;
    struct sim_wall wall = {0, now_ns, site->wall_offset_ns};

    if (site->wall_count > 0)
        wall.begin_ns = site->walls[site->wall_count - 1].end_ns;
    check(site->wall_count < SIM_WALLS_MAX);
    site->walls[site->wall_count++] = wall;
    site->wall_offset_ns += (uint64_t)delta_ns;
    sim_trace(site->world, site, "wall clock jumps by %lld ms", (long long)delta_ns / 1000000);
}

uint64_t sim_site_wall_moment(const struct sim_site *site, uint64_t wall_ns)
{
    uint64_t begin_ns = 0;

    for (unsigned i = 0; i < site->wall_count; i++) {
        const struct sim_wall *wall = &site->walls[i];
        uint64_t moment_ns = wall_ns - wall->offset_ns;
        if (wall_ns >= wall->offset_ns && moment_ns >= wall->begin_ns && moment_ns <= wall->end_ns)
            return moment_ns;
        begin_ns = wall->end_ns;
    }
    if (wall_ns < site->wall_offset_ns || wall_ns - site->wall_offset_ns < begin_ns)
        return 0;
    return wall_ns - site->wall_offset_ns;
}

void sim_site_pause(struct sim_site *site, uint64_t duration_ns)
{
    check(site->is_alive && site->world->running != site);
    sim_trace(site->world, site, "stands still for %llu ms",
              (unsigned long long)duration_ns / 1000000);
    site->paused_until_ns = site->world->now_ns + duration_ns;
}

bool sim_site_is_paused(const struct sim_site *site)
{
    return site->paused_until_ns > site->world->now_ns;
}

bool sim_site_is_alive(const struct sim_site *site)
{
    return site->is_alive;
}

unsigned sim_site_life(const struct sim_site *site)
{
    return site->life;
}

void sim_site_user_set(struct sim_site *site, void *user)
{
    site->user = user;
}

void *sim_site_user(const struct sim_site *site)
{
    return site->user;
}

const void *sim_outside_begin(void)
{
    return sim_alloc_owner_set(NULL);
}

void sim_outside_end(const void *before)
{
    sim_alloc_owner_set(before);
}
