/* SPDX-License-Identifier: Apache-2.0
 *
 * Mounts that the runtime makes or clones for the init, and the user namespaces that map their ids.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clone.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1U
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

int ocirt_open_tree(int dir_fd, const char *path, uint32_t flags)
{
	int fd = (int)syscall(SYS_open_tree, dir_fd, path, flags);

	return fd < 0 ? -errno : fd;
}

/* mount_setattr(2). */
static int set_attributes(int dir_fd, const char *path, unsigned flags, uint64_t set)
{
	/* struct mount_attr of <linux/mount.h>, which cannot be included beside the C library's <sys/mount.h>. */
	struct {
		uint64_t set, clear, propagation, userns_fd;
	} attr = { .set = set };

	return syscall(SYS_mount_setattr, dir_fd, path, flags, &attr, sizeof attr) < 0 ? -errno : 0;
}

int ocirt_isolate_directory(int dir_fd)
{
	int fd = ocirt_open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	int ret;

	if (fd < 0)
		return fd;
	ret = set_attributes(fd, "", AT_EMPTY_PATH, 1 /* MOUNT_ATTR_RDONLY */);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

/* Of the child's own is the file system context, which setns(2) changes; the memory and the descriptors are the runtime's, so
 * a new descriptor is, too. */
static int run_in_child(int function(void *), void *argument)
{
	void *stack = NULL;
	/* Without an exit signal: a program that hosts the runtime hears of no child that it does not know. */
	pid_t pid = clone_sharing_memory(function, argument, CLONE_VFORK | CLONE_FILES, NULL, &stack);

	if (pid < 0)
		return pid;
	(void)waitpid(pid, NULL, __WALL);
	munmap(stack, CLONE_STACK_SIZE);
	return 0;
}

struct tree {
	int pidfd;
	const char *path;
	uint32_t flags;
	int result;
};

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
	int ret = run_in_child(open_tree_child, &tree);

	return ret < 0 ? ret : tree.result;
}

struct attributes {
	int pidfd;
	const char *path;
	uint64_t set;
	unsigned flags;
	int result;
};

static int set_attributes_child(void *argument)
{
	struct attributes *attributes = argument;

	attributes->result = setns(attributes->pidfd, CLONE_NEWNS) < 0
				     ? -errno
				     : set_attributes(AT_FDCWD, attributes->path, attributes->flags, attributes->set);
	_exit(0);
}

int ocirt_set_attributes_of(int pidfd, const char *path, uint64_t set, int recursive)
{
	struct attributes attributes = { pidfd, path, set, recursive ? AT_RECURSIVE : 0, 0 };
	int ret = run_in_child(set_attributes_child, &attributes);

	return ret < 0 ? ret : attributes.result;
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
	munmap(stack, CLONE_STACK_SIZE);
	return ret;
}

int ocirt_set_id_map(int mount_fd, int user_namespace_fd, int recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace_fd };
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	return syscall(SYS_mount_setattr, mount_fd, "", flags, &attr, sizeof attr) < 0 ? -errno : 0;
}

struct unmount {
	int namespace_fd;
	const char *path;
	int result;
};

static int unmount_child(void *argument)
{
	struct unmount *unmount = argument;

	if (setns(unmount->namespace_fd, CLONE_NEWNS) < 0 || umount2(unmount->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		unmount->result = -errno;
	_exit(0);
}

int ocirt_unmount(int namespace_fd, const char *path)
{
	struct unmount unmount = { namespace_fd, path, 0 };
	int ret;

	if (namespace_fd < 0)
		return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	ret = run_in_child(unmount_child, &unmount);
	return ret < 0 ? ret : unmount.result;
}
