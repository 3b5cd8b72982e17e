/* Moves the wall clock of one process, for tests: LD_PRELOAD this library and name a file in WALL_CLOCK_OFFSET.
 *
 * The file holds a double, the seconds to add to CLOCK_REALTIME; a new value steps the clock. Waits with a
 * deadline on that clock follow it as in the kernel: a wait that has begun before a step back ends later by the step.
 * Monotonic waits and relative ones are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SLICE 0.01 /* seconds between two looks at the moved clock while a wait goes on */

static volatile double *moved;

__attribute__((constructor)) static void open_offset(void) {
    const char *name = getenv("WALL_CLOCK_OFFSET");
    int file = name ? open(name, O_RDONLY) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) moved = at;
}

static double seconds(const struct timespec *t) { return (double)t->tv_sec + (double)t->tv_nsec / 1e9; }

static void add(struct timespec *t, double by) {
    double whole = floor(by);
    t->tv_sec += (time_t)whole;
    t->tv_nsec += (long)((by - whole) * 1e9);
    if (t->tv_nsec >= 1000000000L) { t->tv_sec++; t->tv_nsec -= 1000000000L; }
}

static int true_time(clockid_t clock, struct timespec *t) { return (int)syscall(SYS_clock_gettime, clock, t); }

int clock_gettime(clockid_t clock, struct timespec *t) {
    int failed = true_time(clock, t);
    if (!failed && moved && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) add(t, *moved);
    return failed;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int timespec_get(struct timespec *t, int base) { return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, t) ? base : 0; }

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* The end of the next slice, in true time, of a wait until `deadline` of the moved clock; whether it is the last one. */
static int slice(const struct timespec *deadline, struct timespec *end) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double left = seconds(deadline) - seconds(&now);
    true_time(CLOCK_REALTIME, end);
    add(end, left <= 0 ? 0 : left < SLICE ? left : SLICE);
    return left <= SLICE;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    int of_monotonic = ((const unsigned *)c)[9] & 2; /* glibc: pthread_condattr_setclock */
    if (of_monotonic || !moved) return real(c, m, t);
    for (;;) {
        struct timespec end;
        int last = slice(t, &end), result = real(c, m, &end);
        if (result != ETIMEDOUT) return result;
        if (last) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            if (seconds(&now) >= seconds(t)) return ETIMEDOUT;
        }
    }
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict t) {
    int result = pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, t);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}

int sem_timedwait(sem_t *restrict s, const struct timespec *restrict t) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    if (!moved) return real(s, t);
    for (;;) {
        struct timespec end, now;
        int last = slice(t, &end);
        if (!real(s, &end)) return 0;
        if (errno != ETIMEDOUT) return -1;
        clock_gettime(CLOCK_REALTIME, &now);
        if (last && seconds(&now) >= seconds(t)) { errno = ETIMEDOUT; return -1; }
    }
}
