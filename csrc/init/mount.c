/* SPDX-License-Identifier: Apache-2.0
 *
 * Mounts: made or cloned as detached trees, given their attributes while nobody can see them, attached last (Linux 5.12).
 */
#include "init.h"

#define LONG_VALUE 255 /* FSCONFIG_SET_STRING takes no more (fs/fsopen.c) */
#define ROOT_LABEL "security.selinux="
#define MAY_HAVE_COMMAS "context=" /* at the end of each option for a label, whose categories have commas */

/* A filesystem says more than an errno; what it says is fetched for the report. */
static void read_filesystem_log(struct init *init, int fs_fd)
{
	long size = sys_read(fs_fd, init->text, sizeof init->text - 1);

	init->text[size > 0 ? size : 0] = '\0';
}

static int configure(struct init *init, int fs_fd, const char *option)
{
	char key[64];
	const char *equals = strchr(option, '=');
	int ret;

	if (!equals) {
		ret = (int)SYS(__NR_fsconfig, fs_fd, FSCONFIG_SET_FLAG, option, NULL, 0);
	} else {
		size_t size = (size_t)(equals - option);
		if (size >= sizeof key)
			return -EINVAL;
		memcpy(key, option, size);
		key[size] = '\0';
		ret = (int)SYS(__NR_fsconfig, fs_fd, FSCONFIG_SET_STRING, key, equals + 1, 0);
	}
	if (ret < 0)
		read_filesystem_log(init, fs_fd);
	return ret;
}

/* Without mode= a tmpfs gets the mode of the directory that it covers, as runc does. */
static int configure_mode(struct init *init, int fs_fd, int target_fd)
{
	char option[] = "mode=00000";
	struct stat st;
	int ret = (int)sys_fstat(target_fd, &st);

	if (ret < 0)
		return ret;
	for (int i = 0; i < 5; i++)
		option[9 - i] = (char)('0' + ((st.st_mode & 07777) >> (3 * i) & 7));
	return configure(init, fs_fd, option);
}

static int is_root_label(const char *option)
{
	return strncmp(option, ROOT_LABEL, sizeof ROOT_LABEL - 1) == 0;
}

/* For a filesystem that does not know the option context= (mqueue): the label is an attribute of its root. */
static int label_root(int mount_fd, const char *label)
{
	cleanup_close int fd = (int)sys_openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	return fd < 0 ? fd : (int)SYS(__NR_fsetxattr, fd, "security.selinux", label, strlen(label), 0);
}

