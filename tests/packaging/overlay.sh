#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a command, as root, on this system and its directory with a layer over them that
# vanishes: what it installs is not there afterwards. Exits with 77 where that cannot be
# done. Usage: overlay.sh COMMAND [ARGUMENT...]
# shellcheck disable=SC2016 # expanded by the inner shell
set -eu
here=$PWD
layer=$(mktemp -d)
trap 'rmdir "$layer"' EXIT
prepare='
	mount -t tmpfs tmpfs "$0" && cd "$0" && mkdir upper work all &&
	mount -t overlay overlay -o lowerdir=/,upperdir="$0/upper",workdir="$0/work" all &&
	for part in proc sys dev; do mount --rbind "/$part" "all/$part" || exit; done &&
	mkdir -p "all$1" && mount --bind "$1" "all$1" &&
	mount -t tmpfs -o mode=1777 tmpfs all/dev/shm &&
	mount -t tmpfs -o mode=1777 tmpfs all/run/lock'
enter='here=$1; shift; exec chroot "$0/all" sh -c "cd \"\$0\" && exec \"\$@\"" "$here" "$@"'
if ! unshare --mount --ipc sh -c "$prepare" "$layer" "$here" 2>/dev/null; then
	echo 'left out: needs root, and overlays' >&2
	exit 77
fi
unshare --mount --ipc sh -c "{ $prepare
} || exit 1; $enter" "$layer" "$here" "$@"
