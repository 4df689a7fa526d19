/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What every public header needs: linkage, visibility, the library's version; and
 * what holds for every call.
 *
 * Conventions of all calls
 *
 * 1. Calls return -1 and set errno on failure. EAGAIN is back-pressure or
 *    emptiness, and nothing else.
 * 2. A call that fails queues nothing, yields no event and leaves ownership as
 *    it was. A queued operation yields exactly one outcome, the flushed
 *    operations of a failed connection included.
 * 3. Memory has one owner at a time: the area (free), the program (reserved or
 *    received) or the library (posted for receive, or in flight). Every call
 *    says which way ownership moves. Releasing what one does not own is EINVAL,
 *    always detected. A block sent to several sockets is in flight until the
 *    last of them is done with it.
 * 4. All calls may be made from any thread. Threads that use different channels
 *    share no lock.
 * 5. The library never prints to stdout, aborts or exits, installs no signal
 *    handler and raises no SIGPIPE. It logs through a callback (sio_set_log);
 *    the default writes lines of level `warn` and above to stderr (SIO_LOG).
 * 6. Nothing is ever remotely readable or writable: memory is registered with
 *    local access only.
 * 7. What was accepted leaves without further calls, within 2 ms even if the
 *    program goes to sleep. Before the process ends: sio_flush or sio_close.
 *    In a forked child every call fails with EPERM and touches nothing of the
 *    parent's.
 */
#ifndef SIO_BASE_H
#define SIO_BASE_H

#define SIO_VERSION_MAJOR 0
#define SIO_VERSION_MINOR 1
#define SIO_VERSION_PATCH 0

#ifdef __cplusplus
#define SIO_BEGIN_DECLS extern "C" {
#define SIO_END_DECLS }
#else
#define SIO_BEGIN_DECLS
#define SIO_END_DECLS
#endif

#define SIO_API __attribute__((visibility("default")))

/* Called for each message: through its address, without a stop in the program's
 * linkage table. */
#if defined(__GNUC__) && !defined(__clang__)
#define SIO_HOT_API __attribute__((noplt)) SIO_API
#else
#define SIO_HOT_API SIO_API
#endif

#endif /* SIO_BASE_H */
