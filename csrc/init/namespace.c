/* SPDX-License-Identifier: Apache-2.0
 *
 * Ops that leave the runtime's namespaces: joining, cloning, and what belongs to a namespace as a whole.
 */
#include "init.h"

#include <linux/keyctl.h>
#include <linux/sockios.h>

int op_oom_score_adj(struct init *init, const struct ocirt_op *op)
{
	return proc_write(init, "self/oom_score_adj", op_text(init, op), op->text_size);
}

/* Raises only a hard limit, while the runtime's own privileges still hold; the limit itself is set by op_rlimit. */
int op_raise_rlimit(struct init *init, const struct ocirt_op *op)
{
	struct rlimit64 {
		uint64_t soft, hard;
	} limit;
	int ret = (int)SYS(__NR_prlimit64, 0, op->a, NULL, &limit);

	(void)init;
	if (ret < 0 || limit.hard >= op->b)
		return ret;
	limit.hard = op->b;
	return (int)SYS(__NR_prlimit64, 0, op->a, &limit, NULL);
}

/* Nobody in the namespaces that are entered may trace this process, read its descriptors or its memory (CVE-2016-9962). */
static int conceal(void)
{
	return (int)sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int op_join_namespace(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;
	int ret = channel_slot(init, op->slot, &fd);

	if (ret < 0)
		return ret;
	ret = conceal();
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_setns, fd, op->a);
}

/* Offsets can be set only while no process is in the namespace: this process makes it for its child (time_namespaces(7)), or
 * enters it afterwards, where it takes the privileges of a new user namespace to make it. */
int op_time_namespace(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;
	int ret = (int)SYS(__NR_unshare, CLONE_NEWTIME);

	if (ret < 0)
		return ret;
	/* The files of a process that is not dumpable are the host's root's. */
	if (op->a)
		(void)sys_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (op->text_size)
		ret = proc_write(init, "self/timens_offsets", op_text(init, op), op->text_size);
	if (ret == 0 && op->a) {
		ret = proc_open_own_namespace(init, "self/ns/time_for_children", &fd);
		if (ret == 0)
			ret = (int)SYS(__NR_setns, fd, CLONE_NEWTIME);
	}
	if (op->a)
		(void)sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return ret;
}

/* Whether a process that was cloned into a cgroup has been killed at once, a mistake of Linux (seen in 6.18): it
 * compares how often the caller's cgroup was killed by cgroup.kill with how often the new one was. Such a process never
 * runs, another one says so. One that is frozen says nothing, and counts as alive. */