static int make_filesystem(struct init *init, const struct ocirt_op *op, int target_fd, int inherit_mode,
			   int *ret_mount_fd)
{
	const char *options = op_data(init, op), *end = options + op->data_size, *label = NULL;
	cleanup_close int fs_fd = (int)SYS(__NR_fsopen, op_text(init, op), FSOPEN_CLOEXEC);
	long ret;

	if (fs_fd < 0)
		return fs_fd;
	ret = SYS(__NR_fsconfig, fs_fd, FSCONFIG_SET_STRING, "source", options, 0);
	if (ret < 0)
		return (int)ret;
	if (inherit_mode) {
		ret = configure_mode(init, fs_fd, target_fd);
		if (ret < 0)
			return (int)ret;
	}
	for (options += strlen(options) + 1; options < end; options += strlen(options) + 1) {
		if (is_root_label(options)) {
			label = options + sizeof ROOT_LABEL - 1;
			continue;
		}
		ret = configure(init, fs_fd, options);
		if (ret < 0)
			return (int)ret;
	}
	ret = SYS(__NR_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (ret < 0) {
		read_filesystem_log(init, fs_fd);
		return (int)ret;
	}
	ret = SYS(__NR_fsmount, fs_fd, FSMOUNT_CLOEXEC, op->a);
	if (ret < 0)
		return (int)ret;
	*ret_mount_fd = (int)ret;
	return label ? label_root(*ret_mount_fd, label) : 0;
}

static int has_long_value(const char *options, const char *end)
{
	for (; options < end; options += strlen(options) + 1) {
		const char *equals = strchr(options, '=');
		if (strlen(equals ? equals + 1 : options) > LONG_VALUE)
			return 1;
	}
	return 0;
}

/* What mount(2) calls the attributes of a mount; those that are missing have the same value. */
static unsigned long to_mount_flags(uint64_t attributes)
{
	unsigned long flags =
		attributes & (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

	if ((attributes & MOUNT_ATTR__ATIME) == MOUNT_ATTR_NOATIME)
		flags |= MS_NOATIME;
	if ((attributes & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME)
		flags |= MS_STRICTATIME;
	if (attributes & MOUNT_ATTR_NODIRATIME)
		flags |= MS_NODIRATIME;
	if (attributes & MOUNT_ATTR_NOSYMFOLLOW)
		flags |= MS_NOSYMFOLLOW;
	return flags;
}

/* Adds an option to those of mount(2), in quotes where its value may have commas (security_sb_eat_lsm_opts). */
static int append_option(char options[PATH_SIZE], size_t *used, const char *option)
{
	const char *equals = strchr(option, '='), *value = equals ? equals + 1 : option + strlen(option);
	size_t head = (size_t)(value - option), size = strlen(value), suffix = sizeof MAY_HAVE_COMMAS - 1;
	int quoted = head >= suffix && strncmp(value - suffix, MAY_HAVE_COMMAS, suffix) == 0;

	if (*used + head + size + 4 > PATH_SIZE)
		return -E2BIG;
	if (*used)
		options[(*used)++] = ',';
	memcpy(options + *used, option, head);
	*used += head;
	if (quoted)
		options[(*used)++] = '"';
	memcpy(options + *used, value, size);
	*used += size;
	if (quoted)
		options[(*used)++] = '"';
	options[*used] = '\0';
	return 0;
}

/* mount(2) for the options that fsconfig(2) is too narrow for, such as the lower directories of an overlay. The target is still
 * the descriptor: /proc here is the host's. The attributes come with the mount, which cannot be found again without a path. */
static int mount_with_long_options(struct init *init, const struct ocirt_op *op, int target_fd)
{
	const char *source = op_data(init, op), *option = source + strlen(source) + 1, *end = source + op->data_size;
	char target[] = "/proc/self/fd/0000000000", options[PATH_SIZE];
	cleanup_close int proc_fd =
		(int)sys_openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	char *from = target + 14, *to = target + 14;
	size_t used = 0;
	int ret;

	if (proc_fd < 0)
		return proc_fd;
	if (is_on_procfs(proc_fd) != 1)
		return -ENODEV;
	for (int i = 0; i < 10; i++, target_fd /= 10)
		target[sizeof target - 2 - (size_t)i] = (char)('0' + target_fd % 10);
	/* The link is a plain number: leading zeros go. */
	while (*from == '0' && from[1])
		from++;
	while ((*to++ = *from++))
		;
	options[0] = '\0';
	for (; option < end; option += strlen(option) + 1) {
		ret = append_option(options, &used, option);
		if (ret < 0)
			return ret;
	}
	return (int)sys_mount(source, target, op_text(init, op), to_mount_flags(op->a), options);
}

/* What is mounted over the root itself would be out of sight: the root that the program gets is the mount below. */
static int is_root(const struct init *init, int fd)
{
	struct statx root, other;
	int ret = (int)SYS(__NR_statx, init->root_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &root);

	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &other);
	if (ret < 0)
		return ret;
	return root.stx_ino == other.stx_ino && root.stx_mnt_id == other.stx_mnt_id;
}

static int fd_is_directory(int fd)
{
	struct stat st;

	return sys_fstat(fd, &st) == 0 && S_ISDIR_(st.st_mode);
}

int mount_attach(struct init *init, int mount_fd, int target_fd, uint64_t propagation)
{
	static const uint64_t flags[] = {
		[OCIRT_PROPAGATION_PRIVATE] = MS_PRIVATE,
		[OCIRT_PROPAGATION_SLAVE] = MS_SLAVE,
		[OCIRT_PROPAGATION_SHARED] = MS_SHARED,
		[OCIRT_PROPAGATION_UNBINDABLE] = MS_UNBINDABLE,
	};
	int ret;

	for (; propagation & 7; propagation >>= 4) {
		struct mount_attr attr = { 0 };
		if ((propagation & 7) > OCIRT_PROPAGATION_UNBINDABLE)
			return -EINVAL;
		attr.propagation = flags[propagation & 7];
		ret = (int)sys_mount_setattr(mount_fd, propagation & OCIRT_PROPAGATION_RECURSIVE ? AT_RECURSIVE : 0,
					     &attr);
		if (ret < 0)
			return ret;
	}
	ret = is_root(init, target_fd);
	if (ret > 0)
		ret = -EBUSY;
	else if (ret == 0)
		ret = (int)sys_move_mount(mount_fd, target_fd);
	/* mount(2) says it better, and engines look for its words. */
	if (ret == -EINVAL && fd_is_directory(mount_fd) != fd_is_directory(target_fd))
		ret = -ENOTDIR;
	if (ret < 0)
		init->detail = OCIRT_DETAIL_TARGET;
	return ret;
}

/* Opens or makes the target. A mount over a part of /proc would fake what the runtime itself and every tool rely on
 * (CVE-2019-16884), and the way to /proc or /sys may hold no link (CVE-2019-19921, CVE-2023-28642). */
static int open_target(struct init *init, const struct ocirt_op *op, int is_directory, int *ret_fd)
{
	uint64_t resolve = op->flags & OCIRT_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0;
	int ret = -ENOENT;

	if (op->flags & OCIRT_TARGET_LINK)
		ret = rootfs_open(init, op_path(init, op), O_PATH | O_NOFOLLOW, resolve, ret_fd);
	if (ret == -ENOENT)
		ret = rootfs_make_target(init, op_path(init, op), is_directory, resolve, ret_fd);
	if (ret < 0) {
		init->detail = OCIRT_DETAIL_TARGET;
		return ret;
	}
	if (op->flags & OCIRT_ON_PROCFS)
		return 0;
	ret = is_on_procfs(*ret_fd);
	if (ret > 0) {
		init->detail = OCIRT_DETAIL_PROCFS;
		return -EPERM;
	}
	return ret;
}

int op_mount(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int target_fd = -1, mount_fd = -1, existing_fd = -1;
	int inherit_mode, ret;

	if (!op->data_size || op_data(init, op)[op->data_size - 1] != '\0')
		return -EBADMSG;
	inherit_mode =
		op->flags & OCIRT_INHERIT_MODE && rootfs_open(init, op_path(init, op), O_PATH, 0, &existing_fd) == 0;
	ret = open_target(init, op, 1, &target_fd);
	if (ret < 0)
		return ret;
	if (has_long_value(op_data(init, op), op_data(init, op) + op->data_size) && !init->is_joined)
		return mount_with_long_options(init, op, target_fd);
	ret = make_filesystem(init, op, target_fd, inherit_mode, &mount_fd);
	if (ret < 0)
		return ret;
	if (op->flags & OCIRT_COPY_UP) {
		ret = copy_up(target_fd, mount_fd);
		if (ret < 0)
			return ret;
	}
	return mount_attach(init, mount_fd, target_fd, op->c);
}

static int set_attributes(int mount_fd, unsigned at_flags, uint32_t set, uint32_t clear)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };

	return set || clear ? (int)sys_mount_setattr(mount_fd, at_flags, &attr) : 0;
}

