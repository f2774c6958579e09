#!/bin/sh
# SPDX-License-Identifier: MIT
# find_package(unishm) works outside of the tree: shared and static, in a tree that was
# moved, and by version.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
unset PKG_CONFIG_PATH
cp -r "$SOURCE/examples/standalone" copy
moved=$PWD/moved
cp -a "$STAGE" "$moved"

# configure BUILD SOURCE OPTION...
configure() {
	build=$1 source=$2
	shift 2
	cmake -S "$source" -B "$build" -DCMAKE_PREFIX_PATH="$moved" -DCMAKE_C_FLAGS="$werror" \
		-DCMAKE_CXX_FLAGS="$werror" "$@"
}

for linkage in shared static; do
	[ $linkage = static ] && on=ON || on=OFF
	quietly configure $linkage copy -DUNISHM_USE_STATIC_LIBS=$on
	quietly cmake --build $linkage
	linked $linkage $linkage/counter
	linked $linkage $linkage/countercxx
	grep -q "^unishm_DIR.*=$moved/" $linkage/CMakeCache.txt || die "it found another unishm"
	(LD_LIBRARY_PATH=$moved/lib counts $linkage)
	echo "ok: cmake, $linkage"
done

# project NAME LINE: configuring a project with that line
project() {
	mkdir -p "$1"
	printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' 'project(p C)' "$2" \
		>"$1/CMakeLists.txt"
	configure "$1-build" "$1" >"$1.log" 2>&1
}

version=$(sed -n 's/^Version: //p' "$STAGE/lib/pkgconfig/unishm.pc")
minor=${version%.*}
project exact "find_package(unishm $version EXACT REQUIRED)" || die "exactly $version is refused"
project minor "find_package(unishm $minor REQUIRED)" || die "$minor is refused"
project any 'find_package(unishm REQUIRED)
find_package(unishm REQUIRED COMPONENTS shared static)
foreach(name shared static unishm)
	if(NOT TARGET unishm::${name})
		message(FATAL_ERROR "no ${name}")
	endif()
endforeach()
if(NOT unishm_HAVE_POSIX OR NOT unishm_HAVE_SYSV OR NOT unishm_DEFAULT_BACKEND STREQUAL "posix")
	message(FATAL_ERROR "variables")
endif()' || { cat any.log >&2; die 'a project is refused'; }
major=${minor%.*} minor_number=${minor#*.}
for wrong in "$major.$((minor_number + 1))" "$major.$((minor_number - 1))" 99.0 "$minor.99"; do
	! project "wrong-$wrong" "find_package(unishm $wrong REQUIRED)" ||
		die "$wrong is taken for $version"
done
! project part 'find_package(unishm REQUIRED COMPONENTS nonesuch)' || die 'any component is found'
echo 'ok: cmake, versions and components'
