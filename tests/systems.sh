#!/bin/sh
# SPDX-License-Identifier: MIT
# No #if about an operating system or a C library stands outside of the places that
# docs/porting.md names. (What is asked of the system's headers, such as #ifdef
# SHM_HUGETLB, or of the compiler is no such #if.)
# Usage: systems.sh SOURCE
set -eu
cd "$1"

# The library's and the command's places; in tests, what only Linux can be asked.
places='
core/mapping.c
core/os.c
core/os.h
include/unishm.h
tests/contract/address.c
tests/errors/errors.c
tests/errors/limits.c
tests/harness/run.c
tests/isolate.c
tests/model/kill.c
tests/process/clone.c
tests/test_careless.c
tests/test_fork.c
tools/system.c
'
names='__(gnu_)?linux(__)?|__APPLE__|__MACH__|TARGET_OS_[A-Z]+|__(Free|Net|Open)BSD__|__DragonFly__'
names="$names|__FreeBSD_kernel__|BSD|__sun(__)?|__svr4__|__SVR4|_AIX|__hpux|__CYGWIN__|__HAIKU__"
names="$names|__QNX(NTO)?__"
names="$names|__ANDROID__|__BIONIC__|__GNU__|__unix(__)?|_WIN(32|64)|__GLIBC__|__UCLIBC__|__MUSL__"
names="$names|UNISHM_OS_[A-Z]+"

found=$(grep -rnE "^[[:space:]]*#[[:space:]]*(el)?if.*\\b($names)\\b" \
	--include='*.[ch]' --include='*.cc' \
	backends bench core examples include tests tools || true)

# So that a mistake in the above does not go unseen.
for place in core/mapping.c core/os.c tools/system.c; do
	if ! echo "$found" | grep -q "^$place:"; then
		echo "systems.sh does not even find what is in $place" >&2
		exit 1
	fi
done

result=0
while IFS= read -r line; do
	if ! echo "$places" | grep -qxF "${line%%:*}"; then
		echo "about a system, but not in a place for that (docs/porting.md): $line" >&2
		result=1
	fi
done <<END
$found
END
exit $result
