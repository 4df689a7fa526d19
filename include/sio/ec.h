/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Event channels: one queue of uniform records for everything that happens.
 *
 * The conventions of all calls are in <sio/base.h>.
 */
#ifndef SIO_EC_H
#define SIO_EC_H

#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <sio/base.h>
#include <sio/dma.h>

SIO_BEGIN_DECLS

/* An event channel: a close-on-exec descriptor. Readable means "call
 * ec_next_event until EAGAIN, then sleep again"; that may be spurious, it is
 * never missing. Close it with ec_destroy, never with close(2). */
typedef int ec_t;

/* ec_create: an event wakes every thread in ec_delay instead of one. */
#define EC_WAKE_ALL 0x1u
/* ec_create_ring: send this signal to the process when the ring is full and
 * sources begin to be held back; once until the ring was found empty again. */
#define EC_OVERFLOW_SIGNAL(signo) (((unsigned)(signo) & 0x7fu) << 8)

/* Kinds of events; the numbers are stable. */
enum {
	EC_FD = 1,        /* a descriptor is ready: `ready` */
	EC_USER = 2,      /* ec_post: `value` */
	EC_MQ = 3,        /* a message queue is ready: `ready` */
	EC_SIGNAL = 4,    /* a signal came: `signal` */
	EC_TIMER = 5,     /* a timer expired: `value`, how often */
	EC_SEM = 6,       /* a semaphore was taken for the program */
	EC_FUTEX = 7,     /* a word was woken or has changed: `value`, the word; ends the source */
	EC_PROCESS = 8,   /* a process has ended: `signal`; ends the source */
	EC_AIO = 9,       /* a request of <sio/aio.h> has ended: `data`, or `error` */
	EC_ACCEPT = 16,   /* a connection waits for sio_accept */
	EC_CONNECT = 17,  /* a non-blocking sio_connect ended: established, or `error` */
	EC_RECV = 18,     /* a message, the program's until sio_release: `data` */
	EC_READABLE = 19, /* sockets without delivery: sio_recv has something again */
	EC_SENT = 20,     /* acknowledged (a datagram: has left), or `error`; the buffer is the program's again: `data` */
	EC_WRITABLE = 21, /* the back-pressure that sio_send reported has gone */
	EC_EOF = 22,      /* the peer sends no more; all it sent was delivered before */
	EC_HUP = 23       /* the connection failed, `error` says why; nothing follows */
};

/* ec_add_fd on a sio socket: deliver each message as EC_RECV with its buffer.
 * (A bit that epoll does not use.) */
#define EC_DELIVER 0x00800000u

struct ec_data {
	void *buf;                   /* first byte of the message */
	size_t len;                  /* bytes */
	dma_mem_t mem;               /* the area that it lies in; NULL for none */
	const struct sockaddr *from; /* datagrams: the sender, until the message is released; else NULL */
};

/* Fields as those of siginfo_t. */
struct ec_signal {
	int32_t pid;        /* who sent the signal; the process that ended */
	uint32_t uid;       /* of that process, real */
	int32_t code;       /* si_code: SI_USER, SI_QUEUE, ...; CLD_EXITED, CLD_KILLED, ... */
	int32_t status;     /* exit status or signal; SIGCHLD and EC_PROCESS */
	union sigval value; /* as given to sigqueue(3) */
};

/* One event. 64 bytes, one layout for all kinds. */
typedef struct event_data {
	uint32_t kind;  /* EC_FD, EC_RECV, ... */
	uint32_t flags; /* 0 */
	int32_t fd;     /* socket, descriptor, message queue, or signal number; for timers,
	                   semaphores, futexes and processes the id; -1 for none */
	int32_t error;  /* an errno; 0 when all went well */
	void *cookie;   /* as given when the source was added; EC_AIO: the struct aio_cb */
	union {
		struct ec_data data;     /* EC_RECV, EC_SENT, EC_AIO */
		struct ec_signal signal; /* EC_SIGNAL, EC_PROCESS */
		uint64_t value;          /* EC_USER: as posted; EC_TIMER: expirations; EC_FUTEX: the word */
		uint32_t ready;          /* EC_FD, EC_MQ: epoll bits */
		uint64_t pad[5];         /* the record is 64 bytes on every 64-bit machine */
	};
} event_data_t;

/* Makes a channel with room for 1024 events (the setting ring-entries).
 * flags: EC_WAKE_ALL.
 *
 * Errors: EINVAL  a flag is unknown
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  as epoll_create1(2), eventfd(2) and
 *                 epoll_ctl(2)
 *         EPERM   called in a forked child */
SIO_API ec_t ec_create(unsigned flags);

/* The same on a ring in the program's memory, which stays the program's to free
 * after ec_destroy, and which only the library writes in between. `entries` is a
 * power of two, from 2 to 2^24. flags: EC_WAKE_ALL, EC_OVERFLOW_SIGNAL(signo).
 *
 * Errors: EINVAL  ring is NULL, entries is no such power of two, or a flag is
 *                 unknown
 *         and those of ec_create */
