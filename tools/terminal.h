/* SPDX-License-Identifier: MIT */
/* A full screen on the terminal, given back as it was however the command ends. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <time.h>

enum event { EVENT_TIME, EVENT_KEY, EVENT_RESIZE, EVENT_END };

/* Note the signals that end or change the screen, instead of dying of them. */
void terminal_catch_signals(void);
/* Whether standard input and output are a terminal that can do this. */
bool terminal_is_usable(void);
/* Enter and leave the full screen. */
void terminal_enter(void);
void terminal_leave(void);
void terminal_size(int *rows, int *columns);
/* Wait until @until (CLOCK_MONOTONIC), a key, a new size, or SIGINT, SIGTERM, SIGHUP or SIGQUIT. A
 * SIGTSTP is dealt with inside: the terminal is given back while the command is stopped. */
enum event terminal_wait(const struct timespec *until, char *key);

#endif
