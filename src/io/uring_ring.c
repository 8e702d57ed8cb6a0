/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring.
 *
 *   1. One io_uring_enter(2) a turn: all submissions of a turn go in with the wait for the next.
 *      It is called within a turn only when the submission queue is full.
 *   2. user_data is the operation's address, so nothing is looked up or allocated.
 *   3. Before the loop runs nothing is handed to the kernel: operations fill the submission queue
 *      and then the waiting queue. So a loop may be set up on one thread and run on another, and
 *      SINGLE_ISSUER still holds.
 *   4. Before it sleeps it looks for news for a few microseconds, without system calls, as long as
 *      looking pays (spin_policy.c).
 *   5. The ring does what prepare() asks for and nothing else, whoever writes to its memory.
 *   6. Completions beyond the completion queue are kept by the kernel (NODROP, required) and come
 *      with the next enter.
 *
 * What the kernel may do for us is found by trying, best first: DEFER_TASKRUN with SINGLE_ISSUER
 * (6.1: completions are worked out when we wait, not by interrupting us), COOP_TASKRUN (5.19),
 * plain.
 */
#include "io/uring_ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "io/posix_file.h"
#include "io/posix_socket.h"

enum {
    SQ_ENTRIES = 512,
    CQ_ENTRIES = 4096,
    LENGTH_MAX = 1 << 30, /* of one transfer; the rest is continued */
    SPIN_NS_MAX = 25000,
};

/* Everything that prepare() hands in; the ring refuses the rest (restrict_ring()). */
static const uint8_t opcodes[] = {
    IORING_OP_READ,  IORING_OP_WRITE,   IORING_OP_READV,    IORING_OP_WRITEV,
    IORING_OP_FSYNC, IORING_OP_ACCEPT,  IORING_OP_CONNECT,  IORING_OP_RECV,
    IORING_OP_SEND,  IORING_OP_SENDMSG, IORING_OP_POLL_ADD,
};

static int check_kernel(struct io_uring *ring, unsigned features)
{
    const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL |
                            IORING_FEAT_EXT_ARG;
    struct io_uring_probe *probe;
    int result = 0;

    if ((features & needed) != needed)
        return -ENOTSUP;
    probe = io_uring_get_probe_ring(ring);
    if (probe == NULL)
        return -ENOTSUP;
    for (size_t i = 0; i < ARRAY_COUNT(opcodes); i++) {
        if (!io_uring_opcode_supported(probe, opcodes[i]))
            result = -ENOTSUP;
    }
    io_uring_free_probe(probe);
    return result;
}

/* Seccomp does not see what is done through a ring, so the ring itself has a list. For good: the
 * kernel takes it only while the ring is disabled. */
static int restrict_ring(struct io_uring *ring)
{
    struct io_uring_restriction list[ARRAY_COUNT(opcodes) + 3] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = 0},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_RING_FDS},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_RING_FDS},
    };

    for (size_t i = 0; i < ARRAY_COUNT(opcodes); i++)
        list[i + 3] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
                                                    .sqe_op = opcodes[i]};
    return io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, list,
                             ARRAY_COUNT(list));
}

int uring_ring_init(struct uring_ring *uring, struct err *err)
{
    static const unsigned tries[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        0,
    };
    int result = -EINVAL;

    for (size_t i = 0; i < ARRAY_COUNT(tries) && result == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = tries[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
            .cq_entries = CQ_ENTRIES,
        };

        result = io_uring_queue_init_params(SQ_ENTRIES, &uring->ring, &params);
        if (result < 0)
            continue;
        result = check_kernel(&uring->ring, params.features);
        if (result == 0)
            result = restrict_ring(&uring->ring);
        if (result < 0)
            io_uring_queue_exit(&uring->ring);
    }
    if (result < 0)
        return err_set(err, result, "io_uring cannot be used here: %s", err_name(result));
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        spin_policy_init(&uring->spin, SPIN_NS_MAX);
    return 0;
}

void uring_ring_fini(struct uring_ring *uring)
{
    io_uring_queue_exit(&uring->ring);
}

