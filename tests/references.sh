#!/bin/sh
# SPDX-License-Identifier: MIT
# A library without a backend does not refer to that backend's system calls.
# Usage: references.sh NM LIBRARY BACKEND...   (those that are built)
set -eu
nm=$1 library=$2
shift 2
built=" $* "
undefined=$("$nm" -D --undefined-only "$library" | sed 's/^.* //; s/@.*//')

# want CALL BACKEND: there is a reference if and only if the backend is built
want()
{
	case $built in
	*" $2 "*) expected=yes ;;
	*) expected=no ;;
	esac
	found=no
	if echo "$undefined" | grep -qx "$1"; then
		found=yes
	fi
	if [ "$found" != "$expected" ]; then
		echo "$library refers to $1: $found; with these backends ($built): $expected" >&2
		exit 1
	fi
}

want shmget sysv
want shmat sysv
want shm_unlink posix
case $built in
*" posix "*) ;;
*) want shm_open posix ;; # a system may have another way to open an object
esac

# What a library must not do: print, end the program, start or signal processes,
# or meddle with what belongs to the program.
for forbidden in umask exit _exit abort printf puts perror system popen fork vfork \
	signal sigaction pthread_create; do
	if echo "$undefined" | grep -qx "$forbidden"; then
		echo "$library refers to $forbidden" >&2
		exit 1
	fi
done
