#!/bin/sh
# SPDX-License-Identifier: MIT
# What README.md says first: scripts/demo in a fresh clone runs all programs of examples/, in C
# and in C++, on both backends.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
git clone --quiet "$SOURCE" copy
quietly "$isolated" copy/scripts/demo
for backend in posix sysv; do
	for source in copy/examples/*.c copy/examples/*.cc; do
		name=${source##*/}
		case $name in
		*.c) name=${name%.c} ;;
		*.cc) name=${name%.cc}-cxx ;;
		esac
		grep -q "^==== $name on $backend " quietly.log || die "no $name on $backend"
	done
done
[ -z "$(git -C copy status --porcelain)" ] || die 'it leaves files in the clone'
echo "ok: demo, $(grep -c '^==== ' quietly.log) runs"
