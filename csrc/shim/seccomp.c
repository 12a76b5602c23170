/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions about seccomp that Python cannot ask by itself. Nothing here changes the calling process.
 */
#define _GNU_SOURCE /* dladdr */

#include "seccomp.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int ocirt_seccomp_flags_supported(unsigned int flags)
{
	/* The kernel checks the flags before it reads the program (seccomp_set_mode_filter), so that a NULL program
	 * ends in EFAULT where it knows them all, and in EINVAL where not. */
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) == -1 && errno == EFAULT;
}

void ocirt_syscall_name(unsigned int arch, int number, char ret_name[64])
{
	char *name = seccomp_syscall_resolve_num_arch(arch, number);

	snprintf(ret_name, 64, "%s", name ? name : "");
	free(name);
}

const char *ocirt_libseccomp_path(void)
{
	Dl_info info;

	return dladdr((const void *)seccomp_init, &info) != 0 ? info.dli_fname : NULL;
}
