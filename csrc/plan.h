/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract between Python and ocirt-init: what a plan looks like in memory and what is said on the channel.
 * The C compiler includes this file and cffi reads it, so there is no second list to keep in step. For cffi's parser the
 * body uses nothing but enums and structs of fixed-width integers.
 *
 * Slot 0 is a memfd of uint64_t[3 * op_count]: CLOCK_MONOTONIC in ns at the start and the end of each op, 0 for one that has not run,
 * which costs nothing to speak of and tells what an init was at that was killed or hangs. Behind those of all ops follows a number for
 * each op, which it leaves for the log with READ_BACK.
 *
 * A plan is one block of memory in a sealed memfd:
 *
 *     struct ocirt_plan | struct ocirt_op [op_count] | data area
 *
 * path, text and data of an op are (offset, size) pairs into the data area. path and text end in a NUL byte that size does
 * not count. Lengths are 32 bit everywhere and ocirt-init checks every bound before the first op runs (CVE-2021-43784).
 */
#ifndef OCIRT_PLAN_H
#define OCIRT_PLAN_H

#include <stdint.h>

enum ocirt_plan_constant {
	OCIRT_MAGIC = 0x4f434952, /* "OCIR" */
	OCIRT_VERSION = 1,
	OCIRT_NO_SLOT = -1,
	OCIRT_SLOTS_PER_MESSAGE = 64, /* below SCM_MAX_FD (253) and far below RLIMIT_NOFILE */
	OCIRT_DETAIL_SIZE = 160,
};

/* In the order in which a container is set up. "slot" is the index of a descriptor that the runtime sends. */
enum ocirt_op_code {
	/* Run in the runtime's namespaces, before there is a container. */
	OCIRT_OOM_SCORE_ADJ = 1, /* text: decimal number */
	OCIRT_RAISE_RLIMIT,      /* a: resource, b: hard limit that a later RLIMIT needs */
	OCIRT_JOIN_NAMESPACE,    /* slot: namespace or pidfd, a: CLONE_NEW* flags */
	OCIRT_TIME_NAMESPACE,    /* text: lines for timens_offsets, a: 1 in the container's process, which enters it */
	OCIRT_CLONE,             /* a: CLONE_* flags, slot: cgroup v2 directory or none */
	/* Run in the container's process. */
	OCIRT_SYNC,             /* a: enum ocirt_sync */
	OCIRT_ENTER_ROOT,       /* slot: directory to make the root (exec without a mount namespace) */
	OCIRT_BECOME_ROOT,      /* uid and gid 0 of the new user namespace */
	OCIRT_JOIN_CGROUP,      /* slot: a v1 `tasks` file open for writing */
	OCIRT_CGROUP_NAMESPACE, /* unshare, after the cgroups are joined */
	OCIRT_SETSID,
	OCIRT_SESSION_KEYRING, /* text: name */
	OCIRT_LOOPBACK_UP,
	OCIRT_HOSTNAME,         /* text */
	OCIRT_DOMAINNAME,       /* text */
	OCIRT_HOST_PROPAGATION, /* a: MS_* flags for "/" of the new mount namespace */
	OCIRT_ROOTFS, /* slot: mount tree, or path: host path; path: where it is attached; a: MS_* propagation of what is mounted
			 below the root, b: of the root */
	OCIRT_MOUNT,   /* path: target, text: filesystem type, data: source and options, a: attributes, c: propagation;
			 option security.selinux=LABEL: the extended attribute of the root */
	OCIRT_BIND,    /* path: target, slot or text: source, a/b: attributes to set and clear, c: propagation */
	OCIRT_MKDIR,   /* path, mode */
	OCIRT_DEVICE,  /* path, mode: type and permissions, a: dev_t, b: uid, c: gid */
	OCIRT_SYMLINK, /* path, text: target */
	OCIRT_CONSOLE, /* slot: socket for the pty master, a: rows << 16 | columns (0: unchanged) */
	OCIRT_HOOK,    /* path, data: argv then env, a: argc, b: envc, c: timeout in s, slot: stdin, stdout, stderr */
	OCIRT_SYSCTL,  /* path: below /proc/sys, text: value */
	OCIRT_MOUNT_READONLY, /* path: a mount that had to stay writable until now */
	OCIRT_ROOT_READONLY,
	OCIRT_READONLY_PATH, /* path */
	OCIRT_MASK_PATH,     /* path, text: option of the tmpfs over a directory */
	OCIRT_PIVOT_ROOT,
	OCIRT_MOVE_ROOT,        /* MS_MOVE, unmounting the host's, chroot: for a root on a ramfs (--no-pivot) */
	OCIRT_CHROOT,           /* without a mount namespace */
	OCIRT_ROOT_PROPAGATION, /* a: MS_* flags */
	OCIRT_LOOKUP,           /* text: argv[0], path: $PATH */
	OCIRT_WAIT_START,       /* slot: listening socket, or none: the channel itself */
	OCIRT_PERSONALITY,      /* a: persona */
	OCIRT_SCHEDULER,        /* data: struct sched_attr */
	OCIRT_IO_PRIORITY,      /* a: class << 13 | priority */
	OCIRT_MEMORY_POLICY,    /* a: mode and flags, data: node mask */
	OCIRT_CPU_AFFINITY,     /* data: cpu mask; READ_BACK: the first 64 CPUs of the affinity that is in force then */
	OCIRT_RLIMIT,           /* a: resource, b: soft, c: hard */
	OCIRT_UMASK,            /* a */
	OCIRT_STDIO_OWNER,      /* a: uid */
	OCIRT_HOME,             /* a: uid; sets HOME from /etc/passwd where env has none */
	OCIRT_CHDIR,            /* path, mode: permissions of a directory that is missing */
	OCIRT_LSM_LABEL,        /* path: below /proc/thread-self/attr, text: label */
	OCIRT_CLOSE_FDS,        /* a: how many descriptors from 3 on the program keeps */
	OCIRT_NO_NEW_PRIVS,
	OCIRT_BOUNDING_SET, /* a: the capabilities that stay */
	OCIRT_USER,         /* a: uid, b: gid, data: uint32_t gids */
	OCIRT_AMBIENT,      /* a: mask, b: inheritable, which it must be a part of */
	OCIRT_SECCOMP,      /* a: SECCOMP_FILTER_FLAG_*, data: struct sock_filter[]; NEW_LISTENER: reports LISTENER */
	OCIRT_CAPABILITIES, /* a: effective, b: permitted, c: inheritable */
	OCIRT_EXECVE,       /* data: argv then env, a: argc, b: envc */
	/* Run in the namespaces of a container that runs, by a process that becomes no program. */
	OCIRT_OPEN_ROOT,   /* what is "/" now is the root that paths are below */
	OCIRT_UNMOUNT,     /* path */
	OCIRT_REMOVE_NODE, /* path, mode: type, a: dev_t; of a regular file: only if it is empty */
	OCIRT_EXIT,
	OCIRT_OP_END,
};

