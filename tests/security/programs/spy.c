/* spy MARK PATH [exe]: a hostile program that looks at every other process of its PID namespace, again and again, until it is killed.
 *
 * It prints a line "KIND TARGET" for each thing that it has not seen before:
 *
 *     exe, cwd, root, fd, map_files   where a link leads to
 *     maps                            a file that is mapped
 *     environ                         a variable
 *     read                            a way on which PATH, a file of the host, was found to begin with MARK
 *     write                           where an exe leads to that could be opened for writing
 *
 * "ready" is printed when everything was looked at once. */

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *mark, *marked_path;

static void say(const char *kind, const char *text)
{
	static unsigned long seen[1 << 14];
	unsigned long hash = 1469598103934665603UL;
	for (const char *part = kind; *part; part++)
		hash = (hash ^ (unsigned char)*part) * 1099511628211UL;
	for (const char *part = text; *part; part++)
		hash = (hash ^ (unsigned char)*part) * 1099511628211UL;
	for (size_t i = hash % (1 << 14);; i = (i + 1) % (1 << 14)) {
		if (seen[i] == hash)
			return;
		if (seen[i] == 0) {
			seen[i] = hash;
			break;
		}
	}
	printf("%s %s\n", kind, text);
	fflush(stdout);
}

static void read_link(int process_fd, const char *kind, const char *path)
{
	char target[4096];
	ssize_t size = readlinkat(process_fd, path, target, sizeof(target) - 1);
	if (size < 0)
		return;
	target[size] = '\0';
	say(kind, target);
}

static void try_read(int process_fd, const char *way, const char *path)
{
	char full[8192], content[256] = "";
	snprintf(full, sizeof(full), "%s%s", path, marked_path);
	int fd = openat(process_fd, full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (read(fd, content, sizeof(content) - 1) > 0 && strncmp(content, mark, strlen(mark)) == 0)
		say("read", way);
	close(fd);
}

/* What is behind a directory: the host's root, or a procfs through which it can be reached. */
static void try_directory(int process_fd, const char *path)
{
	char way[512];
	const char *const ups[] = { "", "/..", "/../../../../../..", "/1/root", "/self/root", "/../proc/1/root" };
	for (size_t i = 0; i < sizeof(ups) / sizeof(ups[0]); i++) {
		snprintf(way, sizeof(way), "%s%s", path, ups[i]);
		try_read(process_fd, way, way);
	}
}

static void look_into(int process_fd, const char *name)
{
	int fd = openat(process_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory)
		return;
	struct dirent *entry;
	while ((entry = readdir(directory))) {
		char path[512];
		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);
		read_link(process_fd, name, path);
		if (strcmp(name, "fd") == 0)
			try_directory(process_fd, path);
	}
	closedir(directory);
}

static void read_words(int process_fd, const char *name, char separator)
{
	static char content[1 << 16];
	int fd = openat(process_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t size = read(fd, content, sizeof(content) - 1);
	close(fd);
	if (size <= 0)
		return;
	content[size] = '\0';
	for (char *line = content; line < content + size;) {
		char *end = memchr(line, separator, (size_t)(content + size - line));
		if (end)
			*end = '\0';
		/* Of a line of maps the path alone: addresses differ each time. */
		char *path = strcmp(name, "maps") == 0 ? strchr(line, '/') : line;
		if (path && *path)
			say(name, path);
		if (!end)
			break;
		line = end + 1;
	}
}

static void try_write(int process_fd)
{
	char target[4096] = "?";
	int fd = openat(process_fd, "exe", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (readlinkat(process_fd, "exe", target, sizeof(target) - 1) > 0)
		say("write", target);
	close(fd);
}

int main(int argc, char **argv)
{
	mark = argv[1];
	marked_path = argv[2];
	int wants_write = argc > 3;
	for (int round = 0;; round++) {
		DIR *proc = opendir("/proc");
		if (!proc)
			return 1;
		struct dirent *entry;
		while ((entry = readdir(proc))) {
			char path[64];
			if (*entry->d_name < '1' || *entry->d_name > '9' || atoi(entry->d_name) == getpid())
				continue;
			snprintf(path, sizeof(path), "/proc/%.20s", entry->d_name);
			int process_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (process_fd < 0)
				continue;
			read_link(process_fd, "exe", "exe");
			if (wants_write)
				try_write(process_fd);
			read_link(process_fd, "cwd", "cwd");
			read_link(process_fd, "root", "root");
			look_into(process_fd, "fd");
			look_into(process_fd, "map_files");
			read_words(process_fd, "maps", '\n');
			read_words(process_fd, "environ", '\0');
			try_directory(process_fd, "cwd");
			try_directory(process_fd, "root");
			close(process_fd);
		}
		closedir(proc);
		if (round == 0) {
			puts("ready");
			fflush(stdout);
		}
	}
}
