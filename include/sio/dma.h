/* SPDX-License-Identifier: BSD-2-Clause
 *
 * DMA areas: memory that the device reads messages from and places messages in.
 *
 * The conventions of all calls are in <sio/base.h>.
 */
#ifndef SIO_DMA_H
#define SIO_DMA_H

#include <stddef.h>

#include <sio/base.h>

SIO_BEGIN_DECLS

/* A DMA area. Opaque; NULL is never a valid handle, and a handle that was freed
 * is recognised as such (EINVAL) until 2^32 further areas were made. */
typedef struct dma_mem *dma_mem_t;

/* dma_assoc: limit the association to one direction. Neither: both.
 * dma_import: DMA_SEND for memory that is only to be sent from. */
#define DMA_SEND 0x1u
#define DMA_RECV 0x2u

/* dma_assoc: the receive memory is shared with the other sockets of the channel. */
#define DMA_SHARED 0x4u

/* dma_alloc: on pages of this size, which must have been set apart (hugetlbfs).
 * Without either: on transparent huge pages where the kernel gives them. */
#define DMA_HUGE_2MB 0x10u
#define DMA_HUGE_1GB 0x20u

/* Who owns the bytes of an area. The five lower figures add up to `size`. */
struct dma_stat {
	void *base;           /* first byte of the area */
	size_t size;          /* bytes: of dma_alloc a multiple of the page size */
	size_t free;          /* owned by the area */
	size_t largest_free;  /* the largest block that sio_reserve could give now */
	size_t reserved;      /* owned by the program through sio_reserve */
	size_t received;      /* slots that hold messages not yet released */
	size_t posted;        /* receive memory in the library's hands */
	size_t in_flight;     /* being sent: the library's until EC_SENT is taken, or sio_flush */
};

/* Makes an area of `size` bytes (rounded up to whole pages): maps it, faults it
 * in and registers it with every RDMA device that has an active port (8 at most; the
 * log names any more), for local access only. flags: 0, DMA_HUGE_2MB or DMA_HUGE_1GB.
 * A fork(2) copies the pages of an area that a device has registered: of huge ones it
 * needs as many more, set apart and free, or it fails.
 *
 * Any thread. The area is the program's until dma_free.
 * Errors: EINVAL  handlep is NULL, size is 0, a flag is unknown, or two sizes
 *         ENOMEM  no memory, no huge pages, or the memlock limit is too low: then
 *                 the log says what there is, what was wanted and what to do
 *         ENODEV  no RDMA device has an active port
 *         EMFILE  1024 areas are in use
 *         EMFILE, ENFILE  as open(2), at the first call that needs a device
 *         EPERM   called in a forked child */
SIO_API int dma_alloc(dma_mem_t *handlep, size_t size, unsigned int flags);

/* The same of memory that the program has mapped: a file, shared memory, an
 * arena of its own. `addr` and `size` are multiples of 64 (a page of a file that
 * ends within it is there as a whole). The memory stays mapped until dma_free,
 * which never unmaps it. What it holds is kept: the program takes possession of
 * it by sio_reserve of all, and may then send any part. With DMA_SEND it may be
 * mapped read-only (a shared mapping: on RDMA devices since Linux 6.2, before that
 * EFAULT), and no socket can receive into it.
 *
 * Errors: EINVAL  handlep or addr is NULL, a number is no multiple of 64, size is
 *                 0, some of it is in another area, or a flag is unknown
 *         EFAULT  not all of it is mapped, or it is beyond the end of the file
 *         EACCES  it is mapped read-only, and DMA_SEND is not given
 *         ENOMEM, ENODEV, EMFILE, ENFILE, EPERM  as dma_alloc
 *         EFAULT, EOPNOTSUPP  what ibv_reg_mr(3) says of memory that the device or
 *                 the file system does not let be registered */
SIO_API int dma_import(dma_mem_t *handlep, void *addr, size_t size, unsigned int flags);

/* Ends an area. `size` is the size given to dma_alloc or dma_import.
 *
 * Errors: EINVAL  not an area, or another size
 *         EBUSY   it is associated with a socket, or a block of it is reserved,
 *                 received or in flight. A socket of a channel that was closed
 *                 finishes in the background (sio_close) and holds the area until
 *                 then: call again, each millisecond say
 *         EPERM   called in a forked child */
SIO_API int dma_free(dma_mem_t handle, size_t size);

