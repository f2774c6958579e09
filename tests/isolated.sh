#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a command with System V segments and a /dev/shm of its own, which vanish with its
# last process, where the system allows; elsewhere it runs as it is.
# Usage: isolated.sh COMMAND [ARGUMENT...]
# shellcheck disable=SC2016 # expanded by the inner shell
inner='mount -t tmpfs -o mode=1777,size=256m tmpfs /dev/shm && exec "$@"'
for options in '--mount --ipc' '--user --map-root-user --mount --ipc'; do
	# shellcheck disable=SC2086 # options are words
	if unshare $options sh -c "$inner" sh true 2>/dev/null; then
		exec unshare $options sh -c "$inner" sh "$@"
	fi
done
echo 'not isolated (needs root or user namespaces): using keys of our own' >&2
exec "$@"
