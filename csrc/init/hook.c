/* SPDX-License-Identifier: Apache-2.0
 *
 * Hooks that run in the container's namespaces: createContainer (before pivot_root, so that the path is the runtime's) and
 * startContainer (the path is the container's, and so are credentials and filter). config.md#posix-platform-hooks.
 */
#include "init.h"

#define ARGUMENT_LIMIT 4096

/* Turns NUL-terminated strings that lie one after the other into an argv. */
static int split(const char *strings, const char *end, uint64_t count, const char **ret_list)
{
	for (uint64_t i = 0; i < count; i++) {
		if (strings >= end)
			return -EBADMSG;
		ret_list[i] = strings;
		strings += strlen(strings) + 1;
	}
	ret_list[count] = NULL;
	return strings <= end ? (int)count : -EBADMSG;
}

/* What a hook may see: stdio and nothing else. Returns only on failure, by writing errno into error_fd. */
__attribute__((noreturn)) static void execute(int directory_fd, const char *path, const char **argv, const char **envp,
					      const int *stdio, int error_fd)
{
	uint64_t no_signals = 0;
	int ret = directory_fd < 0 ? 0 : (int)SYS(__NR_fchdir, directory_fd);

	for (int fd = 0; fd < 3 && ret >= 0; fd++)
		ret = (int)sys_dup3(stdio[fd], fd, 0);
	if (ret >= 0)
		ret = (int)sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (ret >= 0)
		ret = (int)SYS(__NR_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof no_signals);
	if (ret >= 0)
		ret = (int)SYS(__NR_execve, path, argv, envp);
	(void)sys_write(error_fd, &ret, sizeof ret);
	sys_exit(127);
}

static int wait_for(struct init *init, int pid_fd, uint64_t timeout_seconds)
{
	struct pollfd event = { .fd = pid_fd, .events = POLLIN };
	struct {
		int64_t seconds, nanoseconds;
	} timeout = { (int64_t)timeout_seconds, 0 };
	siginfo_t info;
	int ret;

	memset(&info, 0, sizeof info);
	/* ppoll writes the time that is left back, so an interrupted wait goes on with it. */
	do
		ret = (int)SYS(__NR_ppoll, &event, 1, timeout_seconds ? &timeout : NULL, NULL, 8);
	while (ret == -EINTR);
	if (ret < 0)
		return ret;
	if (ret == 0) {
		(void)SYS(__NR_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0);
		init->detail = OCIRT_DETAIL_TIMEOUT;
	}
	ret = (int)SYS(__NR_waitid, P_PIDFD, pid_fd, &info, WEXITED, NULL);
	if (ret < 0)
		return ret;
	if (init->detail == OCIRT_DETAIL_TIMEOUT)
		return -ETIME;
	if (info.si_code == CLD_EXITED && info.si_status == 0)
		return 0;
	init->detail = OCIRT_DETAIL_STATUS |
		       (uint32_t)(info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f);
	return -ECANCELED;
}

int op_hook(struct init *init, const struct ocirt_op *op)
{
	static const char *arguments[ARGUMENT_LIMIT];
	const char *strings = op_data(init, op), *end = strings + op->data_size, **envp;
	cleanup_close int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1, pid_fd = -1, read_fd = -1, write_fd = -1;
	int ret, pipe_fds[2], error = 0;
	long pid;

	if (op->a > ARGUMENT_LIMIT || op->b > ARGUMENT_LIMIT || op->a + op->b + 3 > ARGUMENT_LIMIT ||
	    (op->data_size && end[-1]))
		return -E2BIG;
	ret = channel_slot(init, op->slot, &stdin_fd);
	if (ret < 0)
		return ret;
	ret = channel_slot(init, op->slot + 1, &stdout_fd);
	if (ret < 0)
		return ret;
	ret = channel_slot(init, op->slot + 2, &stderr_fd);
	if (ret < 0)
		return ret;
	ret = split(strings, end, op->a, arguments);
	if (ret < 0)
		return ret;
	for (uint64_t i = 0; i < op->a; i++)
		strings += strlen(strings) + 1;
	envp = arguments + op->a + 1;
	ret = split(strings, end, op->b, envp);
	if (ret < 0)
		return ret;
	if (op->flags & OCIRT_WITH_HOME && init->home[0]) {
		envp[op->b] = init->home;
		envp[op->b + 1] = NULL;
	}
	ret = (int)SYS(__NR_pipe2, pipe_fds, O_CLOEXEC);
	if (ret < 0)
		return ret;
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	/* Not clone3(2): a startContainer hook runs under the container's filter, and profiles refuse what they cannot look into. */
	pid = SYS(__NR_clone, CLONE_PIDFD | SIGCHLD, NULL, &pid_fd, NULL, NULL);
	if (pid < 0)
		return (int)pid;
	/* createContainer hooks begin in the container's root, as with runc; those of start where the program will. */
	if (pid == 0)
		execute(init->root_fd, op_path(init, op), arguments, envp, (int[]){ stdin_fd, stdout_fd, stderr_fd },
			write_fd);
	(void)sys_close(take_fd(&write_fd));
	/* End of file on the close-on-exec pipe: the hook runs. */
	ret = (int)sys_read(read_fd, &error, sizeof error);
	if (ret == (int)sizeof error) {
		(void)SYS(__NR_waitid, P_PIDFD, pid_fd, NULL, WEXITED, NULL);
		return error;
	}
	return wait_for(init, pid_fd, op->c);
}
