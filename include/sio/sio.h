/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Sockets: messages over RDMA queue pairs, sent from and received into DMA areas.
 *
 * The conventions of all calls are in <sio/base.h>.
 */
#ifndef SIO_SIO_H
#define SIO_SIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include <sio/base.h>
#include <sio/dma.h>
#include <sio/ec.h>

SIO_BEGIN_DECLS

/* Datagrams
 *
 * A socket of type SOCK_DGRAM sends messages to any address, and may lose them: when
 * the network does, and when the receiver has no slot free. It is one unreliable
 * datagram (UD) queue pair of one device. What is otherwise than with connections:
 *
 * It is open, and can be sent to, from sio_bind on; the first sio_sendto, sio_connect
 * or membership binds it if the program did not; on RoCE v2 alone, since on
 * InfiniBand proper the sender's address does not come with a datagram (EOPNOTSUPP).
 * An address of no device (0.0.0.0, ::) means the first device's, or that which
 * leads to where the first message goes; so datagrams to groups should be sent from
 * an address that was bound. What is settable "before" (options, dma_assoc,
 * ec_add_fd) is so until the socket is first used to send, receive, connect or join;
 * what arrives until then may be lost. With SO_REUSEADDR a port that another socket
 * has is shared: what goes to groups at that port comes to each, what goes to the
 * port comes to the first, and the others send from a port of their own.
 * SIO_SLOT_SIZE has no meaning: a slot takes any datagram.
 *
 * Messages are of 0 bytes to the path MTU (SIO_MAX_MESSAGE; 4096 at most, 2 less to
 * groups); a larger one is EMSGSIZE at once. They are taken from and lie in areas like
 * those of connections. EC_SENT, and sio_flush, say that a message has left, not that
 * it came. MSG_MORE has no effect. SIO_INFO counts what was missing.
 *
 * An address is looked up by the connection manager, once: it is remembered (the last
 * 1024 that were used: SIO_DATAGRAM_PEERS), and asked for again every 10 s or so while
 * it is used and not heard from. Who has sent something is not asked for. A blocking
 * call waits for that; otherwise up to 64 messages wait, and leave when the address is
 * known. If it is not found (ECONNREFUSED: nobody is there; EHOSTUNREACH; ETIMEDOUT
 * after SIO_CONNECT_TIMEOUT) that is the error of the call, or of each message's
 * EC_SENT; of those that were copied SO_ERROR and sio_flush tell it. So does the next
 * call that sends there, within a second.
 *
 * sio_connect sets where messages without an address go to, and from whom alone
 * datagrams are taken. It ends when the address is known. It may be called again;
 * with an address of family AF_UNSPEC it is undone, and if it had not ended it ends
 * with ECONNABORTED.
 *
 * Multicast groups: sio_setsockopt(IPPROTO_IP, IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP,
 * struct ip_mreq or ip_mreqn; IPPROTO_IPV6, IPV6_JOIN_GROUP and IPV6_LEAVE_GROUP, struct
 * ipv6_mreq). A member gets what is sent to the group at its own port. The call waits
 * until the connection manager has taken it (SIO_CONNECT_TIMEOUT at most); the network
 * may be a little later, and what is sent meanwhile is missed. To send to a group no
 * membership is needed, and what a socket sends does not come back to it. 20 groups
 * at most.
 *
 * What is sent while the interface is down is lost, or its EC_SENT has error EIO. A
 * socket whose device has gone ends with EC_HUP. sio_listen, sio_accept and sio_shutdown
 * are EOPNOTSUPP. */

/* sio_send: the library releases the buffer when the message is acknowledged;
 * no EC_SENT follows. (A bit that no MSG_ flag uses.) */
#define SIO_RELEASE 0x01000000

/* Level of the options below. "before": settable before connect or listen only,
 * else EISCONN; what a listener accepts inherits it. */
#define SOL_SIO 0x510

