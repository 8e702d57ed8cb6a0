/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stranger at the link's port can make us allocate: no piece larger than 4 KiB before the
 * key is proved, and little that he sends. The linker leads our allocations through this file
 * (--wrap); OpenSSL's own do not come by here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link_lab.h"

enum { PIECE_MAX = 4096 };

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool is_watching;
static size_t largest;

static void watch(size_t size)
{
    if (is_watching && size > largest)
        largest = size;
}

void *__wrap_malloc(size_t size)
{
    watch(size);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    watch(count * size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    watch(size);
    return __real_realloc(memory, size);
}

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";

struct scene {
    struct lab lab;
    struct lab_site lyon;
    uint16_t port;
    struct lab_raw raw;
};

/* A listener with a key, and a stranger who has connected and said `bytes`. */
static void begin(struct scene *scene, const void *bytes, size_t length)
{
    struct lab_options lyon = {.psk = key, .psk_length = sizeof(key), .site_id = 2};

    memset(scene, 0, sizeof(*scene));
    lab_init(&scene->lab);
    scene->port = lab_free_port();
    lyon.listens = true;
    lyon.port = scene->port;
    site_start(&scene->lyon, &scene->lab, "lyon", "paris", &lyon);
    lab_pass(&scene->lab, 0.05);
    largest = 0;
    is_watching = true;
    raw_start(&scene->raw, &scene->lab, scene->port, bytes, length);
    lab_pass(&scene->lab, 0.1);
}

static void end(struct scene *scene)
{
    assert_in_range(largest, 1, PIECE_MAX);
    is_watching = false;
    site_stop(&scene->lyon);
    raw_finish(&scene->raw);
    lab_fini(&scene->lab);
}

static void test_silent(void **state)
{
    static struct scene scene;

    begin(&scene, NULL, 0);
    end(&scene);
}

static void test_noise(void **state)
{
    static struct scene scene;

    begin(&scene, "GET / HTTP/1.1\r\n\r\n", 18);
    lab_run(&scene.lab, raw_is_closed, &scene.raw, 5);
    end(&scene);
}

/* A ClientHello that says that 60,000 bytes follow, and lets them follow. */
static void test_endless_hello(void **state)
{
    static struct scene scene;
    static uint8_t bytes[60000] = {0x16, 3, 1, 0x3f, 0xff, 1, 0, 0xea, 0x60, 3, 3};

    begin(&scene, bytes, 16);
    assert_false(scene.raw.is_closed);
    raw_send_long(&scene.raw, bytes + 16, sizeof(bytes) - 16);
    lab_run(&scene.lab, raw_is_closed, &scene.raw, 5);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_endless_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
