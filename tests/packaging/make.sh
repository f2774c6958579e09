#!/bin/sh
# SPDX-License-Identifier: MIT
# A copy of examples/standalone builds with make and pkg-config alone.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
cp -r "$SOURCE/examples/standalone" copy
for linkage in shared static; do
	[ $linkage = static ] && static=STATIC=yes || static=
	quietly make -C copy clean
	quietly make -C copy CFLAGS="$werror" CXXFLAGS="$werror" $static
	linked $linkage copy/counter
	linked $linkage copy/countercxx
	counts copy
	echo "ok: make, $linkage"
done