/* Binds an area to a socket that is neither connected nor listening.
 *
 * For receiving (no flag, or DMA_RECV): `size` bytes of the area become the
 * socket's receive memory, cut into slots (64 of 8 KiB unless SIO_RECV_SLOTS and
 * SIO_SLOT_SIZE say otherwise, plus 4 for control frames) that are posted to the
 * queue pair. What is left, if it is more than a slot, takes messages larger than a
 * slot, each in a block of its own: the largest one is as large as that memory, which
 * is `size` less (slots + 4) times the slot size: of 8 MiB with the built-in sizes
 * 8388608 - 68 * 8192 = 7831552 bytes. Several wait for each other when together they
 * do not fit. It is the receiver's memory that decides; its peer sees that number as
 * SIO_MAX_MESSAGE. The first large message of a connection comes in when the receiver
 * makes a call or waits in one; later ones without, as far as there is memory.
 * Of a datagram socket: 64 slots (SIO_RECV_SLOTS) of 4160 bytes, and nothing else.
 * sio_reserve never takes from receive memory. A socket has one
 * receiving association; a listener's is the template for each connection that
 * it accepts, which takes `size` bytes of its own at sio_accept: for n connections at
 * a time the area has n times as much.
 * For sending (no flag, or DMA_SEND): buffers of the area may be given to
 * sio_send on this socket. Up to 8 areas. `size` is then of no consequence.
 *
 * With DMA_SHARED all sockets of one channel that are so associated with the same
 * area and the same `size` have one receive memory of that size together, for all
 * slots and large messages; the first takes it, and the last to go gives it back. Of
 * its slots each connection needs 6 at least; it gets more while it uses them and
 * others leave them free, up to 256 and half of all. When they are wanted for others
 * it is asked to give back what it does not use, which the peer's library does in a
 * call or while the program waits in one; until then it keeps that. So SIO_RECV_SLOTS
 * says for how many connections there is room, if peers answer. What a listener accepts shares, in the channel that
 * it comes into. When there is no room for another, connecting fails with ENOBUFS,
 * and so does sio_accept, after which the connection goes on waiting. Messages that
 * the program holds are missing to all; large ones are served in turn, but who finds
 * no memory for his stops the others half of the time only.
 * ec_add_fd may come before or after: in no channel nothing is taken before the
 * connection is made, and then it is shared with nobody.
 *
 * Errors: EINVAL  mem is not an area, size is larger than the area or too small
 *                 for 2 slots besides the 4 of the control frames, or a flag is
 *                 unknown; DMA_SHARED with DMA_SEND alone or of a datagram socket, or
 *                 the memory is shared already by sockets with another SIO_SLOT_SIZE
 *                 or SIO_RECV_SLOTS (connecting fails with that too, if they were set
 *                 later)
 *         ENOBUFS the area has not so much left, each of the two parts in one piece
 *         EACCES  to receive into an area that was imported with DMA_SEND
 *         EBUSY   the socket has receive memory already (DMA_RECV), or 8 areas
 *         EISCONN the socket is or was connected, or is connecting or listening
 *         ENOMEM  no memory
 *         EBADF   not a sio socket
 *         EPERM   called in a forked child */
SIO_API int dma_assoc(int sock, dma_mem_t mem, size_t size, unsigned flags);

/* Undoes dma_assoc, on a socket that is not connected or that listens no more.
 * `size` is the size given to dma_assoc.
 *
 * Errors: EINVAL  the area is not associated with the socket, or another size
 *         EBUSY   the socket is connected, connecting or listening
 *         EBADF   not a sio socket
 *         EPERM   called in a forked child */
SIO_API int dma_disassoc(int sock, dma_mem_t mem, size_t size);

/* The area's accounts, exact at the moment of the call.
 *
 * Errors: EINVAL  not an area, or stat is NULL
 *         EPERM   called in a forked child */
SIO_API int dma_stat(dma_mem_t mem, struct dma_stat *stat);

/* Takes a block of `size` bytes for the program to fill and send. It begins on a
 * cache line (64 bytes) and no receive lands in it. The block is the program's
 * until sio_release; a sio_send lends it to the library until its EC_SENT is taken.
 *
 * Errors: EINVAL   not an area, memp is NULL, or size is 0
 *         ENOBUFS  no free block is large enough now
 *         EMSGSIZE size is larger than the area
 *         EPERM    called in a forked child */
SIO_API int sio_reserve(dma_mem_t dma, void **memp, size_t size);

/* Gives back a reserved block or a received buffer, in any order and from any
 * thread. `mem` and `size` are those of sio_reserve, or of the received message; of
 * bytes of a stream any number, from the front of what is held of a slot. `dma` may be NULL: the area is then found by address.
 *
 * Errors: EINVAL  the program does not own that: never reserved or received,
 *                 released before, in flight, or of another size
 *         EPERM   called in a forked child */
SIO_HOT_API int sio_release(dma_mem_t dma, void *mem, size_t size);

SIO_END_DECLS

#endif /* SIO_DMA_H */
