/* Commands about files, mounts and devices. */

#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* cat PATH: the content as a string, bytes as latin-1. */
static int cat(int argc, char **argv)
{
	(void)argc;
	static char content[1 << 20];
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		json_result(-1);
		return NEXT;
	}
	size_t size = 0;
	ssize_t got;
	while (size < sizeof(content) && (got = read(fd, content + size, sizeof(content) - size)) > 0)
		size += (size_t)got;
	if (size == 0 && got < 0)
		json_result(-1);
	else
		json_bytes(content, size);
	close(fd);
	return NEXT;
}

static int write_with(char **argv, int flags)
{
	int fd = open(argv[1], O_WRONLY | O_CLOEXEC | flags, 0666);
	if (fd < 0) {
		json_result(-1);
		return NEXT;
	}
	json_result(write(fd, argv[2], strlen(argv[2])));
	close(fd);
	return NEXT;
}

/* write-file PATH TEXT: makes or empties the file first. */
static int write_file(int argc, char **argv)
{
	(void)argc;
	return write_with(argv, O_CREAT | O_TRUNC);
}

/* write PATH TEXT: into a file that is there, as /proc and /sys want it. */
static int write_into(int argc, char **argv)
{
	(void)argc;
	return write_with(argv, 0);
}

static int append(int argc, char **argv)
{
	(void)argc;
	return write_with(argv, O_CREAT | O_APPEND);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ls PATH: the sorted names. */
static int ls(int argc, char **argv)
{
	(void)argc;
	static char *names[65536];
	DIR *directory = opendir(argv[1]);
	if (!directory) {
		json_result(-1);
		return NEXT;
	}
	size_t count = 0;
	struct dirent *entry;
	while (count < 65536 && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			names[count++] = strdup(entry->d_name);
	closedir(directory);
	qsort(names, count, sizeof(names[0]), compare);
	json_open('[');
	for (size_t i = 0; i < count; i++)
		json_string(names[i]);
	json_close(']');
	return NEXT;
}

/* stat PATH: of the path itself, not of what a link leads to. */
static int show_stat(int argc, char **argv)
{
	(void)argc;
	struct stat status;
	if (lstat(argv[1], &status) < 0) {
		json_result(-1);
		return NEXT;
	}
	static const char *const types[16] = {
		[1] = "fifo", [2] = "char", [4] = "dir", [6] = "block", [8] = "file", [10] = "link", [12] = "socket"
	};
	const char *type = types[status.st_mode >> 12 & 15];
	json_open('{');
	json_text("type", type ? type : "?");
	json_pair("mode", status.st_mode & 07777);
	json_pair("uid", status.st_uid);
	json_pair("gid", status.st_gid);
	json_pair("size", status.st_size);
	json_pair("major", major(status.st_rdev));
	json_pair("minor", minor(status.st_rdev));
	json_close('}');
	return NEXT;
}

static int read_link(int argc, char **argv)
{
	(void)argc;
	char target[4096];
	ssize_t size = readlink(argv[1], target, sizeof(target));
	if (size < 0)
		json_result(-1);
	else
		json_bytes(target, (size_t)size);
	return NEXT;
}

static int make_directory(int argc, char **argv)
{
	json_result(mkdir(argv[1], argc > 2 ? (mode_t)number(argv[2]) : 0777));
	return NEXT;
}

static int remove_path(int argc, char **argv)
{
	(void)argc;
	json_result(remove(argv[1]));
	return NEXT;
}

/* open PATH [r|w|rw]: whether it can be opened. */
static int try_open(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "r";
	int flags = strcmp(how, "r") == 0 ? O_RDONLY : strcmp(how, "w") == 0 ? O_WRONLY : O_RDWR;
	int fd = open(argv[1], flags | O_CLOEXEC | O_NONBLOCK);
	json_result(fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
	return NEXT;
}

static int show_statfs(int argc, char **argv)
{
	(void)argc;
	struct statfs status;
	if (statfs(argv[1], &status) < 0) {
		json_result(-1);
		return NEXT;
	}
	json_open('{');
	json_key("type");
	json_hex((unsigned long long)status.f_type);
	json_key("flags");
	json_unsigned((unsigned long long)status.f_flags);
	json_key("bytes");
	json_unsigned((unsigned long long)status.f_blocks * (unsigned long long)status.f_bsize);
	json_close('}');
	return NEXT;
}

/* mknod PATH c|b|p MAJOR MINOR */
static int make_node(int argc, char **argv)
{
	(void)argc;
	mode_t type = *argv[2] == 'c' ? S_IFCHR : *argv[2] == 'b' ? S_IFBLK : S_IFIFO;
	json_result(mknod(argv[1], type | 0666, makedev((unsigned)number(argv[3]), (unsigned)number(argv[4]))));
	return NEXT;
}

/* mount SOURCE TARGET TYPE FLAGS */
static int try_mount(int argc, char **argv)
{
	(void)argc;
	json_result(mount(argv[1], argv[2], argv[3], (unsigned long)number(argv[4]), NULL));
	return NEXT;
}

static int try_umount(int argc, char **argv)
{
	(void)argc;
	json_result(umount2(argv[1], MNT_DETACH));
	return NEXT;
}

static int change_owner(int argc, char **argv)
{
	(void)argc;
	json_result(lchown(argv[1], (uid_t)number(argv[2]), (gid_t)number(argv[3])));
	return NEXT;
}

static int change_mode(int argc, char **argv)
{
	(void)argc;
	json_result(chmod(argv[1], (mode_t)number(argv[2])));
	return NEXT;
}

static int make_link(int argc, char **argv)
{
	(void)argc;
	json_result(symlink(argv[1], argv[2]));
	return NEXT;
}

static int change_root(int argc, char **argv)
{
	(void)argc;
	json_result(chroot(argv[1]));
	return NEXT;
}

static int change_directory(int argc, char **argv)
{
	(void)argc;
	json_result(chdir(argv[1]));
	return NEXT;
}

const struct command file_commands[] = {
	{ "cat", 1, cat },
	{ "write-file", 2, write_file },
	{ "write", 2, write_into },
	{ "append", 2, append },
	{ "ls", 1, ls },
	{ "stat", 1, show_stat },
	{ "readlink", 1, read_link },
	{ "mkdir", 1, make_directory },
	{ "remove", 1, remove_path },
	{ "open", 1, try_open },
	{ "statfs", 1, show_statfs },
	{ "mknod", 4, make_node },
	{ "mount", 4, try_mount },
	{ "umount", 1, try_umount },
	{ "chown", 3, change_owner },
	{ "chmod", 2, change_mode },
	{ "symlink", 2, make_link },
	{ "chroot", 1, change_root },
	{ "chdir", 1, change_directory },
	{ NULL, 0, NULL },
};