/* liburing 2.3 declares io_uring_enable_rings() but does not export it. */
static int enable(struct io_uring *ring)
{
    return io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

void uring_ring_start(struct uring_ring *uring)
{
    if (!uring->is_enabled) {
        check(enable(&uring->ring) == 0);
        uring->is_enabled = true;
    }
    (void)io_uring_register_ring_fd(&uring->ring); /* saves a look-up an enter; fine without */
}

void uring_ring_stop(struct uring_ring *uring)
{
    (void)io_uring_unregister_ring_fd(&uring->ring);
}

static unsigned clamp(uint64_t length)
{
    return length < LENGTH_MAX ? (unsigned)length : LENGTH_MAX;
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct posix_op *state)
{
    const struct io_file *file = state->target;
    struct iovec single;
    unsigned count;
    const struct iovec *iov = posix_op_rest(state, &single, &count);
    uint64_t at = state->offset + state->done;

    if (state->kind == OP_READ && count == 1)
        io_uring_prep_read(sqe, file->fd, iov->iov_base, clamp(iov->iov_len), at);
    else if (state->kind == OP_READ)
        io_uring_prep_readv(sqe, file->fd, iov, count, at);
    else if (count == 1)
        io_uring_prep_write(sqe, file->fd, iov->iov_base, clamp(iov->iov_len), at);
    else
        io_uring_prep_writev(sqe, file->fd, iov, count, at);
}

/* MSG_WAITALL: the kernel itself continues a short send. */
static void prepare_send(struct io_uring_sqe *sqe, struct posix_op *state)
{
    const struct io_socket *socket = state->target;
    struct iovec single;
    unsigned count;
    const struct iovec *iov = posix_op_rest(state, &single, &count);

    if (count == 1) {
        io_uring_prep_send(sqe, socket->fd, iov->iov_base, clamp(iov->iov_len),
                           MSG_NOSIGNAL | MSG_WAITALL);
        return;
    }
    state->message = (struct msghdr){.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
    io_uring_prep_sendmsg(sqe, socket->fd, &state->message, MSG_NOSIGNAL | MSG_WAITALL);
}

static void prepare(struct io_uring_sqe *sqe, struct io_op *op)
{
    struct posix_op *state = posix_op_of(op);
    const struct io_socket *socket = state->target;

    switch (state->kind) {
    case OP_READ:
    case OP_WRITE:
        prepare_transfer(sqe, state);
        break;
    case OP_SYNC:
        io_uring_prep_fsync(sqe, ((struct io_file *)state->target)->fd, IORING_FSYNC_DATASYNC);
        break;
    case OP_ACCEPT:
        io_uring_prep_accept(sqe, socket->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case OP_CONNECT:
        io_uring_prep_connect(sqe, socket->fd, &socket->address.any, socket->address.length);
        break;
    case OP_RECV:
        io_uring_prep_recv(sqe, socket->fd, state->buffer.iov_base, clamp(state->buffer.iov_len),
                           0);
        break;
    case OP_SEND:
        prepare_send(sqe, state);
        break;
    case OP_WAKE:
        io_uring_prep_poll_add(sqe, (int)state->offset, POLLIN);
        break;
    default:
        check(false);
    }
    io_uring_sqe_set_data(sqe, op);
}

static bool try_submit(struct uring_ring *uring, struct io_op *op)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    if (sqe == NULL && uring->is_enabled) {
        io_uring_submit(&uring->ring); /* a failure shows as no place, and the wait tries again */
        sqe = io_uring_get_sqe(&uring->ring);
    }
    if (sqe == NULL)
        return false;
    prepare(sqe, op);
    return true;
}

void uring_ring_submit(struct uring_ring *uring, struct io_op *op)
{
    if (uring->waiting.head != NULL || !try_submit(uring, op))
        posix_op_push(&uring->waiting, op);
}

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Does the kernel hold something for us? Reads shared memory only. */
static bool has_news(const struct io_uring *ring)
{
    unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_ACQUIRE);

    return io_uring_cq_ready(ring) > 0 || (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/* EBUSY and EAGAIN: the kernel is short of room or memory, completions will give it back. */
static void check_enter(int result)
{
    check(result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY ||
          result == -EAGAIN);
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks for news for up to `spin_ns`; false when none came. */
static bool spin(struct uring_ring *uring, uint64_t start_ns, uint64_t spin_ns)
{
    do {
        for (int i = 0; i < 32; i++) {
            if (has_news(&uring->ring))
                return true;
            cpu_relax();
        }
    } while (clock_ns() - start_ns < spin_ns);
    return false;
}

static void sleep_until_news(struct uring_ring *uring, uint64_t wait_ns)
{
    struct __kernel_timespec timeout = {.tv_sec = (int64_t)(wait_ns / 1000000000),
                                        .tv_nsec = (long long)(wait_ns % 1000000000)};
    struct io_uring_cqe *cqe;

    check_enter(io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1,
                                                 wait_ns == UINT64_MAX ? NULL : &timeout, NULL));
}

/* Looks now and then whether this core is ours. */
static uint64_t spin_budget(struct uring_ring *uring, uint64_t now_ns)
{
    struct rusage usage;

    if (spin_policy_wants_check(&uring->spin, now_ns)) {
        check(getrusage(RUSAGE_THREAD, &usage) == 0);
        spin_policy_check(&uring->spin, now_ns, (uint64_t)usage.ru_nivcsw);
    }
    return spin_policy_budget(&uring->spin, now_ns);
}

void uring_ring_wait(struct uring_ring *uring, uint64_t wait_ns)
{
    uint64_t start_ns, spin_ns;

    while (uring->waiting.head != NULL && try_submit(uring, uring->waiting.head))
        posix_op_pop(&uring->waiting);
    if (wait_ns == 0 || uring->waiting.head != NULL) {
        check_enter(io_uring_submit_and_get_events(&uring->ring));
        return;
    }
    if (uring->spin.spin_ns_max == 0) {
        sleep_until_news(uring, wait_ns);
        return;
    }
    start_ns = clock_ns();
    spin_ns = spin_budget(uring, start_ns);
    if (spin_ns > 0) {
        if (io_uring_sq_ready(&uring->ring) > 0)
            check_enter(io_uring_submit_and_get_events(&uring->ring));
        if (spin(uring, start_ns, spin_ns < wait_ns ? spin_ns : wait_ns)) {
            if (io_uring_cq_ready(&uring->ring) == 0)
                check_enter(io_uring_get_events(&uring->ring));
            return;
        }
    }
    sleep_until_news(uring, wait_ns);
    spin_policy_slept(&uring->spin, clock_ns() - start_ns);
}

unsigned uring_ring_take(struct uring_ring *uring, struct uring_result *results)
{
    struct io_uring_cqe *cqes[URING_BATCH_MAX];
    unsigned count = io_uring_peek_batch_cqe(&uring->ring, cqes, URING_BATCH_MAX);

    for (unsigned i = 0; i < count; i++) {
        results[i].op = io_uring_cqe_get_data(cqes[i]);
        results[i].result = cqes[i]->res;
    }
    io_uring_cq_advance(&uring->ring, count);
    return count;
}
