/* SPDX-License-Identifier: Apache-2.0
 *
 * The user's program: where it is, where it starts, what it is given, and why it could not be executed.
 */
#include "init.h"

#include <linux/elf.h>

enum { X_OK_ = 1, AT_EACCESS_ = 0x200, ST_NOEXEC_ = 8, ENVIRONMENT_LIMIT = 1 << 16 };

static int check_executable(const char *path)
{
	cleanup_close int fd = (int)sys_openat(AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
	struct stat st;
	int ret;

	if (fd < 0)
		return fd;
	ret = (int)sys_fstat(fd, &st);
	if (ret < 0)
		return ret;
	if (S_ISDIR_(st.st_mode))
		return -EISDIR;
	return (int)SYS(__NR_faccessat2, fd, "", X_OK_, AT_EACCESS_ | AT_EMPTY_PATH);
}

/* As execvp(3) searches: a directory without the file, or with a file that may not be executed, is passed over. */
static int search(const char *name, const char *search_path, char ret_program[PATH_SIZE])
{
	size_t name_size = strlen(name);
	int result = -ENOENT;

	while (*search_path) {
		size_t size = 0;
		while (search_path[size] && search_path[size] != ':')
			size++;
		if (size && size + 1 + name_size + 1 <= PATH_SIZE) {
			int ret;
			memcpy(ret_program, search_path, size);
			ret_program[size] = '/';
			memcpy(ret_program + size + 1, name, name_size + 1);
			ret = check_executable(ret_program);
			if (ret == 0)
				return 0;
			if (ret == -EACCES)
				result = ret;
		}
		search_path += size + (search_path[size] == ':');
	}
	return result;
}

static uint32_t explain(const char *path, int error);

static int look_up(struct init *init, const struct ocirt_op *op)
{
	const char *name = op_text(init, op);

	if (!*name)
		return -ENOENT;
	if (!strchr(name, '/'))
		return search(name, op_path(init, op), init->program);
	if (op->text_size >= sizeof init->program)
		return -ENAMETOOLONG;
	memcpy(init->program, name, op->text_size + 1);
	return check_executable(name);
}

int op_lookup(struct init *init, const struct ocirt_op *op)
{
	int ret = look_up(init, op);

	if (ret == -EACCES)
		init->detail = explain(init->program, ret);
	return ret;
}

/* Takes one line NAME:PASSWORD:UID:GID:GECOS:HOME:SHELL; copies HOME when UID is the one wanted. */
static int home_of_line(const char *line, size_t size, uint64_t uid, char *ret_home, size_t home_size)
{
	const char *fields[7] = { line };
	size_t count = 1;
	uint64_t number = 0;

	for (size_t i = 0; i < size && count < 7; i++)
		if (line[i] == ':')
			fields[count++] = line + i + 1;
	if (count < 6)
		return 0;
	if (fields[3] - fields[2] < 2 || fields[3] - fields[2] > 11)
		return 0;
	for (const char *digit = fields[2]; digit < fields[3] - 1; digit++) {
		if (*digit < '0' || *digit > '9')
			return 0;
		number = number * 10 + (uint64_t)(*digit - '0');
	}
	if (number != uid)
		return 0;
	size = (size_t)((count == 7 ? fields[6] - 1 : line + size) - fields[5]);
	if (!size || size >= home_size)
		return 0;
	memcpy(ret_home, fields[5], size);
	ret_home[size] = '\0';
	return 1;
}

/* The file is the image's: it may be a FIFO, endless, or no passwd file at all. */
int op_home(struct init *init, const struct ocirt_op *op)
{
	enum { SIZE_LIMIT = 1 << 20 };
	char buffer[4096];
	size_t used = 0, total = 0;
	char *home = init->home + 5;
	struct stat st;
	cleanup_close int fd =
		(int)sys_openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

	memcpy(init->home, "HOME=/", 7);
	if (fd < 0 || sys_fstat(fd, &st) < 0 || !S_ISREG_(st.st_mode))
		return 0;
	while (total < SIZE_LIMIT) {
		long size = sys_read(fd, buffer + used, sizeof buffer - used);
		size_t line = 0;

		if (size < 0)
			return 0;
		used += (size_t)size;
		total += (size_t)size;
		for (size_t i = 0; i < used; i++) {
			if (buffer[i] != '\n' && !(size == 0 && i + 1 == used))
				continue;
			if (home_of_line(buffer + line, (buffer[i] == '\n' ? i : used) - line, op->a, home, PATH_SIZE))
				return 0;
			line = i + 1;
		}
		if (size == 0)
			return 0;
		if (line == 0 && used == sizeof buffer)
			line = used; /* longer than any line that counts */
		used -= line;
		for (size_t i = 0; i < used; i++)
			buffer[i] = buffer[line + i];
	}
	return 0;
}

/* A directory that is reached through a leaked descriptor or /proc/self/fd lies outside the root, and the kernel says so in
 * getcwd(2): "(unreachable)" (CVE-2024-21626). */
static int verify_cwd(struct init *init)
{
	char cwd[PATH_SIZE];
	long size = SYS(__NR_getcwd, cwd, sizeof cwd);

	if (size == -ENOENT || (size > 0 && cwd[0] != '/')) {
		init->detail = OCIRT_DETAIL_UNREACHABLE;
		return -EPERM;
	}
	return size < 0 ? (int)size : 0;
}

/* First as root, since the container's user may be kept from a directory that the configuration names all the same; where
 * root is refused (a network filesystem), again as that user. */
int op_chdir(struct init *init, const struct ocirt_op *op)
{
	int ret;

	if (op->flags & OCIRT_RETRY) {
		if (!init->chdir_pending)
			return verify_cwd(init);
		init->chdir_pending = 0;
	}
	ret = (int)SYS(__NR_chdir, op_path(init, op));
	if ((ret == -EACCES || ret == -EPERM) && !(op->flags & OCIRT_RETRY)) {
		init->chdir_pending = 1;
		return 0;
	}
	return ret < 0 ? ret : verify_cwd(init);
}

static uint32_t explain_script(const char *head, size_t size, int error)
{
	char interpreter[PATH_SIZE];
	size_t start = 2, end;

	while (start < size && (head[start] == ' ' || head[start] == '\t'))
		start++;
	end = start;
	while (end < size && head[end] != '\n' && head[end] != ' ' && head[end] != '\t')
		end++;
	if (end > start && head[end - 1] == '\r')
		return OCIRT_DETAIL_CRLF;
	if (error != -ENOENT || end - start >= sizeof interpreter)
		return OCIRT_DETAIL_NONE;
	memcpy(interpreter, head + start, end - start);
	interpreter[end - start] = '\0';
	return SYS(__NR_faccessat, AT_FDCWD, interpreter, 0) == -ENOENT ? OCIRT_DETAIL_NO_INTERPRETER
									: OCIRT_DETAIL_NONE;
}

static uint32_t explain_elf(const char *head, size_t size, int error)
{
#if defined(__x86_64__)
	enum { MACHINE = 62, MACHINE_32 = 3 };
#else
	enum { MACHINE = 183, MACHINE_32 = 40 };
#endif
	uint16_t machine;

	if (size < 20)
		return OCIRT_DETAIL_NONE;
	memcpy(&machine, head + 18, sizeof machine);
	if (machine != MACHINE && machine != MACHINE_32)
		return OCIRT_DETAIL_ARCHITECTURE;
	return error == -ENOENT ? OCIRT_DETAIL_NO_INTERPRETER : OCIRT_DETAIL_NONE;
}

/* execve(2) has one errno for many causes; a look at the file tells them apart. */
static uint32_t explain(const char *path, int error)
{
	char head[512];
	struct statfs filesystem;
	long size;
	cleanup_close int fd = (int)sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0)
		return OCIRT_DETAIL_NONE;
	if (error == -EACCES && sys_fstatfs(fd, &filesystem) == 0 && (filesystem.f_flags & ST_NOEXEC_))
		return OCIRT_DETAIL_NOEXEC;
	size = sys_read(fd, head, sizeof head);
	if (size >= 2 && head[0] == '#' && head[1] == '!')
		return explain_script(head, (size_t)size, error);
	if (size >= 4 && !memcmp(head, ELFMAG, SELFMAG))
		return explain_elf(head, (size_t)size, error);
	return OCIRT_DETAIL_NONE;
}

