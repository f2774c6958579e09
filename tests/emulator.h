/* SPDX-License-Identifier: MIT */
/*
 * Under an emulator of processors (qemu-user), System V shared memory is not quite
 * itself. What the emulator gets wrong is put right here, so that the tests see the
 * library and not the emulator; each with its reason.
 */
#ifndef UNISHM_TESTS_EMULATOR_H
#define UNISHM_TESTS_EMULATOR_H

/* What emulates the processor, from scripts/cross: the command that runs a program
 * of it. NULL if nothing does. */
const char *emulator(void);

/* Put it right in the table of system calls, if there is one. */
void emulator_correct(void);

#endif
