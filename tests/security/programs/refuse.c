/* refuse ERRNO NUMBER... -- COMMAND [ARGUMENT...]: executes the command where these system calls fail with ERRNO, as
 * under the filter of an engine that the runtime is started in. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter filter[64] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	unsigned short length = 1;
	int i = 2;
	for (; i < argc && strcmp(argv[i], "--") != 0 && length < 60; i++) {
		struct sock_filter test = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(argv[i]), 0, 1);
		struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)atoi(argv[1]));
		filter[length++] = test;
		filter[length++] = refuse;
	}
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[length++] = allow;
	struct sock_fprog program = { length, filter };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
		perror("seccomp");
		return 99;
	}
	execv(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 99;
}
