/* SPDX-License-Identifier: Apache-2.0
 *
 * What ocirt/seccomp_compiler.py calls: libseccomp, whose functions build_seccomp.py declares, and two questions that
 * neither the library nor Python can answer. The C compiler includes this file and cffi reads its declarations.
 */
#ifndef OCIRT_SECCOMP_H
#define OCIRT_SECCOMP_H

#if defined(__has_include) && !__has_include(<seccomp.h>)
#error "seccomp.h is missing: install libseccomp-dev (Debian, Ubuntu, Alpine) or libseccomp-devel (Fedora, SUSE)"
#else
#include <seccomp.h>
#endif

#if SCMP_VER_MAJOR < 2 || (SCMP_VER_MAJOR == 2 && SCMP_VER_MINOR < 5)
#error "libseccomp is too old: 2.5.0 or newer is needed, for SCMP_ACT_NOTIFY and the binary tree"
#endif

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19, the headers may be older */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* 1 when seccomp(2) of this kernel takes the SECCOMP_FILTER_FLAG_* of flags together, else 0. Installs nothing. */
int ocirt_seccomp_flags_supported(unsigned int flags);

/* The name of a system call on an architecture (AUDIT_ARCH_*, SCMP_ARCH_X32), or "" where the library knows none. */
void ocirt_syscall_name(unsigned int arch, int number, char ret_name[64]);

/* The file that libseccomp was loaded from, as the dynamic linker names it, or NULL. Valid until the process ends. */
const char *ocirt_libseccomp_path(void);

#endif
