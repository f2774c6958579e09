/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "style.h"

#define ESC "\033"

const char SCREEN_ENTER[] = ESC "[?1049h" ESC "[?25l" ESC "[H" ESC "[2J";
const char SCREEN_LEAVE[] = ESC "[0m" ESC "[?25h" ESC "[?1049l";
const char SCREEN_HOME[] = ESC "[H";
const char SCREEN_ERASE_LINE[] = ESC "[K";
const char SCREEN_ERASE_BELOW[] = ESC "[J";

const char *style_on(enum style style)
{
	static const char *const sequences[] = {
		[PLAIN] = "",
		[BOLD] = ESC "[1m",
		[DIM] = ESC "[2m",
		[RED] = ESC "[31m",
		[GREEN] = ESC "[32m",
		[YELLOW] = ESC "[33m",
		[BOLD_RED] = ESC "[1;31m",
		[REVERSE] = ESC "[7m",
	};
	return sequences[style];
}

const char *style_off(enum style style)
{
	return style == PLAIN ? "" : ESC "[0m";
}

bool stream_has_colour(FILE *stream)
{
	const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
	if (no && *no)
		return false;
	return terminal && strcmp(terminal, "dumb") != 0 && isatty(fileno(stream));
}

bool style_is_escape(char key)
{
	return key == *ESC;
}

char style_arrow(char first, char second)
{
	static const char keys[] = "kjlh"; /* up, down, right, left */
	if ((first != '[' && first != 'O') || second < 'A' || second > 'D')
		return 0;
	return keys[second - 'A'];
}
