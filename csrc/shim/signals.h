/* SPDX-License-Identifier: Apache-2.0
 *
 * The signals of the calling thread. cffi reads this file: the body holds declarations only.
 */
#ifndef OCIRT_SIGNALS_H
#define OCIRT_SIGNALS_H

#include <stdint.h>

/* A descriptor from which ocirt_next_signal takes every signal that comes from now on, but for those that are about the calling
 * process itself and those that it ignores: nohup(1), and a background job of a shell without job control. */
int ocirt_take_signals(uint64_t *ret_mask_before);

/* The number of the next signal, 0 when there is none now. */
int ocirt_next_signal(int signal_fd);

/* Closes the descriptor; signals have their own dispositions again. */
int ocirt_release_signals(int signal_fd, uint64_t mask_before);

#endif