/* Makes the link that fd is at the target; what is there must be the same link. */
static int copy_link(const struct init *init, const struct ocirt_op *op, int fd)
{
	cleanup_close int parent_fd = -1;
	char wanted[PATH_SIZE], found[PATH_SIZE];
	const char *name;
	long size = SYS(__NR_readlinkat, fd, "", wanted, sizeof wanted - 1), found_size;
	int ret = rootfs_open_parent(init, op_path(init, op), 0, &parent_fd, &name);

	if (size < 0)
		return (int)size;
	if (ret < 0)
		return ret;
	wanted[size] = '\0';
	ret = (int)SYS(__NR_symlinkat, wanted, parent_fd, name);
	if (ret != -EEXIST)
		return ret;
	found_size = SYS(__NR_readlinkat, parent_fd, name, found, sizeof found);
	return found_size == size && memcmp(found, wanted, (size_t)size) == 0 ? 0 : -EEXIST;
}

/* What mount(8) does on a bind with options: those that are not named go, apart from the access times. Some may be locked by
 * another user namespace (mount_namespaces(7)), and then all stay. */
static int set_bind_attributes(const struct ocirt_op *op, int tree_fd)
{
	const uint32_t all =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
	uint32_t set = (uint32_t)op->a, clear = (uint32_t)op->b;
	int ret;

	if (op->flags & OCIRT_CLEAR_OTHERS) {
		ret = set_attributes(tree_fd, 0, set, clear | (all & ~(uint32_t)(op->a | op->a >> 32)));
		if (ret != -EPERM)
			return ret;
	}
	return set_attributes(tree_fd, 0, set, clear);
}