static int is_stillborn(int alive_fd, int pidfd)
{
	struct pollfd fds[] = { { .fd = alive_fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
	struct __kernel_timespec timeout = { .tv_sec = 1 };

	return SYS(__NR_ppoll, fds, 2, &timeout, NULL, 0) > 0 && !fds[0].revents && fds[1].revents;
}

/* The runtime moves this process into the cgroup, and says so by SIGCONT: the channel may be full of descriptors for others. */
static int be_moved(struct init *init, int stillborn)
{
	enum { SIG_BLOCK_ = 0, SIG_SETMASK_ = 2, SIGCONT_ = 18 };
	uint64_t awaited = 1ULL << (SIGCONT_ - 1), before = 0;
	struct __kernel_timespec timeout = { .tv_sec = 10 };
	int ret;

	(void)SYS(__NR_rt_sigprocmask, SIG_BLOCK_, &awaited, &before, sizeof awaited);
	ret = channel_report(init, OCIRT_REPORT_PID, stillborn, 0);
	if (ret == 0)
		ret = (int)SYS(__NR_rt_sigtimedwait, &awaited, NULL, &timeout, sizeof awaited);
	(void)SYS(__NR_rt_sigprocmask, SIG_SETMASK_, &before, NULL, sizeof before);
	return ret < 0 ? ret : 0;
}

/* As clone(2), for a process in the cgroup of *args*. After a stillborn one this process goes there, which takes longer, and
 * the next is born where its parent is. */
static long clone_into(struct init *init, struct clone_args *args)
{
	cleanup_close int alive_fd = (int)SYS(__NR_eventfd2, 0, O_CLOEXEC);
	int pidfd = -1, is_dead, ret;
	long pid;

	if (alive_fd < 0)
		return alive_fd;
	args->flags |= CLONE_INTO_CGROUP | CLONE_PIDFD;
	args->pidfd = (uint64_t)&pidfd;
	pid = SYS(__NR_clone3, args, sizeof *args);
	if (pid == 0) {
		uint64_t one = 1;
		(void)sys_write(alive_fd, &one, sizeof one);
	}
	if (pid <= 0)
		return pid;
	is_dead = is_stillborn(alive_fd, pidfd);
	(void)sys_close(pidfd);
	if (!is_dead)
		return pid;
	ret = be_moved(init, (int)pid);
	if (ret < 0)
		return ret;
	args->flags &= ~(uint64_t)(CLONE_INTO_CGROUP | CLONE_PIDFD);
	return SYS(__NR_clone3, args, sizeof *args);
}

int op_clone(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int cgroup_fd = -1;
	struct clone_args args = { .flags = op->a | CLONE_PARENT };
	long pid;
	int ret;

	if (op->slot != OCIRT_NO_SLOT) {
		ret = channel_slot(init, op->slot, &cgroup_fd);
		if (ret < 0)
			return ret;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	ret = conceal();
	if (ret < 0)
		return ret;
	/* Who may trace in the PID namespace (CAP_SYS_PTRACE) can use every descriptor of the new process at once; through the
	 * host's procfs it would reach the host's root. */
	if (init->proc_fd >= 0)
		(void)sys_close(take_fd(&init->proc_fd));
	pid = cgroup_fd < 0 ? SYS(__NR_clone3, &args, sizeof args) : clone_into(init, &args);
	if (pid < 0)
		return (int)pid;
	if (pid > 0) {
		ret = channel_report(init, OCIRT_REPORT_PID, 0, (uint32_t)pid);
		sys_exit(ret < 0);
	}
	return 0;
}

int op_enter_root(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;
	int ret = channel_slot(init, op->slot, &fd);

	return ret < 0 ? ret : enter_root(fd);
}

int op_become_root(struct init *init, const struct ocirt_op *op)
{
	int ret = op->flags & OCIRT_KEEP_GROUPS ? 0 : (int)SYS(__NR_setgroups, 0, NULL);

	(void)init;
	/* setgroups(2) is denied where an unprivileged user wrote the gid map (user_namespaces(7)). */
	if (ret < 0 && ret != -EPERM)
		return ret;
	ret = (int)SYS(__NR_setresgid, 0, 0, 0);
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_setresuid, 0, 0, 0);
}

/* A single-threaded process that writes itself into `tasks` does not wait for an RCU grace period, which the first write
 * to cgroup.procs does: 7 to 15 ms (cgroup_threadgroup_rwsem, Linux 4.4 and later). */
int op_join_cgroup(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;
	int ret = channel_slot(init, op->slot, &fd);

	if (ret < 0)
		return ret;
	ret = (int)sys_write(fd, "0", 1);
	return ret < 0 ? ret : 0;
}

int op_cgroup_namespace(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	(void)op;
	return (int)SYS(__NR_unshare, CLONE_NEWCGROUP);
}

int op_setsid(struct init *init, const struct ocirt_op *op)
{
	int ret = (int)SYS(__NR_setsid);

	(void)init;
	(void)op;
	return ret < 0 ? ret : 0;
}

/* The possessor alone may use the keyring by default; a uid of the container must be able to search it (keyctl(2)). */
int op_session_keyring(struct init *init, const struct ocirt_op *op)
{
	enum { USER_SEARCH = 0x00080000, PERMISSION_FIELD = 3 };
	char description[256];
	const char *field = description;
	uint32_t permissions = 0;
	long keyring = SYS(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, op_text(init, op));
	long size;

	if (keyring == -ENOSYS || ((keyring == -EPERM || keyring == -EDQUOT) && (op->flags & OCIRT_OPTIONAL)))
		return 0;
	if (keyring < 0)
		return (int)keyring;
	size = SYS(__NR_keyctl, KEYCTL_DESCRIBE, keyring, description, sizeof description);
	if (size < 0 || size > (long)sizeof description)
		return size < 0 ? (int)size : -EMSGSIZE;
	for (int i = 0; i < PERMISSION_FIELD; i++) {
		field = strchr(field, ';');
		if (!field)
			return -EBADMSG;
		field++;
	}
	for (; *field && *field != ';'; field++)
		permissions = permissions * 16 + (uint32_t)(*field <= '9' ? *field - '0' : (*field | 0x20) - 'a' + 10);
	return (int)SYS(__NR_keyctl, KEYCTL_SETPERM, keyring, permissions | USER_SEARCH);
}

int op_loopback_up(struct init *init, const struct ocirt_op *op)
{
	enum { AF_INET_ = 2, SOCK_DGRAM_ = 2, SOCK_CLOEXEC_ = 02000000, IFF_UP_ = 1 };
	/* struct ifreq, netdevice(7); <linux/if.h> wants a libc */
	struct {
		char name[16];
		short flags;
		char rest[22];
	} request = { .name = "lo" };
	cleanup_close int fd = (int)SYS(__NR_socket, AF_INET_, SOCK_DGRAM_ | SOCK_CLOEXEC_, 0);
	int ret;

	(void)init;
	(void)op;
	if (fd < 0)
		return fd;
	ret = (int)SYS(__NR_ioctl, fd, SIOCGIFFLAGS, &request);
	if (ret < 0)
		return ret;
	request.flags |= IFF_UP_;
	return (int)SYS(__NR_ioctl, fd, SIOCSIFFLAGS, &request);
}

int op_hostname(struct init *init, const struct ocirt_op *op)
{
	return (int)SYS(__NR_sethostname, op_text(init, op), op->text_size);
}

int op_domainname(struct init *init, const struct ocirt_op *op)
{
	return (int)SYS(__NR_setdomainname, op_text(init, op), op->text_size);
}
