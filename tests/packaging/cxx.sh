#!/bin/sh
# SPDX-License-Identifier: MIT
# The installed header for C++: by each compiler and standard without a warning; its tests
# with sanitizers; the programs of examples/, which say what those in C say; its manual.
# shellcheck disable=SC2086 # words
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wold-style-cast
	-Wshadow -Wundef -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi -Werror'
export ASAN_OPTIONS=handle_segv=0 # readonly raises SIGSEGV on purpose
sanitize='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'
flags=$(pkg-config --cflags --libs unishm)

# both OUTPUT COMMAND: what it says on each backend, isolated
both() {
	for backend in posix sysv; do
		UNISHM_BACKEND=$backend "$isolated" "$2" >"$1-$backend" 2>&1 || {
			cat "$1-$backend" >&2
			die "$2 failed on $backend"
		}
	done
}

# What two processes and the status say, without addresses and numbers.
gist() {
	sed -n -e '/^child: /p' -e '/^the child got/p' -e 's/^\([a-z_]*\): .*/\1/p' "$@"
}

# by COMPILER: in a directory of its own
by() {
	for std in c++11 c++14 c++17 c++20; do
		quietly $1 -std=$std $warnings -fsyntax-only $(pkg-config --cflags unishm) \
			"$SOURCE/tests/cxx/other.cc"
	done
	for name in alphabet readonly status; do
		quietly $1 -std=c++17 $warnings $sanitize "$SOURCE/examples/$name.cc" -o $name \
			$flags
		both $name ./$name
		for backend in posix sysv; do
			gist ../$name-$backend >c
			gist $name-$backend >cxx
			[ -s c ] || die "$name says nothing on $backend"
			diff c cxx || die "$name by $1 says something else on $backend"
		done
	done
	quietly $1 -std=c++20 $warnings $sanitize -pthread -o tests "$SOURCE"/tests/cxx/*.cc $flags
	both said ./tests
	echo "ok: $1, $(grep -c '^ok ' said-posix) tests and three programs"
}

for name in alphabet readonly status; do
	quietly cc -o $name "$SOURCE/examples/$name.c" $flags
	both $name ./$name
done
running=
for compiler in g++ clang++; do
	mkdir $compiler
	(cd $compiler && by $compiler) &
	running="$running $!"
done
for process in $running; do
	wait "$process" || failed=yes
done
[ -z "${failed-}" ] || exit 1

page=$STAGE/share/man/man3/unishm-cpp.3
quietly mandoc -T lint -W warning "$page"
mandoc -T ascii "$page" | sed 's/.\x08//g' >page
for name in segment attachment attach_at_first_available attach_at detach lock unlock remove \
		size number_attached creator_process last_op_process last_attach_time \
		last_detach_time last_change_time creator_user creator_group owner_user \
		owner_group mode key error error_code span options list; do
	grep -qw "$name" page || die "unishm-cpp(3) has no $name"
done
echo 'ok: unishm-cpp(3)'
