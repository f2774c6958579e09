#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs outside of the tree build and run against the installed library: by
# pkg-config alone, shared and static, as C99, C11 and C++.
# Usage: installed.sh MESON BUILD CC CXX|none LIBRARY
set -eu
meson=$1 build=$2 cc=$3 cxx=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT HUP INT TERM

command -v pkg-config >/dev/null || {
	echo "skipped: needs pkg-config"
	exit 77
}

DESTDIR=$work/stage "$meson" install -C "$build" --no-rebuild >/dev/null
pc=$(find "$work/stage" -name unishm.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
where="--define-variable=prefix=$work/stage$(pkg-config --variable=prefix unishm)"
libdir=$(pkg-config "$where" --variable=libdir unishm)
[ -d "$libdir" ] ||
	libdir=$(dirname "$(find "$work/stage" -name 'libunishm.*' ! -type d | head -n 1)")

backends=
for variable in default_backend have_posix have_sysv; do
	value=$(pkg-config --variable=$variable unishm)
	case $variable:$value in
	have_*:true) backends="$backends ${variable#have_}" ;;
	have_*:false | default_backend:posix | default_backend:sysv) ;;
	*)
		echo "the variable $variable of unishm.pc is \"$value\"" >&2
		exit 1
		;;
	esac
done

cat >"$work/program.c" <<'END'
#include <unishm.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, unishm_errmsg());
	return 1;
}

int main(void)
{
	struct unishm *seg;
	struct unishm_status st;
	void *addr;
	if (unishm_open(&seg, UNISHM_PRIVATE, O_CREAT, 1024, 0600) < 0)
		return fail("open");
	if (unishm_attach(seg, 0, &addr) < 0)
		return fail("attach");
	strcpy((char *)addr, "hello");
	if (unishm_status(seg, &st) < 0 || st.number_attached != 1)
		return fail("status");
	if (unishm_remove(seg) < 0)
		return fail("remove");
	unishm_close(seg);
	return strcmp(unishm_version(), UNISHM_VERSION) != 0;
}
END
cp "$work/program.c" "$work/program.cc"

# build_and_run LABEL COMPILER... : the rest of the flags comes from pkg-config
build_and_run()
{
	label=$1
	shift
	# shellcheck disable=SC2086 # flags are words
	"$@" -Wall -Wextra -Wpedantic -Werror -o "$work/program" $flags
	for backend in $backends; do
		# shellcheck disable=SC2086 # the emulator that meson names is words
		LD_LIBRARY_PATH=$libdir UNISHM_BACKEND=$backend \
			${MESON_EXE_WRAPPER-} "$work/program"
	done
	echo "ok: $label"
}

flags="$(pkg-config "$where" --cflags unishm) -I$(find "$work/stage" -name unishm.h -printf %h)"
cflags=$flags
for linkage in shared static; do
	if [ $linkage = static ]; then
		[ -e "$libdir/libunishm.a" ] || continue # -Ddefault_library=shared
		# The archive by its path, so that the shared one beside it is not taken.
		others=$(pkg-config "$where" --static --libs unishm | sed 's/-lunishm//')
		libs="$libdir/libunishm.a $others"
	else
		[ -n "$(find "$libdir" -name 'libunishm.[sd]*')" ] || continue # =static
		libs="-L$libdir $(pkg-config "$where" --libs unishm)"
	fi
	flags="$cflags $work/program.c $libs"
	build_and_run "$linkage C99" $cc -std=c99 -D_XOPEN_SOURCE=700
	build_and_run "$linkage C11" $cc -std=c11 -D_XOPEN_SOURCE=700
	if [ "$cxx" != none ]; then
		flags="$cflags $work/program.cc $libs"
		build_and_run "$linkage C++" $cxx -std=c++11
	fi
done

[ "$(pkg-config --modversion unishm)" = "$(sed -n 's/^#define UNISHM_VERSION "\(.*\)"$/\1/p' \
	"$(find "$work/stage" -name unishm.h)")" ]
[ -n "$(pkg-config --variable=default_backend unishm)" ]
