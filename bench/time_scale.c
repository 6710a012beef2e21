/* LD_PRELOAD: for this process and its children, time runs TIME_SCALE times as fast from TIME_SCALE_START on.
 *
 * Clocks tell scaled time, and what waits is woken by it, so that programs need not know. libfaketime 0.9.10 (Debian
 * 12) does the same, but not for sem_clockwait, on which Python's locks wait, and it rounds what poll and epoll shall
 * wait to whole milliseconds: at 200 times, 100 ms would be no wait at all. CPU clocks are left alone.
 *
 * TIME_SCALE_START: CLOCK_MONOTONIC and CLOCK_REALTIME in ns, as they were for all processes when it began.
 * Build: gcc -O2 -shared -fPIC -o time_scale.so time_scale.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
/* The interpreter waits 5 ms for its lock before it asks for it: that is no time of the program's. */
#define UNSCALED_WAIT_NS (10 * 1000000LL)

static int64_t scale, start_monotonic, start_realtime;

static int (*real_clock_gettime)(clockid_t, struct timespec *);

static int64_t ns_of(const struct timespec *ts) { return ts->tv_sec * NS + ts->tv_nsec; }

static struct timespec ts_of(int64_t ns)
{
    if (ns < 0)
        ns = 0;
    struct timespec ts = {ns / NS, ns % NS};
    return ts;
}

__attribute__((constructor)) static void begin(void)
{
    if (scale)
        return;
    const char *factor = getenv("TIME_SCALE"), *start = getenv("TIME_SCALE_START");
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    long long monotonic = 0, realtime = 0;
    if (!factor || !start || sscanf(start, "%lld,%lld", &monotonic, &realtime) != 2) {
        scale = 1;
        return;
    }
    start_monotonic = monotonic;
    start_realtime = realtime;
    scale = atoll(factor);
}

static int64_t real_now(void)
{
    struct timespec ts;
    begin();
    real_clock_gettime(CLOCK_MONOTONIC, &ts);
    return ns_of(&ts);
}

/* Both scaled clocks go on from what the monotonic one tells. */
static int64_t elapsed(void) { return (real_now() - start_monotonic) * scale; }

static int64_t scaled_now(clockid_t clock)
{
    return (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? start_realtime : start_monotonic) + elapsed();
}

/* The kernel's monotonic time at a scaled moment; seconds since the epoch are far above those since the boot. */
static struct timespec real_moment(const struct timespec *scaled)
{
    int64_t base = scaled->tv_sec > 500000000 ? start_realtime : start_monotonic;
    return ts_of(start_monotonic + (ns_of(scaled) - base) / scale);
}

static struct timespec shortened(int64_t ns) { return ts_of(ns / scale); }

/* --- clocks --- */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    begin();
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *ts = ts_of(scaled_now(clock));
        return 0;
    default:
        return real_clock_gettime(clock, ts);
    }
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    (void)zone;
    struct timespec ts = ts_of(scaled_now(CLOCK_REALTIME));
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at)
{
    time_t now = scaled_now(CLOCK_REALTIME) / NS;
    if (at)
        *at = now;
    return now;
}

/* --- sleeping --- */

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left)
{
    (void)clock;
    struct timespec real = flags & TIMER_ABSTIME ? real_moment(wanted) : shortened(ns_of(wanted));
    long done = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, flags, &real, left);
    if (done == 0)
        return 0;
    if (left && !(flags & TIMER_ABSTIME))
        *left = ts_of(ns_of(left) * scale);
    return errno;
}

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
    if (!error)
        return 0;
    errno = error;
    return -1;
}

int usleep(useconds_t us)
{
    struct timespec ts = ts_of(us * 1000LL);
    return nanosleep(&ts, NULL);
}

unsigned int sleep(unsigned int seconds)
{
    struct timespec ts = {seconds, 0};
    return nanosleep(&ts, NULL) ? 1 : 0;
}

/* --- waiting for descriptors --- */

