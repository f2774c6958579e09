/* SPDX-License-Identifier: MIT */
/* All escape sequences of terminals that the command writes or reads. */
#ifndef STYLE_H
#define STYLE_H

#include <stdbool.h>
#include <stdio.h>

enum style {
	PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BOLD_RED, REVERSE,
};

/* What switches @style on; "" for PLAIN. */
const char *style_on(enum style style);
/* What switches all off again. */
const char *style_off(enum style style);
/* Whether @stream is a terminal that is to have colours. */
bool stream_has_colour(FILE *stream);

extern const char SCREEN_ENTER[];   /* the other screen, no cursor, cleared */
extern const char SCREEN_LEAVE[];
extern const char SCREEN_HOME[];
extern const char SCREEN_ERASE_LINE[];  /* from here to the end of the line */
extern const char SCREEN_ERASE_BELOW[];

/* The key that an arrow key stands for (h, j, k, l), by what follows its escape character; or 0. */
char style_arrow(char first, char second);
bool style_is_escape(char key);

#endif
