/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that the runtime must make from its own process. All return 0 or a descriptor or pid, and a negative errno on
 * failure; none keeps state, and all may be called from any thread. All descriptors are close-on-exec.
 * cffi reads this file together with plan.h: the body holds declarations only.
 */
#ifndef OCIRT_SHIM_H
#define OCIRT_SHIM_H

#include "../plan.h"

/* A memfd with the bytes, sealed against every change. */
int ocirt_sealed_memfd(const char *name, const char *bytes, uint64_t size);

/* The same with what *from_fd* holds, and one that execveat(2) accepts where the kernel tells them apart (MFD_EXEC, Linux
 * 6.3). */
int ocirt_sealed_program(const char *name, int from_fd);

/* A connected pair of SOCK_SEQPACKET sockets. */
int ocirt_channel_pair(int ret_fds[2]);

/* Starts ocirt-init from exe_fd with channel_fd as its channel, as a child of the calling process that shares nothing with it
 * but stdio and the preserve_fds descriptors from 3 on. Signal dispositions and mask are the default ones. */
int ocirt_spawn(int exe_fd, int channel_fd, uint32_t preserve_fds, int *ret_pidfd);

/* Starts the program at path as `criu swrk 3` with the runtime's stdio, its environment, and fds as the descriptors from 3 on.
 * With a rootfs it is in a mount namespace of its own, where rootfs is bound at mount_point and nothing that is mounted reaches
 * the host; NULL: in the caller's. With a keyring it has a session keyring of that name. */
int ocirt_spawn_criu(const char *path, const int *fds, uint32_t fd_count, const char *rootfs, const char *mount_point,
		     const char *keyring);

/* Sends one command with fd_count descriptors. */
int ocirt_send(int channel_fd, uint32_t kind, const int *fds, uint32_t fd_count);

/* Receives one report within timeout_ms (-1: no limit). Returns 1, 0 at end of file, -ETIMEDOUT, or another negative errno. */
int ocirt_receive(int channel_fd, int timeout_ms, struct ocirt_report *ret_report);

/* Ends our side of a channel: the init finds an end of file, and what it says can still be received. */
int ocirt_hang_up(int channel_fd);

/* open_tree(2), Linux 5.2, with flags as in the man page. */
int ocirt_open_tree(int dir_fd, const char *path, uint32_t flags);

/* The same in the mount namespace of a process, at whose root an absolute path begins, with the caller's privileges. */
int ocirt_open_tree_of(int pidfd, const char *path, uint32_t flags);

/* Sets MOUNT_ATTR_* on the mount at path in the mount namespace of a process, on all below it too with recursive; path as in the
 * previous one: mount_setattr(2). -EINVAL where nothing is mounted. */
int ocirt_set_attributes_of(int pidfd, const char *path, uint64_t set, int recursive);

/* A new filesystem: fsopen(2); fsconfig(2) with FSCONFIG_SET_FLAG for an option without a value (NULL), else with
 * FSCONFIG_SET_STRING; and last FSCONFIG_CMD_CREATE with fsmount(2), whose attributes are MOUNT_ATTR_* (Linux 5.2). */
int ocirt_fs_open(const char *type);
int ocirt_fs_set(int fs_fd, const char *key, const char *value);
int ocirt_fs_mount(int fs_fd, uint64_t attributes);

/* A descriptor of a new user namespace with these maps, in the form of /proc/PID/uid_map; nobody is in it. */
int ocirt_user_namespace(const char *uid_map, const char *gid_map);

/* MOUNT_ATTR_IDMAP on a detached mount, or on the whole tree: mount_setattr(2), Linux 5.12. */
int ocirt_set_id_map(int mount_fd, int user_namespace_fd, int recursive);

/* Another descriptor of a directory, through a read-only mount of its own: nothing above it can be reached from there, and nothing
 * in it be written. -EPERM without the privilege to clone mounts. */
int ocirt_isolate_directory(int dir_fd);

/* A SOCK_SEQPACKET socket that listens at path, or that is connected to it. path must fit into sun_path. */
int ocirt_listen(const char *path);
int ocirt_connect(const char *path);

/* Connects to a SOCK_STREAM socket (a console or pidfd socket of an engine, a seccomp agent). Connecting and sending give up
 * after a minute with -EAGAIN. */
int ocirt_connect_stream(const char *path);

/* Sends a descriptor over a stream socket with the bytes of text; receives one, with -EBADMSG when there is none. */
int ocirt_send_fd(int socket_fd, int fd, const char *text);
int ocirt_receive_fd(int socket_fd);

/* setns(2) of the calling thread. */
int ocirt_setns(int fd, uint64_t namespaces);

/* umount2(2) with MNT_DETACH and UMOUNT_NOFOLLOW, in a mount namespace or, with -1, in the caller's. */
int ocirt_unmount(int namespace_fd, const char *path);

/* PR_SET_CHILD_SUBREAPER of the calling process, prctl(2). */
int ocirt_set_subreaper(int on);

/* Whether fd is open and was handed to this process on purpose, that is without close-on-exec. */
int ocirt_is_inherited(int fd);

/* Takes an exclusive lock with flock(2), waiting for it. */
int ocirt_lock(int fd);

/* Whether somebody else holds that lock. */
int ocirt_is_locked(int fd);

/* A copy of a descriptor of another process: pidfd_getfd(2), Linux 5.6. */
int ocirt_pidfd_getfd(int pidfd, int target_fd);

/* pidfd_send_signal(2), Linux 5.1. */
int ocirt_pidfd_signal(int pidfd, int signal);

/* Waits until a descriptor is readable (a pidfd: until the process has ended). Returns 1, or 0 after timeout_ms. */
int ocirt_wait_readable(int fd, int timeout_ms);

/* Writes a file of procfs or cgroupfs in one write(2): a short write is -EIO. */
int ocirt_write_file(int dir_fd, const char *path, const char *text, uint64_t size);

#endif