enum ocirt_op_flag {
	OCIRT_RECURSIVE = 1, /* BIND: attributes and tree are recursive; ROOTFS: the tree is */
	OCIRT_ON_PROCFS = 2, /* MOUNT, BIND: the target may lie on procfs */
	OCIRT_NO_SYMLINKS =
		4, /* MOUNT, BIND: no component of the target, DEVICE, SYMLINK, UNMOUNT, REMOVE_NODE: none of its parent's, may be a link */
	OCIRT_INHERIT_MODE = 8,  /* MOUNT: the new root gets the mode of the directory it covers, where there was one */
	OCIRT_REPLACE = 16,      /* SYMLINK: what is there goes */
	OCIRT_BIND_CONSOLE = 32, /* CONSOLE: bind the pty to /dev/console */
	OCIRT_RETRY = 64,        /* CHDIR: a second try, as the container's user */
	OCIRT_KEEP_GROUPS = 128, /* BECOME_ROOT, USER: the supplementary groups stay */
	OCIRT_SOURCE_LINK = 2048, /* BIND: a link that ends the source is bound itself */
	OCIRT_TARGET_LINK = 4096, /* BIND: a link that ends the target is covered itself */
	OCIRT_COPY_LINK =
		8192, /* BIND: where the source is a link (SOURCE_LINK), the same link is made at the target */
	OCIRT_CLEAR_OTHERS = 16384, /* BIND: attributes that are not set are cleared, where they are not locked */
	OCIRT_READ_BACK = 32768,    /* CPU_AFFINITY: what has come of it is left in slot 0 */
	OCIRT_FROM_PROCFS = 65536,  /* BIND: the source is to lie on procfs */
	OCIRT_WITH_HOME = 1024,     /* HOOK: HOME is set as for the program */
	OCIRT_COPY_UP = 512,        /* MOUNT: what the target holds is copied into the new filesystem */
	OCIRT_OPTIONAL = 256,       /* a kernel or a policy without it is tolerated */
};

