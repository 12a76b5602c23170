/* tear_down PATH...: unmounts its root, goes to what the mount namespace has below it, and prints for each path the errno of
 * stat(2) there, 0 for success, one per line. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || umount2("/", MNT_DETACH) < 0 || setns(fd, CLONE_NEWNS) < 0) {
		perror(argv[0]);
		return 99;
	}
	for (int i = 1; i < argc; i++) {
		struct stat status;
		printf("%d\n", stat(argv[i], &status) < 0 ? errno : 0);
	}
	return 0;
}