enum {
	SIO_SLOT_SIZE = 1,       /* int, bytes of payload of a slot: 256 to 65536, a multiple of 64; before */
	SIO_RECV_SLOTS = 2,      /* int, receive slots: 2 to 4096; before */
	SIO_COPY_MAX = 3,        /* int, bytes: largest message that is copied when it lies in no area: 0 to 8192 */
	SIO_SPIN_US = 4,         /* int, microseconds to spin before a wait sleeps: 0 to 1000000 */
	SIO_KEEPALIVE_MS = 5,    /* int, milliseconds of silence before the peer is probed; 0: never */
	SIO_CONNECT_TIMEOUT = 6, /* int, milliseconds that sio_connect waits for the peer to accept: 1 to 600000
	                            (the setting connect-timeout-ms) */
	SIO_SEND_QUOTA = 7,      /* int, SENDs in flight at most: 4 to 4096; before */
	SIO_NODELAY = 8,         /* int: not 0: each message is a SEND of its own, none waits for others */
	SIO_AREA = 9,            /* get: dma_mem_t of the receive memory; NULL before there is any */
	SIO_READY = 10,          /* get: uint32_t, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR */
	SIO_INFO = 11,           /* get: struct sio_info */
	SIO_MAX_MESSAGE = 12,    /* get: uint64_t, largest message that the peer takes; before connect: that we take */
	SIO_DATAGRAM_PEERS = 20  /* int, addresses that a datagram socket remembers: 2 to 65536 (1024); before */
};

/* What a connection is and has done. A zeroed field means: not known (yet).
 *
 * SEND           what a queue pair carries as one, and a receive takes
 * slot           receive memory for one SEND of the peer's
 * credit         leave to make one SEND: a slot that the peer has posted and told of
 * train          small messages that travel together in one SEND
 * control frame  a SEND without messages: the library's own, that returns credits
 *                or ends a direction */
struct sio_info {
	char device[32];        /* RDMA device, e.g. "rxe0" */
	uint32_t port;          /* port of the device, from 1 */
	uint32_t gid_index;     /* index of the local GID */
	char gid[48];           /* the local GID, as text */
	uint32_t mtu;           /* path MTU, bytes of payload per packet */
	uint32_t qp_num;        /* number of the queue pair */
	uint32_t peer_qp_num;
	uint32_t max_inline;    /* bytes that are sent inline */
	uint32_t slot_size;     /* bytes: ours */
	uint32_t recv_slots;
	uint32_t peer_slot_size;
	uint32_t peer_recv_slots;
	uint32_t credits;       /* data SENDs that the peer has room for now */
	uint32_t sends_in_flight;
	uint64_t messages_sent; /* accepted by sio_send and posted */
	uint64_t bytes_sent;
	uint64_t messages_received; /* handed to the program */
	uint64_t bytes_received;
	uint64_t sends_posted;   /* SENDs with messages; fewer than messages_sent when these were gathered */
	uint64_t trains_posted;  /* of these: those that carried more than one message */
	uint64_t credit_frames;  /* SENDs about credits alone */
	uint64_t receives_posted;
	uint64_t credit_stalls;  /* times that sio_send found no room */
	uint64_t keepalives;
	uint64_t bulk_sent;      /* messages larger than the peer's slots, of those sent */
	uint64_t bulk_received;  /* messages larger than our slots, of those received */
	uint64_t bulk_stalls;    /* times that one of these had to wait for receive memory */
	int32_t error;           /* errno that ended the connection, 0 for none */
	uint32_t wc_status;      /* enum ibv_wc_status of the first failed completion */
	uint32_t wc_vendor_err;
	uint32_t wc_qp_num;
	uint64_t datagrams_lost;     /* missing: numbers that were skipped between two datagrams of one sender */
	uint64_t datagrams_late;     /* came after a later one, or twice; were counted as lost before, unless twice */
	uint64_t datagrams_odd;      /* dropped: not of libsio, or malformed */
	uint64_t datagrams_unwanted; /* dropped: not of the peer (sio_connect), for a group or port that is not ours */
	uint64_t lookups;            /* addresses that the connection manager was asked for */
};