/* Packed into c of MOUNT and BIND, four bits each, the first in the lowest bits. */
enum ocirt_propagation {
	OCIRT_PROPAGATION_PRIVATE = 1,
	OCIRT_PROPAGATION_SLAVE = 2,
	OCIRT_PROPAGATION_SHARED = 3,
	OCIRT_PROPAGATION_UNBINDABLE = 4,
	OCIRT_PROPAGATION_RECURSIVE = 8,
};

struct ocirt_op {
	uint32_t code;
	uint32_t flags;
	int32_t slot;
	uint32_t mode;
	uint64_t a;
	uint64_t b;
	uint64_t c;
	uint32_t path;
	uint32_t path_size;
	uint32_t text;
	uint32_t text_size;
	uint32_t data;
	uint32_t data_size;
};

struct ocirt_plan {
	uint32_t magic;
	uint32_t version;
	uint32_t op_count;
	uint32_t slot_count;
	uint32_t preserve_fds; /* descriptors from 3 on that belong to the program */
	uint32_t reserved;
	uint64_t data_size;
};

/* From the runtime to ocirt-init. */
enum ocirt_command_kind {
	OCIRT_COMMAND_PLAN = 1, /* one descriptor: the memfd */
	OCIRT_COMMAND_SLOTS,    /* the next descriptors, in slot order */
	OCIRT_COMMAND_CONTINUE, /* answers a sync */
	OCIRT_COMMAND_COMMIT,   /* create is complete: the runtime's end of the channel may close */
};

struct ocirt_command {
	uint32_t kind;
	uint32_t fd_count;
};

/* From ocirt-init to the runtime. */
enum ocirt_report_kind {
	OCIRT_REPORT_PID = 1,  /* detail: the process's pid, as the runtime sees it; or 0, error: that of a stillborn */
	OCIRT_REPORT_SYNC,     /* detail: enum ocirt_sync; waits for CONTINUE */
	OCIRT_REPORT_READY,    /* set up as far as create goes; waits for COMMIT */
	OCIRT_REPORT_LISTENER, /* detail: the init's number of the seccomp listener; waits for CONTINUE */
	OCIRT_REPORT_ERROR,    /* op failed with error; detail and text depend on the op */
};

enum ocirt_sync {
	OCIRT_SYNC_ID_MAPS = 1,
	OCIRT_SYNC_CREATE_RUNTIME,
	OCIRT_SYNC_START,
	OCIRT_SYNC_MOUNTS,
	OCIRT_SYNC_CGROUP,
	OCIRT_SYNC_NET_DEVICES,
};

/* What detail of an ERROR says beyond errno. */
enum ocirt_error_detail {
	OCIRT_DETAIL_NONE = 0,
	OCIRT_DETAIL_TARGET,           /* MOUNT, BIND: at the target */
	OCIRT_DETAIL_SOURCE,           /* MOUNT, BIND: at the source */
	OCIRT_DETAIL_PROCFS,           /* the target lies on procfs */
	OCIRT_DETAIL_NOT_PROCFS,       /* /proc is not a procfs */
	OCIRT_DETAIL_FROM_PROCFS,      /* FROM_PROCFS */
	OCIRT_DETAIL_UNREACHABLE,      /* CHDIR: the directory is outside the root */
	OCIRT_DETAIL_NO_INTERPRETER,   /* EXECVE: the file is there, its interpreter is not */
	OCIRT_DETAIL_CRLF,             /* EXECVE: the first line ends in CR LF */
	OCIRT_DETAIL_ARCHITECTURE,     /* EXECVE: a program for another machine */
	OCIRT_DETAIL_NOEXEC,           /* EXECVE: on a mount with noexec */
	OCIRT_DETAIL_TIMEOUT,          /* HOOK */
	OCIRT_DETAIL_STATUS = 0x10000, /* HOOK: the low 16 bits are its wait status */
};

struct ocirt_report {
	uint32_t kind;
	uint32_t op;
	int32_t error;
	uint32_t detail;
	char text[160]; /* OCIRT_DETAIL_SIZE; the kernel's own words about a filesystem, or empty. Not trusted. */
};

#endif
