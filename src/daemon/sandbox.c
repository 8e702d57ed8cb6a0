/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists. Found by tracing the integration tests on both loops, and by what SQLite, the workers
 * and clean stops call; a call is here because something named beside it needs it.
 *
 *   1. No new program, no new process, no tracing, no second ring, no new listener.
 *   2. Sockets of three families only: unix, IPv4, IPv6.
 *   3. No memory that is executable.
 *
 * One list for the process: data and control loop both open files while they run. The thread of
 * the API's door has a second, narrow one on top.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = true };
#else
enum { IS_SANITIZED = false };
#endif

/* Memory, time, threads, signals, and bytes on descriptors that are open: every thread. */
static const int thread_calls[] = {
    SCMP_SYS(brk),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(close),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(fcntl),
    SCMP_SYS(futex),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(nanosleep),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(read),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sysinfo),
    SCMP_SYS(tgkill),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* sockets that exist */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendfile),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
};

/* Files, connecting, the ring: the loops, their workers, and main. */
static const int process_calls[] = {
    SCMP_SYS(access),
    SCMP_SYS(chmod),
    SCMP_SYS(connect),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(eventfd2),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fallocate),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(fchown),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(kill),
    SCMP_SYS(lseek),
    SCMP_SYS(lstat),
    SCMP_SYS(mincore),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(mlock),
    SCMP_SYS(msync),
    SCMP_SYS(newfstatat),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(prlimit64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(readv),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(rmdir),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(seccomp), /* sandbox_narrow(): a list can only be made shorter */
    SCMP_SYS(stat),
    SCMP_SYS(statfs),
    SCMP_SYS(statx),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(umask),
    SCMP_SYS(uname),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    451, /* cachestat, which libseccomp 2.5 does not know */
};

/* A sanitizer's runtime calls what it likes; what no part of versod does is refused all the same.
 */
static const int refused_calls[] = {
    SCMP_SYS(bind),           SCMP_SYS(bpf),
    SCMP_SYS(chroot),         SCMP_SYS(init_module),
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register),
    SCMP_SYS(listen),         SCMP_SYS(mount),
    SCMP_SYS(setuid),         SCMP_SYS(unshare),
};

void sandbox_hide_memory(void)
{
    const struct rlimit none = {0, 0};

    if (IS_SANITIZED)
        return; /* the search for leaks at the end reads the process */
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
}

static int allow_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return failed;
}

/* Memory is mapped, never executable. */
static int allow_memory(scmp_filter_ctx filter)
{
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return failed;
}

/* Calls whose arguments decide. */
static int allow_by_argument(scmp_filter_ctx filter)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const unsigned requests[] = {BLKGETSIZE64, BLKZEROOUT};
    static const int options[] = {PR_SET_NAME, PR_SET_NO_NEW_PRIVS};
    int failed = allow_memory(filter);

    for (size_t i = 0; i < ARRAY_COUNT(families) && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    for (size_t i = 0; i < ARRAY_COUNT(requests) && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, requests[i]));
    for (size_t i = 0; i < ARRAY_COUNT(options) && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)options[i]));
    if (failed ==
        0) /* threads, not processes; clone3's flags cannot be seen: clone is tried next */
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return failed;
}

static int refuse_calls(scmp_filter_ctx filter)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_COUNT(refused_calls) && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0);
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, AF_NETLINK));
    return failed;
}

static int load(scmp_filter_ctx filter, int failed, const char *what, struct err *err)
{
    if (filter == NULL)
        failed = -ENOMEM;
    if (failed == 0)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed == 0)
        return 0;
    return err_set(err, failed,
                   "seccomp, %s: %s; [site] sandbox=no starts without (see verso.conf(5))", what,
                   err_name(failed));
}

int sandbox_enter(struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(IS_SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
    int failed = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

    if (failed == 0 && IS_SANITIZED)
        failed = refuse_calls(filter);
    if (failed == 0 && !IS_SANITIZED)
        failed = allow_calls(filter, thread_calls, ARRAY_COUNT(thread_calls));
    if (failed == 0 && !IS_SANITIZED)
        failed = allow_calls(filter, process_calls, ARRAY_COUNT(process_calls));
    if (failed == 0 && !IS_SANITIZED)
        failed = allow_by_argument(filter);
    return load(filter, failed, "list of the process", err);
}

int sandbox_narrow(struct err *err)
{
    scmp_filter_ctx filter;
    int failed;

    if (IS_SANITIZED)
        return 0;
    filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    failed = filter ? allow_calls(filter, thread_calls, ARRAY_COUNT(thread_calls)) : -ENOMEM;
    if (failed == 0)
        failed = allow_memory(filter);
    return load(filter, failed, "list of the API's door", err);
}