/* Attributes stand in a and b: those of the mount itself in the low half, those of the whole tree in the high half. */
int op_bind(struct init *init, const struct ocirt_op *op)
{
	unsigned flags = (op->flags & OCIRT_RECURSIVE ? AT_RECURSIVE : 0) |
			 (op->flags & OCIRT_SOURCE_LINK ? AT_SYMLINK_NOFOLLOW : 0);
	cleanup_close int tree_fd = -1, target_fd = -1;
	struct stat st;
	int ret;

	if (op->slot != OCIRT_NO_SLOT) {
		ret = channel_slot(init, op->slot, &tree_fd);
	} else {
		ret = (int)sys_open_tree(AT_FDCWD, op_text(init, op), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
		tree_fd = ret;
		init->detail = OCIRT_DETAIL_SOURCE;
	}
	if (ret < 0)
		return ret;
	init->detail = OCIRT_DETAIL_NONE;
	ret = (int)sys_fstat(tree_fd, &st);
	if (ret < 0)
		return ret;
	if (op->flags & OCIRT_FROM_PROCFS) {
		ret = is_on_procfs(tree_fd);
		if (ret == 0) {
			init->detail = OCIRT_DETAIL_FROM_PROCFS;
			return -EINVAL;
		}
		if (ret < 0)
			return ret;
	}
	if (S_ISLNK_(st.st_mode) && op->flags & OCIRT_COPY_LINK)
		return copy_link(init, op, tree_fd);
	ret = open_target(init, op, S_ISDIR_(st.st_mode), &target_fd);
	if (ret < 0)
		return ret;
	ret = set_bind_attributes(op, tree_fd);
	if (ret < 0)
		return ret;
	/* Last, so that "rro,rw" is read-only, as with runc and crun. */
	ret = set_attributes(tree_fd, AT_RECURSIVE, (uint32_t)(op->a >> 32), (uint32_t)(op->b >> 32));
	if (ret < 0)
		return ret;
	return mount_attach(init, tree_fd, target_fd, op->c);
}

int op_mount_readonly(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;
	int ret = rootfs_open(init, op_path(init, op), O_PATH, 0, &fd);

	return ret < 0 ? ret : set_attributes(fd, 0, MOUNT_ATTR_RDONLY, 0);
}

/* Covers the target with a read-only clone of the mounts at from_fd. */
static int attach_readonly(struct init *init, int from_fd, unsigned at_flags, int target_fd)
{
	cleanup_close int tree_fd =
		(int)sys_open_tree(from_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | at_flags);
	int ret = tree_fd < 0 ? tree_fd : set_attributes(tree_fd, 0, MOUNT_ATTR_RDONLY, 0);

	return ret < 0 ? ret : mount_attach(init, tree_fd, target_fd, 0);
}

/* A missing path has nothing to protect. */
static int open_existing(struct init *init, const struct ocirt_op *op, int *ret_fd)
{
	int ret = rootfs_open(init, op_path(init, op), O_PATH, 0, ret_fd);

	return ret == -ENOENT || ret == -ENOTDIR ? 0 : ret;
}

int op_readonly_path(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int target_fd = -1;
	int ret = open_existing(init, op, &target_fd);

	if (ret < 0 || target_fd < 0)
		return ret;
	ret = is_root(init, target_fd);
	if (ret)
		return ret < 0 ? ret : set_attributes(target_fd, 0, MOUNT_ATTR_RDONLY, 0);
	return attach_readonly(init, target_fd, AT_RECURSIVE, target_fd);
}

/* The host's /dev/null, and really the null device: the container's could be anything (CVE-2025-31133). */
static int open_null(struct init *init)
{
	struct stat st;
	int ret;

	if (init->null_fd >= 0)
		return 0;
	ret = (int)sys_openat(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (ret < 0)
		return ret;
	init->null_fd = ret;
	ret = (int)sys_fstat(init->null_fd, &st);
	if (ret < 0)
		return ret;
	return S_ISCHR_(st.st_mode) && st.st_rdev == (1 << 8 | 3) ? 0 : -ENODEV;
}

static int mask_file(struct init *init, int target_fd)
{
	int ret = open_null(init);

	/* A device can be written through a read-only mount, but its inode, which is the host's, cannot be changed. */
	return ret < 0 ? ret : attach_readonly(init, init->null_fd, 0, target_fd);
}

/* All directories that are covered share one empty read-only tmpfs: the first is the filesystem, the others are clones of its
 * mount. */
int mount_empty_directory(struct init *init, const char *option, int target_fd)
{
	cleanup_close int fs_fd = -1, tree_fd = -1;
	int ret;

	if (init->mask_fd >= 0) {
		tree_fd = (int)sys_open_tree(init->mask_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
		return tree_fd < 0 ? tree_fd : mount_attach(init, tree_fd, target_fd, 0);
	}
	fs_fd = (int)SYS(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs_fd < 0)
		return fs_fd;
	ret = configure(init, fs_fd, "nr_inodes=2");
	if (ret == 0 && *option)
		ret = configure(init, fs_fd, option);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (ret < 0)
		return ret;
	tree_fd = (int)SYS(__NR_fsmount, fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	if (tree_fd < 0)
		return tree_fd;
	ret = mount_attach(init, tree_fd, target_fd, 0);
	if (ret < 0)
		return ret;
	init->mask_fd = take_fd(&tree_fd);
	return 0;
}

int op_mask_path(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int target_fd = -1;
	struct stat st;
	int ret = open_existing(init, op, &target_fd);

	if (ret < 0 || target_fd < 0)
		return ret;
	ret = (int)sys_fstat(target_fd, &st);
	if (ret < 0)
		return ret;
	return S_ISDIR_(st.st_mode) ? mount_empty_directory(init, op_text(init, op), target_fd)
				    : mask_file(init, target_fd);
}
