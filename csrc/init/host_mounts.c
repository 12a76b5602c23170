/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's mounts, where the container's root lies on top of the host's and has not taken its place (--no-pivot).
 *
 * Out of sight is not out of reach: while the namespace holds a procfs or a sysfs of which nothing is covered, the kernel lets
 * every user namespace in it mount another (mount_too_revealing in fs/namespace.c), without the container's masks.
 */
#include "init.h"

enum {
	WORD_SIZE = 24,
	ID_FIELD = 0,
	ROOT_FIELD = 3,
	POINT_FIELD = 4,
	FIRST_OPTIONAL_FIELD = 6,
};

/* What proc_pid_mountinfo(5) says of a mount. */
struct host_mount {
	char id[WORD_SIZE];
	char root[WORD_SIZE];
	char type[WORD_SIZE];
	char point[PATH_SIZE];
};

struct reader {
	int fd;
	size_t position, size;
	char buffer[PATH_SIZE];
};

/* Returns the next byte, -ENODATA at the end, or what else has failed. */
static int next_byte(struct reader *reader)
{
	if (reader->position == reader->size) {
		long size = sys_read(reader->fd, reader->buffer, sizeof reader->buffer);
		if (size <= 0)
			return size ? (int)size : -ENODATA;
		reader->size = (size_t)size;
		reader->position = 0;
	}
	return (unsigned char)reader->buffer[reader->position++];
}

/* Spaces and the like are written as a backslash and three octal digits. */
static int next_byte_unescaped(struct reader *reader, int *ret_is_escaped)
{
	int byte = next_byte(reader);

	*ret_is_escaped = byte == '\\';
	if (byte != '\\')
		return byte;
	byte = 0;
	for (int i = 0; i < 3; i++) {
		int digit = next_byte(reader);
		if (digit < 0)
			return digit;
		byte = byte * 8 + (digit - '0');
	}
	return byte & 0xff;
}

/* Reads a field; what does not fit is left out. Returns the byte behind it, a space or a newline. */
static int read_field(struct reader *reader, char *field, size_t field_size)
{
	size_t size = 0;

	for (;;) {
		int is_escaped, byte = next_byte_unescaped(reader, &is_escaped);
		if (byte < 0)
			return byte;
		if (!is_escaped && (byte == ' ' || byte == '\n')) {
			field[size] = '\0';
			return byte;
		}
		if (size + 1 < field_size)
			field[size++] = (char)byte;
	}
}

/* Returns -ENODATA behind the last. */
static int read_mount(struct reader *reader, struct host_mount *mount)
{
	int is_type = 0, end = ' ';

	mount->type[0] = '\0';
	for (int i = 0; end == ' '; i++) {
		char other[WORD_SIZE] = "";
		if (i == ID_FIELD)
			end = read_field(reader, mount->id, sizeof mount->id);
		else if (i == ROOT_FIELD)
			end = read_field(reader, mount->root, sizeof mount->root);
		else if (i == POINT_FIELD)
			end = read_field(reader, mount->point, sizeof mount->point);
		else if (is_type)
			end = read_field(reader, mount->type, sizeof mount->type);
		else
			end = read_field(reader, other, sizeof other);
		if (end < 0)
			return end;
		/* A hyphen ends the optional fields, and the type is next. */
		is_type = i >= FIRST_OPTIONAL_FIELD && !mount->type[0] && !strcmp(other, "-");
	}
	return 0;
}

static uint64_t to_number(const char *digits)
{
	uint64_t value = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		value = value * 10 + (uint64_t)(*digits - '0');
	return value;
}

/* Opens the mount where a path of the host leads to it: not one of the container's, which are above the host's root, and not one
 * that another covers. Returns whether it does. */
static int open_host_mount(const struct host_mount *mount, int *ret_fd)
{
	/* No server of a filesystem is asked. */
	unsigned flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx status;
	long ret;

	if (!strcmp(mount->point, "/"))
		return 0;
	ret = sys_openat(AT_FDCWD, mount->point, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (ret == -ENOENT || ret == -ENOTDIR || ret == -EACCES)
		return 0;
	if (ret < 0)
		return (int)ret;
	*ret_fd = (int)ret;
	ret = SYS(__NR_statx, *ret_fd, "", flags, STATX_MNT_ID, &status);
	return ret < 0 ? (int)ret : status.stx_mnt_id == to_number(mount->id);
}

/* What is done with a mount of the host; returns 1 where that has changed what paths lead to. */
typedef int visit_function(struct init *init, const struct host_mount *mount, int fd);

static int detach(struct init *init, const struct host_mount *mount, int fd)
{
	long ret = SYS(__NR_umount2, mount->point, 2 /* MNT_DETACH */ | 8 /* UMOUNT_NOFOLLOW */);

	(void)init;
	(void)fd;
	if (ret == 0)
		return 1;
	/* Locked, since the namespace is a copy of one that belongs to a user namespace with more privileges. */
	return ret == -EINVAL ? 0 : (int)ret;
}

/* What could not be detached hears of no further mounts of the host, and is no example to the kernel. */
static int cover(struct init *init, const struct host_mount *mount, int fd)
{
	int ret = (int)sys_mount(NULL, mount->point, NULL, MS_PRIVATE, NULL);

	if (ret < 0 || strcmp(mount->root, "/") || (strcmp(mount->type, "proc") && strcmp(mount->type, "sysfs")))
		return ret;
	return mount_empty_directory(init, "", fd);
}

static int visit_host_mounts(struct init *init, visit_function *visit)
{
	static struct reader reader; /* these are too large for the stack */
	static struct host_mount mount;
	cleanup_close int mountinfo_fd = -1;
	int changed = 0, ret = proc_open_file(init, "self/mountinfo", O_RDONLY, &mountinfo_fd);

	if (ret < 0)
		return ret;
	reader.fd = mountinfo_fd;
	reader.position = reader.size = 0;
	while ((ret = read_mount(&reader, &mount)) == 0) {
		cleanup_close int fd = -1;
		ret = open_host_mount(&mount, &fd);
		if (ret > 0)
			ret = visit(init, &mount, fd);
		if (ret < 0)
			return ret;
		changed |= ret;
	}
	return ret == -ENODATA ? changed : ret;
}

/* To be called while the root of this process is still the host's, under the container's. */
int detach_host_mounts(struct init *init)
{
	/* Nothing that the host mounts from now on arrives. */
	int ret = (int)sys_mount(NULL, "/", NULL, MS_PRIVATE, NULL);

	if (ret < 0)
		return ret;
	/* What others have covered comes to light when these are gone. */
	do
		ret = visit_host_mounts(init, detach);
	while (ret > 0);
	return ret < 0 ? ret : visit_host_mounts(init, cover);
}