/* A socket. domain: AF_INET or AF_INET6. type: SOCK_SEQPACKET (messages on a
 * connection), SOCK_STREAM (bytes on one; see below) or SOCK_DGRAM (datagrams, see
 * above), with SOCK_NONBLOCK and SOCK_CLOEXEC (the descriptor is close-on-exec in
 * any case). protocol: 0.
 * Close it with sio_close, never with close(2). On a socket in no channel poll,
 * select and epoll report readability: input, a connection to accept, the end of
 * a connect, an error. As on a channel it may be spurious, never missing.
 *
 * Errors: EAFNOSUPPORT     another domain
 *         ESOCKTNOSUPPORT  another type
 *         EPROTONOSUPPORT  another protocol
 *         EINVAL           an unknown bit in type
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  as epoll_create1(2), eventfd(2) and epoll_ctl(2)
 *         EPERM            called in a forked child */
SIO_API int sio_socket(int domain, int type, int protocol);

/* Names the local address. The port may be 0 (one is chosen).
 *
 * Errors: EADDRINUSE     the port is taken
 *         EADDRNOTAVAIL  no RDMA device has that address, of those that are used: those, eight
 *                       at most, with an active port when the program first needed one
 *         EINVAL        bound already, addr is NULL or addrlen is too short
 *         EAFNOSUPPORT  another family than the socket's
 *         EACCES        a port below 1024 without the right to it (CAP_NET_BIND_SERVICE)
 *         EISCONN       the socket is or was connected, or is connecting or listening
 *         ENODEV        no RDMA device has an active port
 *         EMFILE, ENFILE, ENOMEM  as socket(2); a datagram socket: also as dma_alloc
 *         ENOBUFS       a datagram socket: the associated area has no room for the
 *                       slots as the options are now
 *         EOPNOTSUPP    a datagram socket: the address is that of InfiniBand proper
 *         EBADF, EPERM */
SIO_API int sio_bind(int sock, const struct sockaddr *addr, socklen_t addrlen);

/* Begins to take connections. Up to `backlog` (at least 1, at most 4096) wait
 * for sio_accept; further ones are refused with ECONNREFUSED. A socket that was
 * not bound gets a port.
 * In a channel each comes as one EC_ACCEPT, and as another some time after a
 * sio_accept that failed left it waiting. The connection may have been accepted
 * or given up by the time that the event is taken: then sio_accept has none, so
 * the listener is best non-blocking. EC_HUP: the device of its address has gone; at
 * all addresses it goes on with those that are left.
 *
 * Errors: EINVAL  the associated memory has no room for 2 slots and the 4 of the
 *                 control frames as the options are now
 *         EADDRINUSE  the port is taken
 *         EISCONN  the socket is or was connected, or is connecting
 *         EOPNOTSUPP  a datagram socket
 *         ENODEV, EMFILE, ENFILE, ENOMEM  as sio_bind
 *         EBADF, EPERM */
SIO_API int sio_listen(int sock, int backlog);

