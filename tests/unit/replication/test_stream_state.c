/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a stream's state: saves, rotten slots, missing and newer files. */
#include "replication/state_file.h"
#include "replication/stream_state.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "replication/state_codec.h"

struct lab {
    struct loop *loop;
    char folder[100], path[120];
    struct stream_state *state;
    struct state_file *file;
    struct err err;
    unsigned left;
};

struct saving {
    struct state_save save;
    struct lab *lab;
    int error;
    uint64_t epoch_at_end;
};

static void begin(struct lab *lab)
{
    memset(lab, 0, sizeof(*lab));
    assert_int_equal(loop_new(LOOP_THREADS, &lab->loop, &lab->err), 0);
    snprintf(lab->folder, sizeof(lab->folder), "%s/verso-state-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(lab->folder));
    snprintf(lab->path, sizeof(lab->path), "%s/state", lab->folder);
    lab->state = calloc(1, sizeof(*lab->state));
    lab->state->epoch = 1;
}

static int reopen(struct lab *lab)
{
    state_file_close(lab->file);
    lab->file = NULL;
    memset(lab->state, 0xaa, sizeof(*lab->state));
    return state_file_open(lab->loop, lab->folder, false, lab->state, &lab->file, &lab->err);
}

static void end(struct lab *lab)
{
    state_file_close(lab->file);
    unlink(lab->path);
    rmdir(lab->folder);
    free(lab->state);
    loop_free(lab->loop);
}

static void saved(struct state_save *save, int error)
{
    struct saving *saving = container_of(save, struct saving, save);

    saving->error = error;
    saving->epoch_at_end = saving->lab->state->epoch;
    if (--saving->lab->left == 0)
        loop_stop(saving->lab->loop);
}

static void save(struct lab *lab, uint64_t epoch)
{
    struct saving saving = {.lab = lab, .error = 1};

    lab->state->epoch = epoch;
    lab->left = 1;
    state_file_save(lab->file, &saving.save, saved);
    assert_int_equal(saving.error, 1); /* never from inside */
    loop_run(lab->loop);
    assert_int_equal(saving.error, 0);
}

static void rot(const struct lab *lab, off_t at)
{
    int fd = open(lab->path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 8;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_saves(void **test)
{
    struct saving many[5] = {0};
    struct lab lab;

    begin(&lab);
    assert_int_equal(state_file_open(lab.loop, lab.folder, true, lab.state, &lab.file, &lab.err),
                     0);
    assert_int_equal(reopen(&lab), 0);
    assert_int_equal(lab.state->epoch, 1);
    for (uint64_t epoch = 2; epoch < 7; epoch++) {
        save(&lab, epoch);
        if (epoch % 2 == 0)
            assert_int_equal(reopen(&lab), 0);
        assert_int_equal(lab.state->epoch, epoch);
    }
    lab.left = 5;
    for (unsigned i = 0; i < 5; i++) {
        many[i].lab = &lab;
        state_file_save(lab.file, &many[i].save, saved);
    }
    lab.state->epoch = 99; /* before the round begins: it is in */
    loop_run(lab.loop);
    assert_int_equal(reopen(&lab), 0);
    assert_int_equal(lab.state->epoch, 99);
    end(&lab);
}

/* One rotten slot, whichever it is, costs nothing; both are an error that names the file. */
static void test_rot(void **test)
{
    struct lab lab;

    begin(&lab);
    assert_int_equal(state_file_open(lab.loop, lab.folder, true, lab.state, &lab.file, &lab.err),
                     0);
    for (uint64_t epoch = 2; epoch < 8; epoch++) {
        save(&lab, epoch);
        rot(&lab, epoch % 4 < 2 ? 40 : STATE_SLOT_BYTES + 40);
        assert_int_equal(reopen(&lab), 0);
        assert_int_equal(lab.state->epoch, epoch);
    }
    rot(&lab, 3);
    rot(&lab, STATE_SLOT_BYTES + 3);
    assert_int_equal(reopen(&lab), -EBADMSG);
    assert_non_null(strstr(lab.err.text, lab.path));
    assert_int_equal(truncate(lab.path, 100), 0);
    assert_int_equal(reopen(&lab), -EBADMSG);
    unlink(lab.path);
    assert_int_equal(reopen(&lab), -ENOENT);
    assert_non_null(strstr(lab.err.text, lab.path));
    end(&lab);
}

/* A save cut short by a kill: the slot under way is torn, the other one counts. */
static void test_torn_save(void **test)
{
    uint8_t *slots = malloc(2 * STATE_SLOT_BYTES);
    struct lab lab;

    begin(&lab);
    assert_int_equal(state_file_open(lab.loop, lab.folder, true, lab.state, &lab.file, &lab.err),
                     0);
    for (unsigned torn = 0; torn < 2; torn++) {
        for (size_t length = 0; length <= STATE_SLOT_BYTES; length += 512) {
            int fd;

            lab.state->epoch = 5;
            state_encode(lab.state, 1000, slots + (1 - torn) * STATE_SLOT_BYTES);
            state_encode(lab.state, 1000, slots + torn * STATE_SLOT_BYTES);
            lab.state->epoch = 6;
            lab.state->disk_count = 100; /* content far behind the first sector */
            for (unsigned i = 0; i < 100; i++)
                lab.state->disks[i].size_bytes = 1u << 30;
            {
                uint8_t *newer = malloc(STATE_SLOT_BYTES);
                state_encode(lab.state, 1001, newer);
                memcpy(slots + torn * STATE_SLOT_BYTES, newer, length);
                free(newer);
            }
            lab.state->disk_count = 0;
            fd = open(lab.path, O_RDWR);
            assert_int_equal(pwrite(fd, slots, 2 * STATE_SLOT_BYTES, 0), 2 * STATE_SLOT_BYTES);
            close(fd);
            assert_int_equal(reopen(&lab), 0);
            assert_true(lab.state->epoch == 5 || lab.state->epoch == 6);
            if (length == 512)
                assert_int_equal(lab.state->epoch, 5);
            if (length == STATE_SLOT_BYTES)
                assert_int_equal(lab.state->epoch, 6);
            lab.state->disk_count = 0;
        }
    }
    free(slots);
    end(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saves),
        cmocka_unit_test(test_rot),
        cmocka_unit_test(test_torn_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
