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
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
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

static int copy_all(int to_fd, int from_fd)
{
	ssize_t copied;

	do
		copied = sendfile(to_fd, from_fd, NULL, 1 << 20);
	while (copied > 0 || (copied < 0 && errno == EINTR));
	return copied < 0 ? -errno : 0;
}

static int create_memfd(const char *name, unsigned kind)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | kind);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	return fd < 0 ? -errno : fd;
}

/* Returns *fd* sealed, or closes it. */
static int seal(int fd, int error, int kind_of_seal)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	if (error == 0 && fcntl(fd, F_ADD_SEALS, seals | kind_of_seal) < 0 &&
	    (errno != EINVAL || fcntl(fd, F_ADD_SEALS, seals) < 0))
		error = -errno;
	if (error < 0) {
		close(fd);
		return error;
	}
	return fd;
}

int ocirt_sealed_memfd(const char *name, const char *bytes, uint64_t size)
{
	int fd = create_memfd(name, MFD_NOEXEC_SEAL);

	return fd < 0 ? fd : seal(fd, write_all(fd, bytes, size), 0);
}

int ocirt_sealed_program(const char *name, int from_fd)
{
	int fd = create_memfd(name, MFD_EXEC);

	return fd < 0 ? fd : seal(fd, copy_all(fd, from_fd), F_SEAL_EXEC);
}

int ocirt_channel_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
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
	if (ret < 0)
		return -errno;
	return (size_t)ret == size ? 0 : -EAGAIN;
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
	const struct timeval patience = { .tv_sec = 60 };
	struct sockaddr_un address;
	int ret = fill_address(&address, path);
	int fd;

	if (ret < 0)
		return ret;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
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

int ocirt_pidfd_getfd(int pidfd, int target_fd)
{
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, target_fd, 0);

	return fd < 0 ? -errno : fd;
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
