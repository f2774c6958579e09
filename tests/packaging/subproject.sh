#!/bin/sh
# SPDX-License-Identifier: MIT
# As a subproject of another build: found by the wrap file, as the library that was
# asked for, and without tests, tools, manuals, examples or an install of ours.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
cp -r "$SOURCE/examples/standalone" copy
git clone --quiet "$SOURCE" copy/subprojects/unishm

# build NAME OPTION...
build() {
	name=$1
	shift
	quietly env CFLAGS=-Werror CXXFLAGS=-Werror PKG_CONFIG_LIBDIR=/none \
		meson setup "$name" copy --prefix="$PWD/$name-root" --libdir=lib "$@"
	quietly ninja -C "$name"
	quietly meson install -C "$name"
}

build plain
linked static plain/counter
counts plain
(cd plain-root && find . ! -type d | sort) >installed
printf './bin/%s\n' counter countercxx | diff - installed ||
	die 'it installs what is not the program'
meson introspect --targets plain | jq -r '.[] | select(.subproject == "unishm") | .name' |
	sort -u >targets
printf '%s\n' unishm unishm-internal | diff - targets || die 'it builds what is not the library'
[ "$(meson introspect --tests plain | jq length)" = 0 ] || die 'it brings its tests'

build static -Dunishm:default_library=static
linked static static/counter
! has static 'subprojects/unishm/libunishm.so*' || die 'static builds a shared library'
counts static

build shared -Dunishm:default_library=shared
linked shared shared/counter
! has shared 'subprojects/unishm/libunishm.a' || die 'shared builds an archive of the library'
(cd shared-root && find . ! -type d ! -path './bin/*' ! -name 'libunishm.so*') >installed
[ ! -s installed ] || die "shared installs $(cat installed)"
export LD_LIBRARY_PATH="$PWD/shared-root/lib"
counts shared-root/bin
echo 'ok: meson subproject'
