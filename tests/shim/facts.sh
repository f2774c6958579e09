#!/bin/sh
# SPDX-License-Identifier: MIT
# facts.sh FACTS UNISHM SHIM DIFFERENCES SECTION [LINKED]: each fact on the kernel's System V
# shared memory and on the shim's, in one run; they must say the same. LINKED: a program that was
# linked with the shim. What user space cannot have is in DIFFERENCES, with the reason; such a fact
# must say what is written there. In TAP.
set -u
facts=$1 unishm=$2 shim=$3 differences=$4 section=$5
for inside in -mi -rmi; do # as root, or as root of a user namespace
	if [ -z "${UNISHM_TEST_INSIDE-}" ] &&
			unshare $inside mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
		export UNISHM_TEST_INSIDE=$inside
		exec unshare $inside sh -c 'mount -t tmpfs -o mode=1777,size=400m tmpfs /dev/shm &&
			exec sh "$@"' sh "$0" "$@"
	fi
done
if [ -z "${UNISHM_TEST_INSIDE-}" ]; then
	echo '1..0 # SKIP needs namespaces of its own'
	exit
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

"$facts" "$section" | cat >"$work/kernel"
if [ $# -gt 5 ]; then # it was linked with the library
	"$6" "$section" | cat >"$work/shim"
else
	UNISHM_SYSV=$shim "$unishm" run -- "$facts" "$section" | cat >"$work/shim"
fi

if grep -q 'shmget: IPC_PRIVATE.*: 0 0 0 0' "$work/kernel"; then
	echo '1..0 # SKIP this kernel has no System V shared memory'
	exit
fi

# What is known to differ: "section: name: what the shim says", and "# why" above it.
expected() { # section: name
	grep -F "$1: " "$differences" | head -n 1
}

count=0 failed=0
while IFS= read -r line; do
	count=$((count + 1))
	name=$(printf '%s\n' "$line" | sed 's/^\([^:]*: [^:]*\): .*/\1/')
	seen=$(grep -F "$name: " "$work/shim")
	wanted=$(expected "$name")
	[ -n "$wanted" ] || wanted=$line
	if [ "$(printf '%s' "$seen" | tr -s ' ')" = "$(printf '%s' "$wanted" | tr -s ' ')" ]; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		echo "# kernel: $line"
		echo "# shim:   $seen"
		failed=$((failed + 1))
	fi
done <"$work/kernel"
echo "1..$count"
[ "$count" -gt 0 ] || exit 1

# Processes that were killed may leave a removed segment: until the next look.
"$unishm" list >"$work/list"
if left=$(find /dev/shm -name 'ushr.*' | tr '\n' ' ') && [ -n "$left" ]; then
	echo "# left: $left"
	exit 1
fi
[ "$failed" -eq 0 ]
