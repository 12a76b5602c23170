/* SPDX-License-Identifier: Apache-2.0
 *
 * The process itself: meetings with the runtime, limits, scheduling, credentials, capabilities, filters, descriptors.
 */
#include "init.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define MAX_CPUS 8192 /* CONFIG_NR_CPUS is no greater */

int op_sync(struct init *init, const struct ocirt_op *op)
{
	/* An unprivileged runtime can write the id maps of a dumpable process only. Root needs no such thing, and in a PID
	 * namespace that others are in as well the process could be traced meanwhile. */
	int dumpable = op->a == OCIRT_SYNC_ID_MAPS && init->euid != 0;
	int ret;

	if (dumpable)
		(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	ret = channel_report(init, OCIRT_REPORT_SYNC, 0, (uint32_t)op->a);
	if (ret < 0)
		return ret;
	ret = channel_wait(init, OCIRT_COMMAND_CONTINUE);
	if (dumpable)
		(void)sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return ret;
}

/* /proc/sys is opened like every other file of procfs; its directories are beneath the handle. */
int op_sysctl(struct init *init, const struct ocirt_op *op)
{
	char path[PATH_SIZE] = "sys/";

	if (op->path_size + 5 > sizeof path)
		return -ENAMETOOLONG;
	memcpy(path + 4, op_path(init, op), op->path_size + 1);
	return proc_write(init, path, op_text(init, op), op->text_size);
}

static void drop(int *fd)
{
	if (*fd >= 0)
		(void)sys_close(take_fd(fd));
}

/* A created container may wait for days: it keeps no way to the host. */
static void drop_handles(struct init *init)
{
	drop(&init->proc_fd);
	drop(&init->null_fd);
	drop(&init->mask_fd);
	drop(&init->root_fd);
}

__attribute__((noreturn)) static void end_by_signal(int number)
{
	sys_exit(128 + number);
}

/* The first process of a PID namespace is spared by every signal that it does not handle (pid_namespaces(7)); while it is not
 * the program's yet, those that end a program shall end it. execve(2) takes the handlers away. */
static int handle_signals(void)
{
	const uint64_t others = 1UL << (SIGILL - 1) | 1UL << (SIGTRAP - 1) | 1UL << (SIGBUS - 1) | 1UL << (SIGFPE - 1) |
				1UL << (SIGKILL - 1) | 1UL << (SIGSEGV - 1) | 1UL << (SIGCHLD - 1) |
				1UL << (SIGCONT - 1) | 1UL << (SIGSTOP - 1) | 1UL << (SIGTSTP - 1) |
				1UL << (SIGTTIN - 1) | 1UL << (SIGTTOU - 1) | 1UL << (SIGURG - 1) |
				1UL << (SIGWINCH - 1) | 1UL << (SIGSYS - 1);

	if (SYS(__NR_getpid) != 1)
		return 0;
	for (int number = 1; number <= 64; number++) {
		struct sigaction action = { .sa_handler = end_by_signal, .sa_flags = SA_RESTORER };
		int ret;
		if (others >> (number - 1) & 1)
			continue;
		ret = (int)SYS(__NR_rt_sigaction, number, &action, NULL, sizeof action.sa_mask);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int op_wait_start(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int listener_fd = -1;
	int ret;

	drop_handles(init);
	ret = handle_signals();
	if (ret < 0)
		return ret;
	if (op->slot != OCIRT_NO_SLOT) {
		ret = channel_slot(init, op->slot, &listener_fd);
		if (ret < 0)
			return ret;
	}
	ret = channel_report(init, OCIRT_REPORT_READY, 0, 0);
	if (ret < 0)
		return ret;
	ret = channel_wait(init, OCIRT_COMMAND_COMMIT);
	if (ret < 0)
		return ret;
	if (listener_fd < 0)
		return channel_wait(init, OCIRT_COMMAND_CONTINUE);
	/* Only so can exec of an ordinary user join these namespaces meanwhile. Nothing here leads to the host any more. */
	if (init->euid != 0)
		(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	for (;;) {
		drop(&init->channel);
		ret = (int)SYS(__NR_accept4, listener_fd, NULL, NULL, O_CLOEXEC);
		if (ret < 0)
			return ret;
		init->channel = ret;
		/* Whoever connects and goes away without a word was not `start`: wait for the next. */
		if (channel_wait(init, OCIRT_COMMAND_CONTINUE) == 0)
			break;
	}
	(void)sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

int op_personality(struct init *init, const struct ocirt_op *op)
{
	long ret = SYS(__NR_personality, op->a);

	(void)init;
	return ret < 0 ? (int)ret : 0;
}

int op_scheduler(struct init *init, const struct ocirt_op *op)
{
	return (int)SYS(__NR_sched_setattr, 0, op_data(init, op), 0);
}

int op_io_priority(struct init *init, const struct ocirt_op *op)
{
	enum { IOPRIO_WHO_PROCESS_ = 1 };

	(void)init;
	return (int)SYS(__NR_ioprio_set, IOPRIO_WHO_PROCESS_, 0, op->a);
}

int op_memory_policy(struct init *init, const struct ocirt_op *op)
{
	return (int)SYS(__NR_set_mempolicy, op->a, op->data_size ? op_data(init, op) : NULL, op->data_size * 8U);
}

int op_cpu_affinity(struct init *init, const struct ocirt_op *op)
{
	uint64_t in_force[MAX_CPUS / 64];
	int ret = (int)SYS(__NR_sched_setaffinity, 0, op->data_size, op_data(init, op));

	/* The kernel leaves out the CPUs that are offline, or not of the cgroup. */
	if (op->flags & OCIRT_READ_BACK && SYS(__NR_sched_getaffinity, 0, sizeof in_force, in_force) > 0)
		init->clock[2 * init->plan->op_count + init->current] = in_force[0];
	return ret == -EINVAL && (op->flags & OCIRT_OPTIONAL) ? 0 : ret;
}

int op_rlimit(struct init *init, const struct ocirt_op *op)
{
	struct {
		uint64_t soft, hard;
	} limit = { op->b, op->c };

	(void)init;
	return (int)SYS(__NR_prlimit64, 0, op->a, &limit, NULL);
}

int op_umask(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	(void)SYS(__NR_umask, op->a);
	return 0;
}

/* The container's user must be able to open /dev/stdout and its like. The host's null device keeps its owner. */
int op_stdio_owner(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;
		int ret = (int)sys_fstat(fd, &st);

		if (ret < 0)
			return ret;
		if (st.st_uid == op->a || (S_ISCHR_(st.st_mode) && st.st_rdev == (1 << 8 | 3)))
			continue;
		/* The group stays: a terminal's is tty. */
		ret = (int)SYS(__NR_fchown, fd, op->a, st.st_gid);
		/* EINVAL: the owner has no mapping here; EPERM, EROFS: somebody else's file. None hinders the program. */
		if (ret < 0 && ret != -EINVAL && ret != -EPERM && ret != -EROFS)
			return ret;
	}
	return 0;
}

int op_lsm_label(struct init *init, const struct ocirt_op *op)
{
	char path[64] = "thread-self/attr/";
	size_t prefix = strlen(path);
	int ret;

	if (prefix + op->path_size + 1 > sizeof path)
		return -ENAMETOOLONG;
	memcpy(path + prefix, op_path(init, op), op->path_size + 1);
	ret = proc_write(init, path, op_text(init, op), op->text_size);
	/* Without stacking of modules the file is not in a directory of the module's name (Linux before 5.8 had none). */
	return ret == -ENOENT ? proc_write(init, "thread-self/attr/exec", op_text(init, op), op->text_size) : ret;
}

int op_no_new_privs(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	(void)op;
	return (int)sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_bounding_set(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	for (unsigned long capability = 0; capability < 64; capability++) {
		int ret;

		if (op->a >> capability & 1)
			continue;
		ret = (int)sys_prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
		if (ret == -EINVAL) /* beyond what this kernel knows */
			return 0;
		if (ret < 0 && sys_prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 0)
			return ret;
	}
	return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};

	return (int)SYS(__NR_capset, &header, data);
}

/* All that is permitted becomes effective, and inheritable is what is given. */
static int set_inheritable(uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	int ret = (int)SYS(__NR_capget, &header, data);
	uint64_t permitted;

	if (ret < 0)
		return ret;
	permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return set_capabilities(permitted, permitted, inheritable);
}

int op_user(struct init *init, const struct ocirt_op *op)
{
	int ret = (int)sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);

	if (ret < 0)
		return ret;
	if (!(op->flags & OCIRT_KEEP_GROUPS)) {
		ret = (int)SYS(__NR_setgroups, op->data_size / sizeof(uint32_t), op_data(init, op));
		if (ret < 0)
			return ret;
	}
	ret = (int)SYS(__NR_setresgid, op->b, op->b, op->b);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_setresuid, op->a, op->a, op->a);
	if (ret < 0)
		return ret;
	/* What follows (filter, final sets) needs the capabilities that the new uid has only permitted. */
	ret = set_inheritable(0);
	if (ret < 0)
		return ret;
	return (int)sys_prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

int op_seccomp(struct init *init, const struct ocirt_op *op)
{
	struct sock_fprog program = {
		.len = (unsigned short)(op->data_size / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(uintptr_t)op_data(init, op),
	};

	int listener_fd, ret;

	if (op->data_size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return -E2BIG;
	if (!(op->a & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return (int)SYS(__NR_seccomp, SECCOMP_SET_MODE_FILTER, op->a, &program);
	/* An unprivileged runtime can copy a descriptor of a dumpable process only; execve(2) sets it anew. */
	if (init->euid != 0)
		(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	listener_fd = (int)SYS(__NR_seccomp, SECCOMP_SET_MODE_FILTER, op->a, &program);
	if (listener_fd < 0)
		return listener_fd;
	ret = channel_offer_listener(init, listener_fd);
	/* While it is open here, the end of the agent does not wake who waits for it. */
	(void)sys_close(listener_fd);
	return ret;
}

int op_capabilities(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	return set_capabilities(op->a, op->b, op->c);
}

int op_ambient(struct init *init, const struct ocirt_op *op)
{
	int ret = (int)sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

	(void)init;
	if (ret < 0)
		return ret;
	if (!op->a)
		return 0;
	ret = set_inheritable(op->b);
	if (ret < 0)
		return ret;
	for (unsigned long capability = 0; capability < 64; capability++) {
		if (!(op->a >> capability & 1))
			continue;
		ret = (int)sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The last line of defence against a leaked descriptor (CVE-2024-21626): all are closed, not only marked. The channel must
 * live until execve succeeds or fails. */
int op_close_fds(struct init *init, const struct ocirt_op *op)
{
	uint32_t first = 3 + (uint32_t)op->a;
	uint32_t channel = (uint32_t)init->channel;
	int ret;

	if (init->channel < 0 || op->a > channel - 3)
		return -EBADF;
	if (channel > first) {
		ret = (int)sys_close_range(first, channel - 1, 0);
		if (ret < 0)
			return ret;
	}
	ret = (int)sys_close_range(channel + 1, ~0U, 0);
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_fcntl, init->channel, F_SETFD, FD_CLOEXEC);
}
