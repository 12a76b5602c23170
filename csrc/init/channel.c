/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel to the runtime: commands with descriptors come in, fixed-size reports go out.
 */
#include "init.h"

struct fd_message {
	struct cmsghdr_ header;
	int fds[OCIRT_SLOTS_PER_MESSAGE];
};

int channel_report(struct init *init, uint32_t kind, int error, uint32_t detail)
{
	struct ocirt_report report = { .kind = kind, .op = init->current, .error = error, .detail = detail };
	struct iovec_ iov = { &report, sizeof report };
	struct msghdr_ message = { .iov = &iov, .iov_length = 1 };
	long ret;

	if (init->channel < 0)
		return -ENOTCONN;
	memcpy(report.text, init->text, sizeof report.text);
	do
		ret = SYS(__NR_sendmsg, init->channel, &message, MSG_NOSIGNAL_);
	while (ret == -EINTR);
	return ret < 0 ? (int)ret : 0;
}

/* Receives one command. Its descriptors are appended to the slots. End of file is -EPIPE: the runtime is gone. */
static int channel_receive(struct init *init, struct ocirt_command *ret_command)
{
	struct fd_message control;
	struct iovec_ iov = { ret_command, sizeof *ret_command };
	struct msghdr_ message = {
		.iov = &iov,
		.iov_length = 1,
		.control = &control,
		.control_length = sizeof control,
	};
	uint32_t fd_count = 0;
	long ret;

	if (init->channel < 0)
		return -ENOTCONN;
	do
		ret = SYS(__NR_recvmsg, init->channel, &message, MSG_CMSG_CLOEXEC_);
	while (ret == -EINTR);
	if (ret < 0)
		return (int)ret;
	if (ret == 0)
		return -EPIPE;
	if (message.control_length >= sizeof control.header && control.header.level == SOL_SOCKET_ &&
	    control.header.type == SCM_RIGHTS_)
		fd_count = (uint32_t)((control.header.length - sizeof control.header) / sizeof(int));
	/* A truncated list means that the descriptor limit was reached: go no further with fewer than were sent. */
	if (ret != sizeof *ret_command || (message.flags & MSG_CTRUNC_) || ret_command->fd_count != fd_count)
		return -EMFILE;
	if (init->slot_count + fd_count > OCIRT_SLOTS_PER_MESSAGE)
		return -EPROTO;
	memcpy(init->slot_fds + init->slot_count, control.fds, fd_count * sizeof(int));
	init->slot_count += fd_count;
	return 0;
}

int channel_receive_plan(struct init *init, int *ret_plan_fd)
{
	struct ocirt_command command;
	int ret = channel_receive(init, &command);

	if (ret < 0)
		return ret;
	if (command.kind != OCIRT_COMMAND_PLAN || init->slot_count != 1)
		return -EPROTO;
	*ret_plan_fd = init->slot_fds[0];
	init->slot_count = 0;
	return 0;
}

int channel_wait(struct init *init, uint32_t kind)
{
	struct ocirt_command command;
	int ret = channel_receive(init, &command);

	if (ret < 0)
		return ret;
	return command.kind == kind ? 0 : -EPROTO;
}

/* Gives the descriptor of a slot, which must be the next one in order, and waits for it where it has not come yet. */
int channel_slot(struct init *init, int32_t slot, int *ret_fd)
{
	while (init->slot_count == 0) {
		int ret = channel_wait(init, OCIRT_COMMAND_SLOTS);
		if (ret < 0)
			return ret;
	}
	if (slot < 0 || (uint32_t)slot != init->slot_first)
		return -EPROTO;
	*ret_fd = init->slot_fds[0];
	init->slot_first++;
	init->slot_count--;
	for (uint32_t i = 0; i < init->slot_count; i++)
		init->slot_fds[i] = init->slot_fds[i + 1];
	return 0;
}

/* Says which number the seccomp listener has and waits until the agent has a copy. This happens under the filter, whose agent can
 * answer nothing before that: write(2) must not be notified, read(2) may be, and neither sendmsg(2) nor recvmsg(2) is used, which
 * agents are interested in. */
int channel_offer_listener(struct init *init, int listener_fd)
{
	struct ocirt_report report = { .kind = OCIRT_REPORT_LISTENER,
				       .op = init->current,
				       .detail = (uint32_t)listener_fd };
	struct ocirt_command command;
	long ret;

	do
		ret = sys_write(init->channel, &report, sizeof report);
	while (ret == -EINTR);
	if (ret < 0)
		return (int)ret;
	do
		ret = sys_read(init->channel, &command, sizeof command);
	while (ret == -EINTR);
	if (ret < 0)
		return (int)ret;
	if (ret == 0)
		return -EPIPE;
	return ret == sizeof command && command.kind == OCIRT_COMMAND_CONTINUE ? 0 : -EPROTO;
}

/* Sends a descriptor with the bytes that runc sends beside a pty master; receivers want at least one byte. */
int channel_send_fd(int socket_fd, int fd)
{
	static const char name[] = "/dev/ptmx";
	struct {
		struct cmsghdr_ header;
		int fd;
		int padding;
	} control = { { sizeof(struct cmsghdr_) + sizeof(int), SOL_SOCKET_, SCM_RIGHTS_ }, fd, 0 };
	struct iovec_ iov = { (void *)(uintptr_t)name, sizeof name - 1 };
	struct msghdr_ message = {
		.iov = &iov,
		.iov_length = 1,
		.control = &control,
		.control_length = sizeof control,
	};
	long ret = SYS(__NR_sendmsg, socket_fd, &message, MSG_NOSIGNAL_);

	return ret < 0 ? (int)ret : 0;
}