SIO_API ec_t ec_create_ring(unsigned flags, event_data_t *ring, size_t entries);

/* Ends a channel; events that were not taken are dropped, and the messages that
 * they carried go back to their sockets' receive memory. Sockets of the channel
 * that were closed and still linger finish without it, and hold their areas until
 * then (dma_free: EBUSY). Other sources end as with ec_del.
 *
 * Errors: EBADF   not a channel
 *         EBUSY   sockets are attached: close them first; or requests are under
 *                 way (<sio/aio.h>)
 *         EMFILE  sockets linger, and no descriptor is left for them
 *         EPERM   called in a forked child */
SIO_API int ec_destroy(ec_t ec);

/* Takes the next event. Never blocks.
 *
 * Errors: EAGAIN  there is none
 *         EINVAL  d is NULL
 *         EBADF   not a channel
 *         EPERM   called in a forked child */
SIO_HOT_API int ec_next_event(ec_t ec, event_data_t *d);

/* Takes up to n events and returns how many.
 *
 * Errors: EAGAIN  there is none
 *         EINVAL  d is NULL or n is not positive
 *         EBADF   not a channel
 *         EPERM   called in a forked child */
SIO_HOT_API int ec_next_events(ec_t ec, event_data_t *d, int n);

/* The descriptor for poll, select, epoll and event loops: it is the channel's
 * own. From this call on it is armed each time that the channel is seen empty;
 * a channel whose descriptor was never asked for may stay readable for another
 * millisecond (SIO_SPIN_US if that is more) before it is. It reports readability
 * only.
 *
 * Errors: EBADF   not a channel
 *         EPERM   called in a forked child */
SIO_API int ec_to_fd(ec_t ec);

/* Waits until an event is there: 0. `tout` is the longest wait, relative; NULL
 * waits for ever. Spins for a while (SIO_SPIN_US), then sleeps. An event wakes
 * one of the threads that wait, with EC_WAKE_ALL all of them.
 *
 * Errors: ETIMEDOUT the time is over
 *         EINTR     a signal was caught
 *         EINVAL    tout is not a valid time
 *         EBADF     not a channel, or it was destroyed meanwhile
 *         EPERM     called in a forked child */
SIO_API int ec_delay(ec_t ec, struct timespec *tout);

/* Adds a descriptor; its readiness comes as EC_FD with `cookie`. Any descriptor
 * that epoll takes, in as many channels, polls and selects as one likes.
 * `events` are epoll's bits; as with epoll readiness is a level: an event that
 * was taken comes again while the descriptor is ready (EPOLLET and EPOLLONESHOT
 * work too). At most one event of a descriptor waits in the ring.
 *
 * A sio socket is attached before connect or listen (for datagrams: before it is
 * first used), to one channel: its events
 * then come there. `events` is EC_DELIVER (each message comes as EC_RECV) or
 * EPOLLIN (EC_READABLE, then sio_recv).
 *
 * Errors: EBADF   ec is not a channel or fd not a descriptor
 *         EEXIST  it is in this channel already
 *         EINVAL  no bit, an unknown bit, or ec itself
 *         EISCONN the socket is connected, connecting or listening, or in
 *                 another channel
 *         EPERM   a descriptor that epoll does not take (a regular file), or
 *                 called in a forked child
 *         ELOOP, ENOMEM, ENOSPC  as epoll_ctl(2) */
SIO_API int ec_add_fd(ec_t ec, int fd, uint32_t events, void *cookie);

/* Changes the bits and the cookie. On a sio socket: only the cookie, `events`
 * being those of ec_add_fd.
 *
 * Errors: ENOENT  it is not in this channel
 *         EBADF, EINVAL, EPERM  as ec_add_fd */
SIO_API int ec_mod_fd(ec_t ec, int fd, uint32_t events, void *cookie);

/* Takes a descriptor out; its event, if one waits in the ring, is dropped. A
 * sio socket can be taken out until it connects or listens (for datagrams: until it
 * is first used).
 *
 * Errors: ENOENT  it is not in this channel
 *         EISCONN the socket is connected, connecting or listening, or was used for
 *                 datagrams
 *         EBADF   ec is not a channel
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  a socket: as eventfd(2) and epoll_ctl(2)
 *         EPERM   called in a forked child */
SIO_API int ec_del_fd(ec_t ec, int fd);

/* What follows adds a source that is known by an id: the call returns it, from
 * 1, and ec_del ends the source. Timers that do not repeat, futexes and processes
 * yield one event and end when that is taken; ec_del then fails with ENOENT. An
 * id is not used again soon. */

/* A POSIX message queue; its readiness comes as EC_MQ with `cookie`, and `fd`
 * being the queue. `events` are epoll's bits, as with ec_add_fd. The channel has
 * a descriptor of its own for the queue until ec_del, so mq_close does not end
 * the source.
 *
 * Errors: EBADF   ec is not a channel or queue not a message queue
 *         EINVAL  no bit, or an unknown bit
 *         EMFILE, ENOMEM, ENOSPC  as fcntl(2) and epoll_ctl(2)
 *         EPERM   called in a forked child */
