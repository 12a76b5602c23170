/* reveal TYPE TARGET: mounts a filesystem of that type in user, mount and PID namespaces of its own, as root there. Prints
 * "mounted", or "refused ERRNO". */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void become_root(void)
{
	static const char line[] = "0 0 1";
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, line, strlen(line)) < 0) {
		perror("/proc/self/uid_map");
		exit(99);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 3 || unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) < 0) {
		perror("unshare");
		return 99;
	}
	become_root();
	pid_t pid = fork();
	if (pid == 0) {
		if (mount("none", argv[2], argv[1], 0, NULL) < 0)
			printf("refused %d\n", errno);
		else
			printf("mounted\n");
		fflush(stdout);
		_exit(0);
	}
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 99;
}
