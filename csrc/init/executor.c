/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop: one op after the other, and a report of the first that fails.
 */
#include "init.h"

static op_function *const operations[OCIRT_OP_END] = {
	[OCIRT_OOM_SCORE_ADJ] = op_oom_score_adj,
	[OCIRT_RAISE_RLIMIT] = op_raise_rlimit,
	[OCIRT_JOIN_NAMESPACE] = op_join_namespace,
	[OCIRT_TIME_NAMESPACE] = op_time_namespace,
	[OCIRT_CLONE] = op_clone,
	[OCIRT_SYNC] = op_sync,
	[OCIRT_ENTER_ROOT] = op_enter_root,
	[OCIRT_BECOME_ROOT] = op_become_root,
	[OCIRT_JOIN_CGROUP] = op_join_cgroup,
	[OCIRT_CGROUP_NAMESPACE] = op_cgroup_namespace,
	[OCIRT_SETSID] = op_setsid,
	[OCIRT_SESSION_KEYRING] = op_session_keyring,
	[OCIRT_LOOPBACK_UP] = op_loopback_up,
	[OCIRT_HOSTNAME] = op_hostname,
	[OCIRT_DOMAINNAME] = op_domainname,
	[OCIRT_HOST_PROPAGATION] = op_host_propagation,
	[OCIRT_ROOTFS] = op_rootfs,
	[OCIRT_MOUNT] = op_mount,
	[OCIRT_BIND] = op_bind,
	[OCIRT_MKDIR] = op_mkdir,
	[OCIRT_DEVICE] = op_device,
	[OCIRT_SYMLINK] = op_symlink,
	[OCIRT_CONSOLE] = op_console,
	[OCIRT_HOOK] = op_hook,
	[OCIRT_SYSCTL] = op_sysctl,
	[OCIRT_MOUNT_READONLY] = op_mount_readonly,
	[OCIRT_ROOT_READONLY] = op_root_readonly,
	[OCIRT_READONLY_PATH] = op_readonly_path,
	[OCIRT_MASK_PATH] = op_mask_path,
	[OCIRT_PIVOT_ROOT] = op_pivot_root,
	[OCIRT_MOVE_ROOT] = op_move_root,
	[OCIRT_CHROOT] = op_chroot,
	[OCIRT_ROOT_PROPAGATION] = op_root_propagation,
	[OCIRT_LOOKUP] = op_lookup,
	[OCIRT_WAIT_START] = op_wait_start,
	[OCIRT_PERSONALITY] = op_personality,
	[OCIRT_SCHEDULER] = op_scheduler,
	[OCIRT_IO_PRIORITY] = op_io_priority,
	[OCIRT_MEMORY_POLICY] = op_memory_policy,
	[OCIRT_CPU_AFFINITY] = op_cpu_affinity,
	[OCIRT_RLIMIT] = op_rlimit,
	[OCIRT_UMASK] = op_umask,
	[OCIRT_STDIO_OWNER] = op_stdio_owner,
	[OCIRT_HOME] = op_home,
	[OCIRT_CHDIR] = op_chdir,
	[OCIRT_LSM_LABEL] = op_lsm_label,
	[OCIRT_NO_NEW_PRIVS] = op_no_new_privs,
	[OCIRT_BOUNDING_SET] = op_bounding_set,
	[OCIRT_USER] = op_user,
	[OCIRT_SECCOMP] = op_seccomp,
	[OCIRT_CAPABILITIES] = op_capabilities,
	[OCIRT_AMBIENT] = op_ambient,
	[OCIRT_CLOSE_FDS] = op_close_fds,
	[OCIRT_EXECVE] = op_execve,
	[OCIRT_OPEN_ROOT] = op_open_root,
	[OCIRT_UNMOUNT] = op_unmount,
	[OCIRT_REMOVE_NODE] = op_remove_node,
	[OCIRT_EXIT] = op_exit,
};

static uint64_t monotonic_ns(void)
{
	struct {
		int64_t seconds, nanoseconds;
	} now = { 0, 0 };

	(void)SYS(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, &now);
	return (uint64_t)now.seconds * 1000000000U + (uint64_t)now.nanoseconds;
}

void run_plan(struct init *init, uint32_t first)
{
	uint64_t now = monotonic_ns();
	int is_filtered = 0;

	for (init->current = first; init->current < init->plan->op_count; init->current++) {
		const struct ocirt_op *op = &init->ops[init->current];
		int ret;

		init->detail = OCIRT_DETAIL_NONE;
		init->text[0] = '\0';
		init->clock[2 * init->current] = now;
		ret = operations[op->code](init, op);
		/* The filter may refuse this call, or kill for it: behind it time stands still. */
		is_filtered |= op->code == OCIRT_SECCOMP;
		if (!is_filtered)
			now = monotonic_ns();
		init->clock[2 * init->current + 1] = now;
		if (ret < 0) {
			/* For where the filter refuses the report as well. */
			init->clock[2 * init->plan->op_count + init->current] = (uint64_t)-ret;
			(void)channel_report(init, OCIRT_REPORT_ERROR, -ret, init->detail);
			sys_exit(1);
		}
	}
	/* A plan ends in EXECVE or EXIT, which do not return when they succeed. */
	(void)channel_report(init, OCIRT_REPORT_ERROR, EPROTO, OCIRT_DETAIL_NONE);
	sys_exit(1);
}
