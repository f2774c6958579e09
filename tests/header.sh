#!/bin/sh
# SPDX-License-Identifier: MIT
# The public header compiles alone, in strict modes and without feature macros: a
# user's program need not know which ones it would want.
# Usage: header.sh DIRECTORY_OF_HEADER SOURCE LANGUAGE STANDARD COMPILER...
set -eu
include=$1 source=$2 language=$3 standard=$4
shift 4
# In C++ a function beside a struct of its name "hides a constructor".
[ "$language" = c++ ] || set -- "$@" -Wshadow -Wstrict-prototypes
"$@" -x "$language" "-std=$standard" -Wall -Wextra -Wpedantic -Wconversion -Wundef -Werror \
	-I"$include" -fsyntax-only "$source"
