/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls without a libc: each returns what the kernel returns, a negative errno on failure.
 *
 * There is no libc in ocirt-init because nothing in it could be wanted: no locale, no name service, no dynamic loader, no
 * environment, no heap. What remains is small enough to be copied into every container's start (about 40 KB) and read.
 */
#ifndef OCIRT_SYS_H
#define OCIRT_SYS_H

#include <stddef.h>
#include <stdint.h>

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/resource.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/wait.h>

/* The kernel enters here with the stack pointer on argc, which *main* gets; the ABI wants it aligned before a call.
 * *main* does not return. */
#if defined(__x86_64__)
#define ENTRY_CODE "xor %ebp,%ebp\n\tmov %rsp,%rdi\n\tand $-16,%rsp\n\tcall "
#elif defined(__aarch64__)
#define ENTRY_CODE "mov x29,#0\n\tmov x30,#0\n\tmov x0,sp\n\tand sp,x0,#-16\n\tbl "
#endif
#define PROGRAM_ENTRY(main) __asm__(".globl _start\n_start:\n\t" ENTRY_CODE main "\n");

#if defined(__x86_64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
	return x0;
}
#else
#error "ocirt-init knows the system call convention of x86_64 and aarch64"
#endif

#define SYS_N(n, a, b, c, d, e, f, ...) sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS(...) SYS_N(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

#define S_ISDIR_(mode) (((mode)&S_IFMT) == S_IFDIR)
#define S_ISLNK_(mode) (((mode)&S_IFMT) == S_IFLNK)
#define S_ISCHR_(mode) (((mode)&S_IFMT) == S_IFCHR)
#define S_ISREG_(mode) (((mode)&S_IFMT) == S_IFREG)

struct iovec_ {
	void *base;
	size_t length;
};

struct msghdr_ {
	void *name;
	int name_length;
	struct iovec_ *iov;
	size_t iov_length;
	void *control;
	size_t control_length;
	unsigned int flags;
};

struct cmsghdr_ {
	size_t length;
	int level;
	int type;
};

enum {
	SOL_SOCKET_ = 1,
	SCM_RIGHTS_ = 1,
	MSG_NOSIGNAL_ = 0x4000,
	MSG_CMSG_CLOEXEC_ = 0x40000000,
	MSG_CTRUNC_ = 0x8,
};

static inline long sys_close(int fd)
{
	return SYS(__NR_close, fd);
}
static inline long sys_read(int fd, void *buffer, size_t size)
{
	return SYS(__NR_read, fd, buffer, size);
}
static inline long sys_write(int fd, const void *buffer, size_t size)
{
	return SYS(__NR_write, fd, buffer, size);
}
static inline long sys_openat(int dir_fd, const char *path, int flags, int mode)
{
	return SYS(__NR_openat, dir_fd, path, flags, mode);
}
static inline long sys_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
	return SYS(__NR_openat2, dir_fd, path, &how, sizeof how);
}
static inline long sys_fstat(int fd, struct stat *ret_stat)
{
	return SYS(__NR_newfstatat, fd, "", ret_stat, AT_EMPTY_PATH);
}
static inline long sys_fstatfs(int fd, struct statfs *ret_statfs)
{
	return SYS(__NR_fstatfs, fd, ret_statfs);
}
static inline long sys_open_tree(int dir_fd, const char *path, unsigned flags)
{
	return SYS(__NR_open_tree, dir_fd, path, flags);
}
static inline long sys_move_mount(int from_fd, int to_fd)
{
	return SYS(__NR_move_mount, from_fd, "", to_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
static inline long sys_mount(const char *source, const char *target, const char *type, unsigned long flags,
			     const char *data)
{
	return SYS(__NR_mount, source, target, type, flags, data);
}
static inline long sys_mount_setattr(int fd, unsigned at_flags, struct mount_attr *attr)
{
	return SYS(__NR_mount_setattr, fd, "", AT_EMPTY_PATH | at_flags, attr, sizeof *attr);
}
static inline long sys_dup3(int fd, int new_fd, int flags)
{
	return fd == new_fd ? fd : SYS(__NR_dup3, fd, new_fd, flags);
}
static inline long sys_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	return SYS(__NR_prctl, option, a, b, c, d);
}
static inline long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return SYS(__NR_close_range, first, last, flags);
}
__attribute__((noreturn)) static inline void sys_exit(int status)
{
	(void)SYS(__NR_exit_group, status);
	/* A seccomp filter refuses even that. */
	__builtin_trap();
}

/* Closes the descriptor when the variable goes out of scope. */
static inline void close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)sys_close(*fd);
}
#define cleanup_close __attribute__((cleanup(close_fd)))

/* Gives the descriptor away: what the variable held is returned and it holds none. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);
const char *strchr(const char *text, int wanted);

#endif
