/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE   1U
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

enum { SPAWN_STACK_SIZE = 32 * 1024 };

static int write_all(int fd, const char *bytes, uint64_t size)
{
	while (size) {
		ssize_t written = write(fd, bytes, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		size -= (uint64_t)written;
	}
	return 0;
}

int ocirt_sealed_memfd(const char *name, const char *bytes, uint64_t size, int executable)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | (executable ? MFD_EXEC : MFD_NOEXEC_SEAL));
	int ret;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	ret = write_all(fd, bytes, size);
	if (ret == 0 && fcntl(fd, F_ADD_SEALS, executable ? seals | F_SEAL_EXEC : seals) < 0 &&
	    (errno != EINVAL || fcntl(fd, F_ADD_SEALS, seals) < 0))
		ret = -errno;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

int ocirt_channel_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

/* A stack for a child that shares the memory of the runtime, whose signals are blocked meanwhile: a handler of the runtime must
 * not run in the child, where it would work on the runtime's memory. Returns a pid or a negative errno; the stack is the
 * child's until it has ended. */
static pid_t clone_sharing_memory(int (*child)(void *), void *argument, int flags, int *ret_pidfd, void **ret_stack)
{
	sigset_t all, before;
	pid_t pid;
	int error;
	void *stack = mmap(NULL, SPAWN_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = clone(child, (char *)stack + SPAWN_STACK_SIZE, CLONE_VM | flags, argument, ret_pidfd);
	error = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		munmap(stack, SPAWN_STACK_SIZE);
		return -error;
	}
	*ret_stack = stack;
	return pid;
}

struct spawn {
	int exe_fd;
	int channel_fd;
	uint32_t preserve_fds;
	int error;
};

/*
 * Runs in the memory of the runtime, which waits (CLONE_VFORK), with an own stack, descriptor table and signal dispositions.
 * Nothing but system calls: other threads of the runtime go on and may hold any lock. All signals are blocked.
 */
static int spawn_child(void *argument)
{
	struct spawn *spawn = argument;
	struct sigaction action = { .sa_handler = SIG_DFL };
	char number[16], *digit = number + sizeof number - 1;
	char *argv[] = { (char[]){ "ocirt-init" }, NULL, NULL }, *envp[] = { NULL };
	sigset_t none;
	int fd;

	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	/* A program may be started with stdio closed; a descriptor of ours must not take such a number. */
	for (fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			goto failed;
	fd = fcntl(spawn->channel_fd, F_DUPFD, 3 + (int)spawn->preserve_fds);
	if (fd < 0)
		goto failed;
	*digit = '\0';
	do
		*--digit = (char)('0' + fd % 10);
	while (fd /= 10);
	argv[1] = digit;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execveat(spawn->exe_fd, "", argv, envp, AT_EMPTY_PATH);
failed:
	spawn->error = errno;
	_exit(127);
}

int ocirt_spawn(int exe_fd, int channel_fd, uint32_t preserve_fds, int *ret_pidfd)
{
	struct spawn spawn = { exe_fd, channel_fd, preserve_fds, 0 };
	void *stack = NULL;
	pid_t pid = clone_sharing_memory(spawn_child, &spawn, CLONE_VFORK | CLONE_PIDFD | SIGCHLD, ret_pidfd, &stack);

	if (pid < 0)
		return pid;
	munmap(stack, SPAWN_STACK_SIZE);
	if (spawn.error) {
		(void)waitpid(pid, NULL, 0);
		close(*ret_pidfd);
		return -spawn.error;
	}
	return pid;
}

static int send_message(int fd, void *bytes, size_t size, const int *fds, uint32_t fd_count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(OCIRT_SLOTS_PER_MESSAGE * sizeof(int))];
	} control;
	struct iovec iov = { bytes, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret;

	if (fd_count > OCIRT_SLOTS_PER_MESSAGE)
		return -E2BIG;
	if (fd_count) {
		memset(&control, 0, sizeof control);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	do
		ret = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int ocirt_send(int channel_fd, uint32_t kind, const int *fds, uint32_t fd_count)
{
	struct ocirt_command command = { kind, fd_count };

	return send_message(channel_fd, &command, sizeof command, fds, fd_count);
}

int ocirt_receive(int channel_fd, int timeout_ms, struct ocirt_report *ret_report)
{
	struct pollfd event = { .fd = channel_fd, .events = POLLIN };
	ssize_t size;
	int ret;

	if (timeout_ms >= 0) {
		ret = poll(&event, 1, timeout_ms);
		if (ret < 0)
			return -errno;
		if (ret == 0)
			return -ETIMEDOUT;
	}
	/* An init that ends with commands unread leaves ECONNRESET once, in front of its last words. */
	do
		size = recv(channel_fd, ret_report, sizeof *ret_report, 0);
	while (size < 0 && errno == ECONNRESET);
	if (size < 0)
		return -errno;
	if (size == 0)
		return 0;
	if (size != sizeof *ret_report)
		return -EBADMSG;
	ret_report->text[sizeof ret_report->text - 1] = '\0';
	return 1;
}

int ocirt_hang_up(int channel_fd)
{
	return shutdown(channel_fd, SHUT_WR) < 0 ? -errno : 0;
}

int ocirt_open_tree(int dir_fd, const char *path, uint32_t flags)
{
	int fd = (int)syscall(SYS_open_tree, dir_fd, path, flags);

	return fd < 0 ? -errno : fd;
}

int ocirt_isolate_directory(int dir_fd)
{
	/* struct mount_attr of <linux/mount.h>, which cannot be included beside the C library's <sys/mount.h>. */
	struct {
		uint64_t set, clear, propagation, userns_fd;
	} attr = { .set = 1 /* MOUNT_ATTR_RDONLY */ };
	int fd = ocirt_open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (fd < 0)
		return fd;
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

struct tree {
	int pidfd;
	const char *path;
	uint32_t flags;
	int result;
};

/* Of its own is the file system context, which setns(2) changes; the descriptors are the runtime's, so the new one is, too. */
static int open_tree_child(void *argument)
{
	struct tree *tree = argument;

	if (setns(tree->pidfd, CLONE_NEWNS) == 0) {
		tree->result = (int)syscall(SYS_open_tree, AT_FDCWD, tree->path, tree->flags);
		if (tree->result >= 0)
			_exit(0);
	}
	tree->result = -errno;
	_exit(1);
}

int ocirt_open_tree_of(int pidfd, const char *path, uint32_t flags)
{
	struct tree tree = { pidfd, path, flags, 0 };
	void *stack = NULL;
	/* Without an exit signal: a program that hosts the runtime hears of no child that it does not know. */
	pid_t pid = clone_sharing_memory(open_tree_child, &tree, CLONE_VFORK | CLONE_FILES, NULL, &stack);

	if (pid < 0)
		return pid;
	(void)waitpid(pid, NULL, __WALL);
	munmap(stack, SPAWN_STACK_SIZE);
	return tree.result;
}

int ocirt_fs_open(const char *type)
{
	int fd = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int ocirt_fs_set(int fs_fd, const char *key, const char *value)
{
	unsigned command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	return syscall(SYS_fsconfig, fs_fd, command, key, value, 0) < 0 ? -errno : 0;
}

int ocirt_fs_mount(int fs_fd, uint64_t attributes)
{
	int fd;

	if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, (unsigned)attributes);
	return fd < 0 ? -errno : fd;
}

/* Shares errno with the runtime, which goes on: no call here can fail. pause(2) cannot return, since all signals are blocked but
 * the one that ends this process. */
__attribute__((noreturn)) static int stay(void *argument)
{
	(void)argument;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		(void)pause();
}

static int write_map(pid_t pid, const char *file, const char *map)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	return ocirt_write_file(AT_FDCWD, path, map, strlen(map));
}

static int open_user_namespace(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int ocirt_user_namespace(const char *uid_map, const char *gid_map)
{
	void *stack = NULL;
	/* The maps of a namespace can be written only through a process that is in it (user_namespaces(7)). */
	pid_t pid = clone_sharing_memory(stay, NULL, CLONE_NEWUSER, NULL, &stack);
	int ret;

	if (pid < 0)
		return pid;
	ret = write_map(pid, "uid_map", uid_map);
	if (ret == 0)
		ret = write_map(pid, "gid_map", gid_map);
	if (ret == 0)
		ret = open_user_namespace(pid);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, __WALL);
	munmap(stack, SPAWN_STACK_SIZE);
	return ret;
}

int ocirt_set_id_map(int mount_fd, int user_namespace_fd, int recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace_fd };
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	return syscall(SYS_mount_setattr, mount_fd, "", flags, &attr, sizeof attr) < 0 ? -errno : 0;
}

static int fill_address(struct sockaddr_un *ret_address, const char *path)
{
	memset(ret_address, 0, sizeof *ret_address);
	ret_address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof ret_address->sun_path)
		return -ENAMETOOLONG;
	strcpy(ret_address->sun_path, path);
	return 0;
}

