/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of ocirt-init share: the state of the one process, the channel, safe paths below the root, and the ops.
 */
#ifndef OCIRT_INIT_H
#define OCIRT_INIT_H

#include "../plan.h"
#include "sys.h"

#define PATH_SIZE 4096

struct init {
	/* The plan, mapped read-only and checked. */
	const struct ocirt_plan *plan;
	const struct ocirt_op *ops;
	const char *data;
	uint32_t current; /* index of the op that runs */
	uint64_t *clock;  /* start and end of every op, then what each has left: its errno if it failed */
	uint32_t euid;    /* of the runtime */

	/* The channel to the runtime; -1 once nobody is there. */
	int channel;
	int slot_fds[OCIRT_SLOTS_PER_MESSAGE]; /* what has come and is not used yet */
	uint32_t slot_first;                   /* slot number of slot_fds[0] */
	uint32_t slot_count;

	/* Opened while the host's files are in reach, and closed before the program runs. */
	int proc_fd; /* procfs: the host's before CLONE, then that of the container's PID namespace, or -1 until it is needed */
	int null_fd;   /* a mount of the host's /dev/null, checked to be char 1:3 */
	int mask_fd;   /* an empty read-only tmpfs that covers masked directories, or -1 */
	int root_fd;   /* the container's root mount */
	int is_joined; /* it is that of a container that runs: no path of this process is the host's */

	/* Filled by earlier ops for EXECVE. */
	char program[PATH_SIZE];
	char home[PATH_SIZE + 8]; /* "HOME=..." or empty */
	int chdir_pending;

	/* For the report of a failure. */
	uint32_t detail;
	char text[OCIRT_DETAIL_SIZE];
};

/* An op returns 0 or a negative errno; it may set detail and text before it fails. */
typedef int op_function(struct init *init, const struct ocirt_op *op);

/* main.c */
__attribute__((noreturn)) void run_plan(struct init *init, uint32_t first);

/* channel.c */
int channel_report(struct init *init, uint32_t kind, int error, uint32_t detail);
int channel_receive_plan(struct init *init, int *ret_plan_fd);
int channel_wait(struct init *init, uint32_t kind);
int channel_slot(struct init *init, int32_t slot, int *ret_fd);
int channel_send_fd(int socket_fd, int fd);
int channel_offer_listener(struct init *init, int listener_fd);

/* rootfs_path.c: paths of the container, resolved below root_fd at the moment of use. */
int rootfs_open(const struct init *init, const char *path, uint64_t flags, uint64_t resolve, int *ret_fd);
int rootfs_make_directory(const struct init *init, const char *path, uint32_t mode, int *ret_fd);
int rootfs_make_target(const struct init *init, const char *path, int is_directory, uint64_t resolve, int *ret_fd);
int rootfs_open_parent(const struct init *init, const char *path, uint64_t resolve, int *ret_parent_fd,
		       const char **ret_name);
int is_on_procfs(int fd);

/* procfs.c: a private handle on procfs. */
int proc_open(struct init *init);
int proc_open_file(struct init *init, const char *path, uint64_t flags, int *ret_fd);
int proc_open_own_namespace(struct init *init, const char *link, int *ret_fd);
int proc_write(struct init *init, const char *path, const char *text, size_t size);

/* stdio.c */
int protect_null(void);

static inline const char *op_path(const struct init *init, const struct ocirt_op *op)
{
	return init->data + op->path;
}
static inline const char *op_text(const struct init *init, const struct ocirt_op *op)
{
	return init->data + op->text;
}
static inline const char *op_data(const struct init *init, const struct ocirt_op *op)
{
	return init->data + op->data;
}

/* namespace.c */
op_function op_oom_score_adj, op_raise_rlimit, op_join_namespace, op_time_namespace, op_clone, op_enter_root,
	op_become_root, op_join_cgroup, op_cgroup_namespace, op_setsid, op_session_keyring, op_loopback_up, op_hostname,
	op_domainname;
/* rootfs.c */
op_function op_host_propagation, op_rootfs, op_root_readonly, op_pivot_root, op_move_root, op_chroot,
	op_root_propagation;
int enter_root(int root_fd);
/* mount.c */
op_function op_mount, op_bind, op_mount_readonly, op_readonly_path, op_mask_path;
int mount_attach(struct init *init, int mount_fd, int target_fd, uint64_t propagation);
int mount_empty_directory(struct init *init, const char *option, int target_fd);
/* running.c */
op_function op_open_root, op_unmount, op_remove_node, op_exit;
/* host_mounts.c */
int detach_host_mounts(struct init *init);
/* copy_up.c */
int copy_up(int target_fd, int mount_fd);
/* device.c */
op_function op_mkdir, op_device, op_symlink;
/* console.c */
op_function op_console;
/* hook.c */
op_function op_hook;
/* process.c */
op_function op_sync, op_sysctl, op_wait_start, op_personality, op_scheduler, op_io_priority, op_memory_policy,
	op_cpu_affinity, op_rlimit, op_umask, op_stdio_owner, op_lsm_label, op_no_new_privs, op_bounding_set, op_user,
	op_seccomp, op_capabilities, op_ambient, op_close_fds;
/* program.c */
op_function op_lookup, op_home, op_chdir, op_execve;

#endif