static int poll_real(struct pollfd *fds, nfds_t count, const struct timespec *real, const sigset_t *mask)
{
    struct timespec copy, *wait = NULL;
    if (real) {
        copy = *real; /* the kernel writes what is left into it */
        wait = &copy;
    }
    return syscall(SYS_ppoll, fds, count, wait, mask, 8);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct timespec real = shortened(timeout_ms * 1000000LL);
    return poll_real(fds, count, timeout_ms < 0 ? NULL : &real, NULL);
}

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size)
{
    (void)size;
    return poll(fds, count, timeout_ms);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *wanted, const sigset_t *mask)
{
    struct timespec real;
    if (wanted)
        real = shortened(ns_of(wanted));
    return poll_real(fds, count, wanted ? &real : NULL, mask);
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout_ms, const sigset_t *mask)
{
    /* Not epoll_pwait2, which not every kernel has: wait for the descriptor, then take what is there. */
    if (timeout_ms > 0) {
        struct pollfd fd = {epoll, POLLIN, 0};
        struct timespec real = shortened(timeout_ms * 1000000LL);
        int ready = poll_real(&fd, 1, &real, mask);
        if (ready <= 0)
            return ready;
        timeout_ms = 0;
    }
    return syscall(SYS_epoll_pwait, epoll, events, most, timeout_ms, mask, 8);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    return epoll_pwait(epoll, events, most, timeout_ms, NULL);
}

int pselect(int count, fd_set *read, fd_set *write, fd_set *except, const struct timespec *wanted,
            const sigset_t *mask)
{
    struct {
        const sigset_t *mask;
        size_t size;
    } masked = {mask, 8};
    struct timespec real;
    if (wanted)
        real = shortened(ns_of(wanted));
    return syscall(SYS_pselect6, count, read, write, except, wanted ? &real : NULL, &masked);
}

int select(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
           struct timeval *restrict wanted)
{
    struct timespec ts;
    if (wanted)
        ts = ts_of(wanted->tv_sec * NS + wanted->tv_usec * 1000LL);
    return pselect(count, read, write, except, wanted ? &ts : NULL, NULL);
}

/* --- waiting for locks and signals --- */

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)
{
    static int (*real)(sem_t *, clockid_t, const struct timespec *);
    (void)clock;
    if (!real)
        real = (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT, "sem_clockwait");
    struct timespec moment = real_moment(until);
    return real(semaphore, CLOCK_MONOTONIC, &moment);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    return sem_clockwait(semaphore, CLOCK_REALTIME, until);
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
                           const struct timespec *restrict until)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    if (!real)
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))dlsym(
            RTLD_NEXT, "pthread_cond_clockwait");
    int64_t left = ns_of(until) - scaled_now(clock);
    struct timespec moment = left < UNSCALED_WAIT_NS ? ts_of(real_now() + left) : real_moment(until);
    return real(condition, mutex, CLOCK_MONOTONIC, &moment);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    /* Which of the two clocks the condition was made for shows in the size of the number. */
    clockid_t clock = until->tv_sec > 500000000 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    return pthread_cond_clockwait(condition, mutex, clock, until);
}

int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info, const struct timespec *restrict wanted)
{
    struct timespec real;
    if (wanted)
        real = shortened(ns_of(wanted));
    return syscall(SYS_rt_sigtimedwait, set, info, wanted ? &real : NULL, 8);
}

int setitimer(__itimer_which_t which, const struct itimerval *restrict wanted, struct itimerval *restrict before)
{
    struct itimerval real = *wanted;
    if (which == ITIMER_REAL) {
        struct timeval *each[] = {&real.it_interval, &real.it_value};
        for (int at = 0; at < 2; at++) {
            int64_t us = (each[at]->tv_sec * 1000000LL + each[at]->tv_usec);
            if (us && !(us /= scale))
                us = 1;
            each[at]->tv_sec = us / 1000000;
            each[at]->tv_usec = us % 1000000;
        }
    }
    return syscall(SYS_setitimer, which, &real, before);
}