/* Takes the first waiting connection: makes its queue pair and receive memory and
 * answers the peer, whose connect then completes. The new socket inherits the
 * listener's options, association, channel, events and cookie; sends may be
 * queued at once. A peer that gave up while it waited is passed over. addr and
 * addrlen as in accept(2), NULL if not wanted.
 * sio_accept4: SOCK_NONBLOCK and SOCK_CLOEXEC for the new socket.
 * sio_accept_ec: the new socket comes into channel `ec` with `cookie`; its events
 * (EC_DELIVER or EPOLLIN) are the listener's, EC_DELIVER if it is in no channel.
 *
 * Errors: EAGAIN        none waits, and the listener is non-blocking
 *         EINVAL        not listening, a flag is unknown, or addr without addrlen; or
 *                       with DMA_SHARED, the memory is shared already by sockets
 *                       with other slots (dma_assoc)
 *         ENODEV        the device of the address that it listened at has gone
 *         EINTR         a signal was caught while waiting
 *         ENOBUFS       the template area has no room for its receive memory;
 *                       the connection goes on waiting. In a channel another
 *                       EC_ACCEPT comes 20 milliseconds later, whether there is
 *                       room by then or not, and twice as late each time that was
 *                       in vain, up to 640; of several that wait so of one,
 *                       and of the next when that was accepted. Memory comes back as
 *                       sockets end, what they received is released, and, with
 *                       DMA_SHARED, others are asked for what they do not use.
 *                       Meanwhile the peer's connect has not ended, until its
 *                       time is over (SIO_CONNECT_TIMEOUT)
 *         EMFILE, ENFILE, ENOMEM, ENOSPC  likewise
 *         EOPNOTSUPP    a datagram socket
 *         EBADF         not a sio socket, or ec is not a channel
 *         EPERM         called in a forked child */
SIO_API int sio_accept(int sock, struct sockaddr *addr, socklen_t *addrlen);
SIO_API int sio_accept4(int sock, struct sockaddr *addr, socklen_t *addrlen, int flags);
SIO_API int sio_accept_ec(int sock, struct sockaddr *addr, socklen_t *addrlen, int flags, ec_t ec, void *cookie);

/* Connects: completes when the peer accepts. Non-blocking: EINPROGRESS, and the
 * end comes as EC_CONNECT or makes the descriptor readable (SO_ERROR, SIO_READY).
 * After a failure the socket is as new: not bound, and may connect again.
 *
 * Errors: ECONNREFUSED     nobody listens, the backlog is full, or the peer refused
 *         EPROTONOSUPPORT  the peer speaks another version of the protocol
 *         EPROTO           the peer's answer is not libsio's, or its socket is of
 *                          another type. (On the soft provider a TCP server that is
 *                          not libsio's is ECONNREFUSED if it closes or answers
 *                          nonsense, ETIMEDOUT if it waits.)
 *         ETIMEDOUT        no answer in time (5 s, SIO_CONNECT_TIMEOUT)
 *         EHOSTUNREACH     no route, or the address does not resolve; of a datagram socket
 *                          also: its device does not lead there
 *         ENETUNREACH, EADDRNOTAVAIL, ENODEV  no RDMA device leads there, of those that
 *                          are used (sio_bind)
 *         ECONNABORTED, ECONNRESET  the connection managers did not agree
 *         EINPROGRESS      non-blocking, and not established yet
 *         EALREADY         an earlier connect has not ended
 *         EISCONN          the socket is or was connected
 *         EADDRINUSE       a datagram socket that was not bound: no port is left
 *         EOPNOTSUPP       the socket listens; a datagram socket: the device or its
 *                          connection manager has no such groups
 *         EPIPE            a datagram socket that has ended
 *         EINTR            a signal was caught; the connect goes on
 *         EINVAL, EAFNOSUPPORT  a bad address; EINVAL also as sio_listen
 *         ENOBUFS          the associated area has no room for the slots as the options are now;
 *                          a datagram socket: too many addresses are being looked up
 *         ENOMEM           no memory, or the memlock limit is too low (dma_alloc)
 *         EMFILE, ENFILE   as socket(2); EMFILE also as dma_alloc
 *         EBADF, EPERM */
SIO_API int sio_connect(int sock, const struct sockaddr *addr, socklen_t addrlen);

/* SHUT_WR: sends no more; the peer gets the end after all that was sent. SHUT_RD:
 * what arrives is dropped. SHUT_RDWR: both.
 *
 * Errors: ENOTCONN  the socket is not connected
 *         EINVAL    how is none of these
 *         EOPNOTSUPP  a datagram socket
 *         EBADF, EPERM */
SIO_API int sio_shutdown(int sock, int how);

