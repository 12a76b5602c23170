/* SPDX-License-Identifier: Apache-2.0
 *
 * How the command and ocirt-python call each other: the words behind argv[0] when ocirt-python is executed, with those
 * of the user behind them, and the argv[0] that the command is tried with. */
#ifndef OCIRT_CALL_H
#define OCIRT_CALL_H

#define CALL_MARK "--for-the-command-ocirt"
#define CALL_START "start"                   /* Python, and run the command */
#define CALL_MAKE_AND_START "make and start" /* the same, but first make a snapshot for the next */
#define CALL_MAKE "make"                     /* write this process to the descriptor MAKER_FD */
#define CALL_TRIAL "ocirt: try the unfinished snapshot"

enum { CALL_WORDS = 3 }; /* the mark, the purpose, the path of the command */

#endif