static int open_socket(const char *path, int type, int do_listen)
{
	struct sockaddr_un address;
	int ret = fill_address(&address, path);
	int fd;

	if (ret < 0)
		return ret;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (do_listen)
		ret = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0 ? -errno : 0;
	else
		ret = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

int ocirt_listen(const char *path)
{
	return open_socket(path, SOCK_SEQPACKET, 1);
}

int ocirt_connect(const char *path)
{
	return open_socket(path, SOCK_SEQPACKET, 0);
}

int ocirt_connect_stream(const char *path)
{
	return open_socket(path, SOCK_STREAM, 0);
}

int ocirt_send_fd(int socket_fd, int fd, const char *text)
{
	return send_message(socket_fd, (void *)(uintptr_t)text, strlen(text), &fd, 1);
}

int ocirt_receive_fd(int socket_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char bytes[64];
	struct iovec iov = { bytes, sizeof bytes };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control,
	};
	struct cmsghdr *header;
	ssize_t ret;
	int fd;

	do
		ret = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

int ocirt_setns(int fd, uint64_t namespaces)
{
	return setns(fd, (int)namespaces) < 0 ? -errno : 0;
}

int ocirt_unmount(const char *path)
{
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

int ocirt_set_subreaper(int on)
{
	return prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) < 0 ? -errno : 0;
}

int ocirt_is_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

int ocirt_lock(int fd)
{
	int ret;

	do
		ret = flock(fd, LOCK_EX);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int ocirt_is_locked(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return 0;
}

int ocirt_pidfd_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int ocirt_wait_readable(int fd, int timeout_ms)
{
	struct pollfd event = { .fd = fd, .events = POLLIN };
	int ret = poll(&event, 1, timeout_ms);

	return ret < 0 ? -errno : ret;
}

int ocirt_write_file(int dir_fd, const char *path, const char *text, uint64_t size)
{
	int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
	ssize_t written;
	int ret = 0;

	if (fd < 0)
		return -errno;
	/* One write: the files of procfs and cgroupfs take a value whole or not at all. */
	written = write(fd, text, size);
	if (written < 0)
		ret = -errno;
	else if ((uint64_t)written != size)
		ret = -EIO;
	close(fd);
	return ret;
}
