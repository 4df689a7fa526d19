/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Asynchronous requests: one operation on a socket or a file, whose end is told
 * through an event channel, by a signal, by a function in a thread, or not at all.
 *
 * The conventions of all calls are in <sio/base.h>.
 */
#ifndef SIO_AIO_H
#define SIO_AIO_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <sio/base.h>
#include <sio/ec.h>

SIO_BEGIN_DECLS

/* sigev_notify: the end of the request comes as EC_AIO in the channel that
 * sigev_ec names. SIGEV_NONE, SIGEV_SIGNAL (si_code SI_ASYNCIO) and SIGEV_THREAD
 * work as with aio_read(3). */
#define SIGEV_EC 0x4543
#define sigev_ec _sigev_un._tid

/* Requests at most, with SIGEV_EC for each channel, and of all others together.
 * One counts until its end was told: its event put into the ring, its signal sent,
 * its thread started. */
#define AIO_CB_MAX 1024

/* A request. The program fills in the fields and sets aio_state to zero before
 * the first use. From the call to its end (aio_cb_error says something other than
 * EINPROGRESS, or its event or notice has come) the structure is the library's and
 * must stay as it is, and so must the descriptor, the buffer, and what aio_msghdr
 * points to. Then the structure may be used again, without clearing aio_state. */
struct aio_cb {
	int aio_fildes;               /* a sio socket, a socket of the kernel's, a file, a pipe, ... */
	void *aio_buf;                /* first byte; set by aio_recv and aio_read_ec on a sio socket */
	size_t aio_nbytes;            /* bytes */
	off_t aio_offset;             /* aio_read_ec, aio_write_ec: where in the file */
	struct msghdr *aio_msghdr;    /* aio_sendmsg, aio_recvmsg: in place of aio_buf and aio_nbytes */
	struct sigevent aio_sigevent; /* how the end is told */
	uint64_t aio_state[3];        /* the library's */
};

/* What follows queues a request; 0 on success. None of these calls blocks.
 *
 * The outcome is a number of bytes (aio_cb_return) or an errno (aio_cb_error), and
 * with SIGEV_EC both are in the event: `cookie` is the struct aio_cb, `fd` its
 * descriptor, `error` the errno, data.len the bytes, data.buf the buffer (of
 * aio_sendmsg and aio_recvmsg the struct msghdr), data.mem the area that the buffer
 * lies in. While the channel's ring is full outcomes wait.
 *
 * On sockets, files and pipes of the kernel's they have the meaning of send(2),
 * recv(2), sendmsg(2), recvmsg(2), pread(2) and pwrite(2), whose errors are the
 * outcome's: EBADF, ENOTSOCK, ECONNRESET and so on; short counts are possible. A
 * buffer in an area is the library's until the end, so that nothing can be received
 * there nor the block be released meanwhile; it must lie in one block or message of
 * the program's. (What aio_msghdr names is not looked at.) Requests on one descriptor
 * may end in any order, so a stream has one at a time for each direction. The kernel
 * does the work (io_uring).
 *
 * On a sio socket
 *   aio_send, aio_write_ec  is sio_send, never blocking: the request ends when the
 *               peer has acknowledged the message, in place of EC_SENT, and the buffer
 *               is the program's again. A message that was copied, too, ends so.
 *   aio_sendmsg the same as sio_sendmsg.
 *   aio_recv, aio_read_ec  ends with the next message, of at most aio_nbytes:
 *               its address is put into aio_buf and into data.buf, nothing is copied,
 *               and it is the program's until sio_release. 0 bytes and NULL: the peer
 *               sends no more. Requests get the messages in their order, before EC_READABLE.
 *   aio_recvmsg the same as sio_recvmsg: the outcome is in *aio_msghdr.
 * A socket that is closed ends its receives with ECANCELED; what was sent ends as it
 * would have. If a connection fails the outcome says why: ECONNRESET, ETIMEDOUT, EPROTO;
 * ECONNABORTED, it was ended here; ENOTCONN, it did not come about.
 *
 * flags: of the kernel's sockets those of send(2) and recv(2); of sio sockets for
 * sending MSG_DONTWAIT (which changes nothing), MSG_NOSIGNAL, MSG_MORE and SIO_RELEASE,
 * for receiving none. No signal is ever raised by a broken pipe.
 *
 * Errors: EAGAIN    AIO_CB_MAX requests are under way; on a sio socket also as sio_send:
 *                   EC_WRITABLE comes when there is room
 *         EBUSY     the request is under way
 *         EINVAL    aiocbp is NULL, a flag is unknown, sigev_notify or sigev_signo is none,
 *                   aio_offset is negative, aio_buf is NULL with a length, aio_msghdr is
 *                   NULL; receiving from a sio socket that delivers (EC_DELIVER)
 *         EBADF     sigev_ec is not a channel
 *         EFAULT    aio_send, aio_recv, aio_sendmsg, aio_read_ec and aio_write_ec: the buffer
 *                   lies in an area and is not the program's; on a sio socket also as sio_send
 *         ENOSYS    not a sio socket, and the kernel or the container has no io_uring for
 *                   us: before Linux 5.12, or it is forbidden
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  at the first request with SIGEV_EC of a channel and
 *                   at the first one without, as io_uring_setup(2) and epoll_ctl(2); EMFILE,
 *                   ENFILE, ENOMEM as sio_sendmsg, when a datagram socket is bound
 *         ENOTCONN  a sio socket that is not connected
 *         EMSGSIZE, EPIPE, ECONNRESET, ETIMEDOUT, EPROTO, EIO, ENODEV  aio_send, aio_sendmsg and
 *                   aio_write_ec: on a sio socket, as sio_send and sio_sendmsg
 *         EDESTADDRREQ, ECONNREFUSED, EHOSTUNREACH  aio_send, aio_sendmsg and aio_write_ec: on a
 *                   datagram socket, as sio_send and sio_sendmsg
 *         EISCONN   aio_sendmsg: on a sio socket, there is a msg_name
 *         EAFNOSUPPORT, EOPNOTSUPP, EADDRNOTAVAIL, EADDRINUSE, ENOBUFS  aio_sendmsg: on a datagram
 *                   socket, there is a msg_name: as sio_sendmsg
 *         EPERM     called in a forked child */