/* Ends a socket. What was sent still leaves, for as long as SO_LINGER says (2 s
 * unless set; 0 aborts). In a channel: returns at once and finishes in the
 * background; the EC_SENT that are owed still come, no other event does. Without a
 * channel: blocks for that long at most; then its buffers are the program's again.
 * Until it has finished its areas are in use: dma_free fails with EBUSY meanwhile, and
 * is called again. Received buffers that the program holds stay valid until they are
 * released.
 *
 * Errors: EBADF   not a sio socket
 *         EPERM   called in a forked child */
SIO_API int sio_close(int sock);

/* The local and the peer's address, cut to *addrlen as in getsockname(2).
 *
 * Errors: EINVAL   addr or addrlen is NULL
 *         ENOTCONN sio_getpeername: no peer
 *         EBADF, EPERM */
SIO_API int sio_getsockname(int sock, struct sockaddr *addr, socklen_t *addrlen);
SIO_API int sio_getpeername(int sock, struct sockaddr *addr, socklen_t *addrlen);

/* Options: those of SOL_SIO above, memberships (see Datagrams), and of SOL_SOCKET SO_LINGER, SO_ERROR, SO_TYPE,
 * SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN and SO_REUSEADDR.
 *
 * Errors: ENOPROTOOPT  no such option, or not settable; a membership, on a socket of
 *                      another family or type
 *         EINVAL       a length or value that is out of range, or NULL; no group's address
 *         EISCONN      sio_setsockopt: too late for it
 *         EADDRINUSE   sio_setsockopt: a member of the group already
 *         EADDRNOTAVAIL  sio_setsockopt: no member; or imr_address is not the socket's,
 *                      or no RDMA device's
 *         ENODEV       sio_setsockopt: no such interface, or not the socket's
 *         ENOBUFS      sio_setsockopt: 20 groups; or as sio_bind
 *         EOPNOTSUPP   sio_setsockopt: the device or its connection manager has no such
 *                      groups (IPv6 on RoCE v2)
 *         EHOSTUNREACH, ETIMEDOUT  sio_setsockopt: the group can not be joined, or not in time
 *         EPIPE        sio_setsockopt: a membership, and the socket has ended
 *         EMFILE, ENFILE, ENOMEM  sio_setsockopt: a membership, which binds the socket: as
 *                      sio_bind
 *         EBADF, EPERM */
SIO_API int sio_getsockopt(int sock, int level, int option, void *value, socklen_t *len);
SIO_API int sio_setsockopt(int sock, int level, int option, const void *value, socklen_t len);

/* O_NONBLOCK of a socket, which fcntl(2) can not reach: 1, 0, or -1 to ask.
 * Returns what it was before.
 *
 * Errors: EINVAL  on is none of these
 *         EBADF, EPERM */
SIO_API int sio_nonblock(int sock, int on);

/* On a stream (SOCK_STREAM) the calls below send and receive bytes that have no bounds:
 * - A send takes all of its bytes, up to 1 GiB, or none, and has one outcome as a message
 *   has. One that is longer than a slot of the peer's leaves as the peer has room; until
 *   it has, further ones find no room (EAGAIN, or they block). No bytes are nothing: 0,
 *   and no event.
 * - sio_recv gives as many bytes as are there and lie together, up to `size`, hence often
 *   fewer than were sent at once; never EMSGSIZE. With a `size` of 0, or with MSG_PEEK,
 *   nothing is taken. sio_recvmsg gives a piece for each slot, as many as msg_iov has room
 *   for. EC_RECV brings what one slot holds.
 * - sio_release takes any number of bytes from the front of what is held of a slot. With
 *   SIO_RELEASE such bytes can be sent when they are all that came in that slot.
 * - Receive memory is slots alone: memory beyond them that dma_assoc was given is not
 *   used. A slot can be received into again when all of its bytes were released.
 */

