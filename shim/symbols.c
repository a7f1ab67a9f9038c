// SPDX-License-Identifier: BSD-2-Clause
/*
 * symbols.c - the whole surface of libacktrail.so: one line a symbol, each handed
 * over to the room that knows what to do with it.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim.h"

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

/* A function of libc: the room gets the same arguments. */
#define LIBC(ret, name, room, params, args) EXPORT ret name params { return room args; }
/* A function of a library that may be there in several copies: the room also gets who called. */
#define OWNED(ret, name, room, params, ...) EXPORT ret name params { return room(CALLER, __VA_ARGS__); }

/* execl() and friends: a list of arguments that ends with NULL, and what follows it. */
#define VARIADIC(name, room)						\
	EXPORT int name(const char *path, const char *arg, ...)		\
	{								\
		va_list ap;						\
		int r;							\
									\
		va_start(ap, arg);					\
		r = room(path, arg, ap);				\
		va_end(ap);						\
		return r;						\
	}

/* __recv_chk and friends are what _FORTIFY_SOURCE makes of recv() and read(). */
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from,
		       socklen_t *from_len);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
int __poll_chk(struct pollfd *fds, nfds_t nr, int timeout_ms, size_t room);
int SSL_write(void *ssl, const void *buf, int len);
int SSL_read(void *ssl, void *buf, int len);
int SSL_write_ex(void *ssl, const void *buf, size_t len, size_t *written);
int SSL_read_ex(void *ssl, void *buf, size_t len, size_t *got);
rd_kafka_resp_err_t conf_init(rd_kafka_conf_t *conf, void **opaque, char *errstr, size_t size);

/* The check that the fortified call makes stays with us: an overflow must still abort. */
#define FORTIFIED(fits, call) ((fits) ? (call) : (__builtin_trap(), -1))