SIO_API int aio_send(struct aio_cb *aiocbp, int flags);
SIO_API int aio_recv(struct aio_cb *aiocbp, int flags);
SIO_API int aio_sendmsg(struct aio_cb *aiocbp, int flags);
SIO_API int aio_recvmsg(struct aio_cb *aiocbp, int flags);
SIO_API int aio_read_ec(struct aio_cb *aiocbp);
SIO_API int aio_write_ec(struct aio_cb *aiocbp);

/* How a request stands: EINPROGRESS, 0, or the errno that it ended with. Looks whether
 * it has ended. Of one that has it takes no lock, and a signal handler may call it.
 *
 * Errors: EINVAL  aiocbp is NULL, or was never queued
 *         EPERM   called in a forked child */
SIO_API int aio_cb_error(const struct aio_cb *aiocbp);

/* What a request that has ended returned: bytes, or -1 with its errno. Can be asked as
 * often as one likes, also by a signal handler.
 *
 * Errors: EINPROGRESS  it has not ended
 *         EINVAL       aiocbp is NULL, or was never queued
 *         EPERM        called in a forked child
 *         and the request's own */
SIO_API ssize_t aio_cb_return(struct aio_cb *aiocbp);

/* Asks a request to end early; 0: it was asked. It ends with ECANCELED if it can (a
 * receive that nothing has come for, a send that waits for room in a pipe or socket),
 * else as it would have: what was sent on a sio socket can not be called back, and a
 * file is read or written to the end.
 *
 * Errors: ENOENT  it has ended
 *         EINVAL  aiocbp is NULL, or was never queued
 *         EPERM   called in a forked child */
SIO_API int aio_cb_cancel(struct aio_cb *aiocbp);

/* Waits until one of n requests at least has ended: 0. NULLs in the list are passed
 * over. `tout` is the longest wait, relative; NULL waits for ever.
 *
 * Errors: ETIMEDOUT  the time is over
 *         EINTR      a signal was caught
 *         EINVAL     list is NULL or has nothing but NULLs, one was never queued, n is not
 *                    positive, or tout is not a valid time
 *         EMFILE, ENFILE, ENOMEM  as eventfd(2)
 *         EPERM      called in a forked child */
SIO_API int aio_cb_suspend(const struct aio_cb *const list[], int n, const struct timespec *tout);

SIO_END_DECLS

#endif /* SIO_AIO_H */