static const char *vector[ENVIRONMENT_LIMIT];

/* argv and env lie one after the other; each becomes a vector of its own that ends in NULL. */
static int fill_vector(const struct init *init, const struct ocirt_op *op, const char ***ret_envp)
{
	const char *string = op_data(init, op), *end = string + op->data_size;
	uint64_t position = 0;

	if (op->a > ENVIRONMENT_LIMIT || op->b > ENVIRONMENT_LIMIT || op->a + op->b + 3 > ENVIRONMENT_LIMIT)
		return -E2BIG;
	if (!op->data_size || end[-1])
		return -EBADMSG;
	for (uint64_t i = 0; i < op->a + op->b; i++) {
		if (string >= end)
			return -EBADMSG;
		if (i == op->a)
			vector[position++] = NULL;
		vector[position++] = string;
		string += strlen(string) + 1;
	}
	if (op->b == 0)
		vector[position++] = NULL;
	*ret_envp = vector + op->a + 1;
	if (init->home[0])
		vector[position++] = init->home;
	vector[position] = NULL;
	return 0;
}

int op_execve(struct init *init, const struct ocirt_op *op)
{
	const char **envp;
	int ret = fill_vector(init, op, &envp);

	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_execve, init->program, vector, envp);
	init->detail = explain(init->program, ret);
	return ret;
}