LIBC(int, connect, sock_connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
LIBC(int, execve, exec_execve, (const char *path, char *const argv[], char *const env[]), (path, argv, env))
LIBC(int, execv, exec_execv, (const char *path, char *const argv[]), (path, argv))
LIBC(int, execvp, exec_execvp, (const char *file, char *const argv[]), (file, argv))
LIBC(int, execvpe, exec_execvpe, (const char *file, char *const argv[], char *const env[]), (file, argv, env))
LIBC(int, fexecve, exec_fexecve, (int fd, char *const argv[], char *const env[]), (fd, argv, env))
VARIADIC(execl, exec_execl)
VARIADIC(execlp, exec_execlp)
VARIADIC(execle, exec_execle)
LIBC(int, close, sock_close, (int fd), (fd))
LIBC(ssize_t, sendmsg, sock_sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
LIBC(ssize_t, send, sock_send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags))
LIBC(ssize_t, sendto, sock_sendto, (int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t to_len), (fd, buf, len, flags, to, to_len))
LIBC(ssize_t, write, sock_write, (int fd, const void *buf, size_t len), (fd, buf, len))
LIBC(ssize_t, writev, sock_writev, (int fd, const struct iovec *iov, int nr), (fd, iov, nr))
LIBC(ssize_t, recvmsg, sock_recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
LIBC(ssize_t, recv, sock_recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags))
LIBC(ssize_t, recvfrom, sock_recvfrom, (int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len), (fd, buf, len, flags, from, from_len))
LIBC(ssize_t, read, sock_read, (int fd, void *buf, size_t len), (fd, buf, len))
LIBC(ssize_t, readv, sock_readv, (int fd, const struct iovec *iov, int nr), (fd, iov, nr))
LIBC(int, poll, sock_poll, (struct pollfd *fds, nfds_t nr, int timeout_ms), (fds, nr, timeout_ms))
LIBC(ssize_t, __recv_chk, FORTIFIED, (int fd, void *buf, size_t len, size_t room, int flags), (len <= room, sock_recv(fd, buf, len, flags)))
LIBC(ssize_t, __recvfrom_chk, FORTIFIED, (int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *from, socklen_t *from_len), (len <= room, sock_recvfrom(fd, buf, len, flags, from, from_len)))
LIBC(int, __poll_chk, FORTIFIED, (struct pollfd *fds, nfds_t nr, int timeout_ms, size_t room), (nr <= room / sizeof(*fds), sock_poll(fds, nr, timeout_ms)))
LIBC(ssize_t, __read_chk, FORTIFIED, (int fd, void *buf, size_t len, size_t room), (len <= room, sock_read(fd, buf, len)))

OWNED(int, SSL_write, tls_write, (void *ssl, const void *buf, int len), ssl, buf, len)
OWNED(int, SSL_read, tls_read, (void *ssl, void *buf, int len), ssl, buf, len)
OWNED(int, SSL_write_ex, tls_write_ex, (void *ssl, const void *buf, size_t len, size_t *written), ssl, buf, len, written)
OWNED(int, SSL_read_ex, tls_read_ex, (void *ssl, void *buf, size_t len, size_t *got), ssl, buf, len, got)

OWNED(rd_kafka_t *, rd_kafka_new, lib_new, (rd_kafka_type_t type, rd_kafka_conf_t *conf, char *errstr, size_t size), type, conf, errstr, size)
OWNED(rd_kafka_conf_t *, rd_kafka_conf_dup, lib_conf_dup, (const rd_kafka_conf_t *conf), conf)
OWNED(rd_kafka_conf_t *, rd_kafka_conf_dup_filter, lib_conf_dup_filter, (const rd_kafka_conf_t *conf, size_t nr, const char **without), conf, nr, without)
OWNED(void, rd_kafka_conf_destroy, lib_conf_destroy, (rd_kafka_conf_t *conf), conf)
OWNED(void, rd_kafka_destroy, lib_destroy, (rd_kafka_t *rk), rk)
OWNED(void, rd_kafka_destroy_flags, lib_destroy_flags, (rd_kafka_t *rk, int flags), rk, flags)
OWNED(int, rd_kafka_poll, calls_poll, (rd_kafka_t *rk, int timeout_ms), rk, timeout_ms)
OWNED(rd_kafka_resp_err_t, rd_kafka_flush, calls_flush, (rd_kafka_t *rk, int timeout_ms), rk, timeout_ms)
OWNED(int, rd_kafka_queue_poll_callback, calls_queue_poll, (rd_kafka_queue_t *queue, int timeout_ms), queue, timeout_ms)
OWNED(const rd_kafka_message_t *, rd_kafka_event_message_next, calls_event_next, (rd_kafka_event_t *event), event)
OWNED(size_t, rd_kafka_event_message_array, calls_event_array, (rd_kafka_event_t *event, const rd_kafka_message_t **messages, size_t nr), event, messages, nr)
OWNED(void, rd_kafka_event_destroy, calls_event_destroy, (rd_kafka_event_t *event), event)
OWNED(rd_kafka_topic_t *, rd_kafka_topic_new, calls_topic_new, (rd_kafka_t *rk, const char *name, rd_kafka_topic_conf_t *conf), rk, name, conf)
OWNED(int, rd_kafka_produce, produce_produce, (rd_kafka_topic_t *rkt, int32_t partition, int flags, void *payload, size_t len, const void *key, size_t keylen, void *opaque), rkt, partition, flags, payload, len, key, keylen, opaque)
OWNED(int, rd_kafka_produce_batch, produce_batch, (rd_kafka_topic_t *rkt, int32_t partition, int flags, rd_kafka_message_t *messages, int nr), rkt, partition, flags, messages, nr)
OWNED(rd_kafka_error_t *, rd_kafka_produceva, produce_va, (rd_kafka_t *rk, const rd_kafka_vu_t *vus, size_t nr), rk, vus, nr)
/* As a librdkafka plugin (plugin.library.paths), where no preload is allowed. */
OWNED(rd_kafka_resp_err_t, conf_init, lib_plugin_init, (rd_kafka_conf_t *conf, void **opaque __attribute__((unused)), char *errstr __attribute__((unused)), size_t size __attribute__((unused))), conf)

/*
 * Stubs.  rd_kafka_producev(rk, …) takes any number of arguments: keep all of them where
 * they are, ask where to go, and jump there.
 */
#if defined(__x86_64__)
__asm__(".text\n"
	".globl rd_kafka_producev\n"
	".type rd_kafka_producev, @function\n"
	"rd_kafka_producev:\n"
	"	endbr64\n"
	"	push %rdi\n	push %rsi\n	push %rdx\n	push %rcx\n"
	"	push %r8\n	push %r9\n	push %rax\n"
	"	mov 56(%rsp), %rsi\n"		/* the return address */
	"	call acktrail_producev_target\n"
	"	mov %rax, %r11\n"
	"	pop %rax\n	pop %r9\n	pop %r8\n"
	"	pop %rcx\n	pop %rdx\n	pop %rsi\n	pop %rdi\n"
	"	jmp *%r11\n"
	".size rd_kafka_producev, . - rd_kafka_producev\n");
/* dlsym(RTLD_NEXT, …) means "next after who called": the caller must stay on the stack. */
__asm__(".text\n"
	".globl dlsym\n"
	".type dlsym, @function\n"
	"dlsym:\n"
	"	endbr64\n"
	"	push %rdi\n	push %rsi\n	sub $8, %rsp\n"
	"	call acktrail_dlsym\n"
	"	add $8, %rsp\n"
	"	test %rax, %rax\n"
	"	jne 1f\n"
	"	sub $8, %rsp\n"
	"	call acktrail_real_dlsym\n"
	"	add $8, %rsp\n"
	"	pop %rsi\n	pop %rdi\n"
	"	jmp *%rax\n"
	"1:	add $16, %rsp\n"
	"	ret\n"
	".size dlsym, . - dlsym\n");
#elif defined(__aarch64__)
__asm__(".text\n"
	".globl rd_kafka_producev\n"
	".type rd_kafka_producev, @function\n"
	"rd_kafka_producev:\n"
	"	stp x29, x30, [sp, #-80]!\n"
	"	stp x0, x1, [sp, #16]\n	stp x2, x3, [sp, #32]\n"
	"	stp x4, x5, [sp, #48]\n	stp x6, x7, [sp, #64]\n"
	"	mov x1, x30\n"
	"	bl acktrail_producev_target\n"
	"	mov x16, x0\n"
	"	ldp x0, x1, [sp, #16]\n	ldp x2, x3, [sp, #32]\n"
	"	ldp x4, x5, [sp, #48]\n	ldp x6, x7, [sp, #64]\n"
	"	ldp x29, x30, [sp], #80\n"
	"	br x16\n"
	".size rd_kafka_producev, . - rd_kafka_producev\n");
__asm__(".text\n"
	".globl dlsym\n"
	".type dlsym, @function\n"
	"dlsym:\n"
	"	stp x29, x30, [sp, #-32]!\n"
	"	stp x0, x1, [sp, #16]\n"
	"	bl acktrail_dlsym\n"
	"	cbnz x0, 1f\n"
	"	bl acktrail_real_dlsym\n"
	"	mov x16, x0\n"
	"	ldp x0, x1, [sp, #16]\n"
	"	ldp x29, x30, [sp], #32\n"
	"	br x16\n"
	"1:	ldp x29, x30, [sp], #32\n"
	"	ret\n"
	".size dlsym, . - dlsym\n");
#else
#error "rd_kafka_producev and dlsym: write the stubs for this architecture"
#endif