/* Queues one message of `size` bytes (0 to SIO_MAX_MESSAGE); 0 on success.
 *
 * From an associated area `buf` must lie in one block that the program reserved or
 * one message that it received; nothing is copied by contract, and the buffer is
 * the library's until its EC_SENT is taken, or on a socket without a channel until
 * sio_flush or a later completion; with SIO_RELEASE it goes back to its area by itself. From
 * elsewhere it is copied, no event follows, and `buf` is free on return.
 * Without MSG_DONTWAIT or O_NONBLOCK it blocks for room and takes in what arrives
 * meanwhile. A message larger than the peer's slots leaves when the peer has memory
 * for it; those behind it keep their place.
 *
 * Errors: EAGAIN    no room: the peer's slots or the send queue are full, 1024
 *                   EC_SENT are owed, or a connect is under way (which takes a
 *                   few small messages); EC_WRITABLE comes when there is again.
 *                   And without waiting: the buffer is in flight as often as can
 *                   be, a received message 126 times
 *         EMSGSIZE  larger than the peer takes (SIO_MAX_MESSAGE): than its slots and
 *                   the receive memory that it has beyond them (dma_assoc)
 *         EFAULT    in no associated area and larger than SIO_COPY_MAX, or in an
 *                   area but not the program's
 *         EINVAL    an unknown flag, NULL with a size, or SIO_RELEASE on memory
 *                   that is not the whole of a reserved block or received message
 *         ENOMEM    no queue pair could be made for messages larger than the peer's
 *                   slots (or what else the device says to that); of a datagram, no
 *                   means to look up the address
 *         EPIPE     shut down for sending, or the connection has ended
 *         ENOTCONN  not connected
 *         EDESTADDRREQ  a datagram without an address, and no sio_connect
 *         ECONNREFUSED, EHOSTUNREACH  of a datagram: the peer was looked up again, and was
 *                   not found; ETIMEDOUT too
 *         ECONNRESET, ETIMEDOUT, EPROTO, EIO, ENODEV  the connection failed so (once; then
 *                   EPIPE); EIO: by a fault of the device, ENODEV: it was taken away
 *         EINTR     a signal was caught while waiting
 *         EBADF, EPERM
 *
 * flags: MSG_DONTWAIT, SIO_RELEASE, MSG_MORE (the message may wait for the next
 * send, and travel with it; if none comes it leaves all the same), MSG_NOSIGNAL
 * (no signal is ever raised). */
SIO_HOT_API int sio_send(int sock, const void *buf, size_t size, int flags);

/* The same to an address, on a datagram socket that is not connected. On others `to`
 * is NULL and tolen 0.
 *
 * Errors: EISCONN   there is an address, and a connection
 *         EINVAL, EAFNOSUPPORT  a bad address, or port 0
 *         ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT  nobody was found at the address
 *         EOPNOTSUPP  a group, and the device or its connection manager has no such
 *                   ones (IPv6 on RoCE v2)
 *         EADDRNOTAVAIL, EADDRINUSE, ENODEV, ENOBUFS, EMFILE, ENFILE, ENOMEM  the socket was
 *                   not bound yet, and can not be: as sio_bind
 *         and those of sio_send */
SIO_API int sio_sendto(int sock, const void *buf, size_t size, int flags, const struct sockaddr *to, socklen_t tolen);

/* The same from several places: `buf` is a struct msghdr and `size` its size. The
 * pieces in msg_iov become one message. Those in associated areas are lent, as with
 * sio_send, and nothing of them is copied unless the message is small; what is
 * elsewhere is copied, up to SIO_COPY_MAX bytes in all. One EC_SENT tells that all
 * pieces are the program's again; it names the first that was lent. With
 * SIO_RELEASE each is the whole of a block or message, and goes back by itself.
 * msg_name is as `to` of sio_sendto, msg_control is empty.
 *
 * Errors: EMSGSIZE  more than 16 pieces with bytes in them (or more than the device
 *                   gathers), or together larger than the peer takes
 *         EISCONN   there is a msg_name, and a connection
 *         EAFNOSUPPORT  msg_name is of another family
 *         ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, EOPNOTSUPP  as sio_sendto, of msg_name
 *         EADDRNOTAVAIL, EADDRINUSE, ENODEV, ENOBUFS, EMFILE, ENFILE, ENOMEM  as sio_sendto
 *         EINVAL    size is another one, a piece is NULL with a length, or there is
 *                   a msg_control
 *         and those of sio_send */