SIO_API int ec_add_mq(ec_t ec, mqd_t queue, uint32_t events, void *cookie);

/* Signals that are sent to the process. The caller has blocked them in all
 * threads, else they may be delivered instead; those sent to one thread are that
 * thread's. Each comes as EC_SIGNAL, `fd` being its number. While the ring is
 * full they stay pending. A signal that several channels wait for comes to one
 * of them.
 *
 * Errors: EINVAL  signals is NULL, empty, or has SIGKILL or SIGSTOP
 *         EBADF   ec is not a channel
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  as signalfd(2) and epoll_ctl(2)
 *         EPERM   called in a forked child */
SIO_API int ec_add_signal(ec_t ec, const sigset_t *signals, void *cookie);

/* A timer on any clock of timerfd_create(2). flags: 0 (times->it_value is
 * relative), TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET. An expiration comes as
 * EC_TIMER; those that come while an event waits are counted in the next one's
 * `value`. When the clock is set, with TFD_TIMER_CANCEL_ON_SET, an event comes
 * with error ECANCELED and value 0; then the timer goes on, and expirations that
 * the program was not told of yet come.
 *
 * Errors: EINVAL  no such clock or flag; times is NULL or no valid time, or its
 *                 it_value is zero
 *         EPERM   the clock is one that wakes the system, which takes a
 *                 capability (CAP_WAKE_ALARM); or called in a forked child
 *         EBADF   ec is not a channel
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  as timerfd_create(2) and epoll_ctl(2) */
SIO_API int ec_add_timer(ec_t ec, clockid_t clock, const struct itimerspec *times, int flags,
                         void *cookie);

/* A semaphore. Each time that it could be taken it is taken for the program, and
 * EC_SEM says so; the next one is not before the program has taken the event.
 * A helper thread per semaphore waits in sem_wait(3). The semaphore must last
 * until ec_del has returned. One that was taken without the program being told
 * is given back (sem_post) by ec_del and ec_destroy.
 *
 * Errors: EINVAL  semaphore is NULL
 *         EBADF   ec is not a channel
 *         ENOMEM  no memory, or no thread can be made
 *         EPERM   called in a forked child */
SIO_API int ec_add_sem(ec_t ec, sem_t *semaphore, void *cookie);

/* ec_add_futex: the word is shared between processes. */
#define EC_FUTEX_SHARED 0x1

/* A futex word. One event, EC_FUTEX, says that it was woken (FUTEX_WAKE) or that
 * it is no longer `value`; the event's `value` is what it was then. flags: 0 (a
 * private futex) or EC_FUTEX_SHARED. The word must last until the event was
 * taken or ec_del has returned; the event of one whose memory was unmapped has
 * error EFAULT.
 *
 * A change of the word that lasts is never missed. A wake-up that leaves the word
 * as it was, or a change that was undone at once, may be: a helper thread waits
 * for 127 words, of all channels, and such a wake-up is lost unless that thread
 * sleeps in the kernel when it comes. It does not for a moment after ec_add_futex
 * has returned, nor whenever another of its words is added, taken out or told
 * of. FUTEX_WAKE says then that it woke nobody, or it woke another waiter. So who
 * wakes changes the word first, as with any futex. If the source ends and its event
 * was not taken (ec_del, ec_destroy), another waiter is woken, perhaps in vain.
 *
 * Errors: EINVAL  word is NULL or not aligned, or a flag is unknown
 *         ENOSYS  the kernel has no futex_waitv(2): before Linux 5.16, or a filter
 *                 of system calls refuses it
 *         EBADF   ec is not a channel
 *         ENOMEM  no memory, or no thread can be made
 *         EPERM   called in a forked child */
SIO_API int ec_add_futex(ec_t ec, uint32_t *word, uint32_t value, int flags, void *cookie);

/* The end of a process, child or not: one event, EC_PROCESS. Of a child that
 * nobody has waited for, `signal` says how it ended; else only pid. The child is
 * still to be waited for (waitpid(2)).
 *
 * Errors: ESRCH   no such process
 *         EINVAL  pid is not positive, or that of a thread
 *         EBADF   ec is not a channel
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  as pidfd_open(2) and epoll_ctl(2)
 *         ENOSYS  the kernel has no pidfd_open(2): before Linux 5.3
 *         EPERM   called in a forked child */
SIO_API int ec_add_process(ec_t ec, pid_t pid, void *cookie);

/* Ends a source that was added with an id; its events, if some wait in the ring,
 * are dropped.
 *
 * Errors: ENOENT  it is not in this channel, or has ended
 *         EBADF   ec is not a channel
 *         EPERM   called in a forked child */
SIO_API int ec_del(ec_t ec, int id);

/* Puts an event of the program's own into the channel.
 *
 * Errors: EAGAIN  the ring is full
 *         EBADF   not a channel
 *         EPERM   called in a forked child */
SIO_API int ec_post(ec_t ec, uint64_t value, void *cookie);

SIO_END_DECLS

#endif /* SIO_EC_H */
