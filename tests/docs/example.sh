#!/bin/sh
# SPDX-License-Identifier: MIT
# An example succeeds on each backend, leaves no segment behind, and is clean under
# valgrind where there is one. Usage: example.sh PROGRAM BACKEND...
set -eu
for inside in -mi -rmi; do # as root, or as root of a user namespace
	if [ -z "${UNISHM_TEST_INSIDE-}" ] &&
			unshare $inside mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
		export UNISHM_TEST_INSIDE=$inside
		exec unshare $inside sh -c \
			'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec sh "$@"' \
			sh "$0" "$@"
	fi
done

program=$1
shift
for backend; do
	# shellcheck disable=SC2086 # the emulator that meson names is words
	UNISHM_BACKEND=$backend ${MESON_EXE_WRAPPER-} "$program"
	if [ -n "${UNISHM_TEST_INSIDE-}" ]; then
		if [ -n "$(ls /dev/shm)" ] || [ "$(wc -l </proc/sysvipc/shm)" -gt 1 ]; then
			echo "$program left a segment on $backend" >&2
			exit 1
		fi
	fi
	# Sanitizers and valgrind do not go together.
	if command -v valgrind >/dev/null && [ -z "${MESON_EXE_WRAPPER-}" ] &&
			! ldd "$program" | grep -q 'lib[atu]b*san'; then
		UNISHM_BACKEND=$backend valgrind --quiet --fair-sched=try --leak-check=full \
			--suppressions="$(dirname "$0")/../valgrind.supp" \
			--show-leak-kinds=definite,indirect,possible \
			--errors-for-leak-kinds=definite --error-exitcode=9 "$program" >/dev/null
		echo "ok: $backend, also under valgrind"
	else
		echo "ok: $backend"
	fi
done
