/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRT_CLONE_H
#define OCIRT_CLONE_H

#include <sys/types.h>

enum { CLONE_STACK_SIZE = 32 * 1024 };

/* A child that shares the memory of the runtime, with a stack of its own. Signals are blocked meanwhile: a handler of the
 * runtime must not run in the child, where it would work on the runtime's memory. Returns a pid or a negative errno; the
 * stack is the child's until it has ended. */
pid_t clone_sharing_memory(int (*child)(void *), void *argument, int flags, int *ret_pidfd, void **ret_stack);

#endif