SIO_API int sio_sendmsg(int sock, const void *buf, size_t size, int flags);

/* Takes the next message: returns its length and puts its address into *buf. It
 * lies in receive memory and is the program's until sio_release; *buf is 8-byte
 * aligned and never NULL, for an empty message either. 0 with *buf NULL: the peer
 * sends no more. One longer than `size` stays queued. While the program makes no calls
 * what comes waits at the peer: small messages when all slots are full, larger ones than
 * a slot as dma_assoc says.
 * flags: MSG_DONTWAIT, MSG_PEEK (the message stays the next one, and the library's:
 * the program may read it until it is taken).
 *
 * Errors: EAGAIN    none is there
 *         EMSGSIZE  the next one is longer than `size`
 *         EINVAL    buf is NULL, an unknown flag, or the socket delivers (EC_DELIVER)
 *         ENOTCONN  not connected; a datagram socket that is not bound
 *         ECONNRESET, ETIMEDOUT, EPROTO, EIO, ENODEV  the connection failed so
 *         EINTR     a signal was caught while waiting
 *         EBADF, EPERM */
SIO_API int sio_recv(int sock, void **buf, size_t size, int flags);

/* The same with the sender's address (of a connection the peer's) in `to`, cut to tolen;
 * `to` may be NULL.
 *
 * Errors: EINVAL    tolen without to
 *         and those of sio_recv */
SIO_API int sio_recvfrom(int sock, const void **buf, size_t size, int flags, struct sockaddr *to, socklen_t tolen);

/* The same for a message in pieces: on entry *buf is the program's struct msghdr and
 * `size` its size. Returns the message's length; msg_iov tells where its pieces lie,
 * msg_iovlen how many there are (none: the peer sends no more; of a message on a
 * connection 1), msg_name, if it is not NULL, who sent it. The program releases
 * each piece.
 *
 * Errors: EINVAL    *buf is NULL, size is another one, or there is no msg_iov
 *         and those of sio_recv, but for EMSGSIZE */
SIO_API int sio_recvmsg(int sock, const void **buf, size_t size, int flags);

/* Waits until all that was sent is acknowledged by the peer. `tout` is the longest
 * wait, relative; NULL waits for ever; 0 asks. It does not wait for the program to
 * take events.
 *
 * Errors: EAGAIN     tout is 0 and something is not acknowledged yet
 *         ETIMEDOUT  the time is over
 *         EINVAL     tout is not a valid time
 *         ENOTCONN   not connected
 *         ECONNRESET, ETIMEDOUT, EPROTO, EIO, ENODEV  the connection failed
 *         EPIPE      the peer ended it in order, and had not taken all
 *         ECONNREFUSED, EHOSTUNREACH, ENOMEM  datagrams that were copied are lost: an
 *                    address was not found, or could not be looked up; ETIMEDOUT too
 *         EINTR      a signal was caught
 *         EBADF, EPERM */
SIO_API int sio_flush(int sock, struct timespec *tout);

/* Where the log goes. `fn` gets one line without newline; it may be called from any
 * thread and must not call the library. NULL: back to stderr. `level` is the most
 * verbose one that is wanted; SIO_LOG (error, warn, info, debug, none) sets it for
 * stderr. */
enum { SIO_LOG_NONE = 0, SIO_LOG_ERROR = 1, SIO_LOG_WARN = 2, SIO_LOG_INFO = 3, SIO_LOG_DEBUG = 4 };
typedef void (*sio_log_fn)(int level, const char *line, void *arg);
SIO_API void sio_set_log(sio_log_fn fn, int level, void *arg);

SIO_END_DECLS

#endif /* SIO_SIO_H */
