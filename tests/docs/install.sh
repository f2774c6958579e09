#!/bin/sh
# SPDX-License-Identifier: MIT
# The recipe of README.md works to its end: in a root file system of its own, a user's
# program and the command start, found by the system alone.
# Usage: install.sh SOURCE
#
# The root is $UNISHM_TEST_ROOT if that is set (a directory that debootstrap made, say, with
# a compiler, meson and pkg-config; it is written to), else this system's own with all changes
# kept in memory. Where neither can be had, the test is skipped.
set -eu
source=$1

recipe=$(sed -n '/^<!-- install -->$/,/^```$/ { /^<!--/d; /^```/d; p; }' "$source/README.md")
case $recipe in
*ldconfig*) ;;
*)
	echo "README.md has no recipe after <!-- install -->" >&2
	exit 1
	;;
esac

skip() {
	echo "skipped: $1"
	exit 77
}
[ "$(uname)" = Linux ] || skip 'needs Linux'
[ "$(id -u)" = 0 ] || skip 'needs root, for chroot and mounts'
unshare -m true 2>/dev/null || skip 'needs a mount namespace, which is refused here'
if [ -z "${UNISHM_TEST_INSIDE_ROOT-}" ]; then
	UNISHM_TEST_INSIDE_ROOT=1 exec unshare -mi sh "$0" "$@"
fi

mount --make-rprivate / 2>/dev/null || skip 'cannot make mounts private'
place=$(mktemp -d)
trap 'umount -R "$place" 2>/dev/null || true; rmdir "$place"' EXIT
mount -t tmpfs tmpfs "$place"
root=$place/root
mkdir "$root" "$place/upper" "$place/work"
if [ -n "${UNISHM_TEST_ROOT-}" ]; then
	mount --rbind "$UNISHM_TEST_ROOT" "$root"
else
	mount -t overlay overlay \
		-o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$root" 2>/dev/null ||
		skip 'this system has no overlay over its root'
fi
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /proc "$root/proc"
mkdir -p "$root/dev/shm"
[ -e "$root/dev/null" ] || mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"

# A fresh clone, and nothing of an earlier installation.
mkdir "$root/tmp/unishm"
(
	cd "$source"
	if command -v git >/dev/null && git ls-files --error-unmatch README.md >/dev/null 2>&1; then
		git ls-files -z | tar -cf - --null -T - # what a clone has, as it is now
	else
		tar -cf - --exclude=./build* --exclude=./.git .
	fi
) | tar -xf - -C "$root/tmp/unishm"
rm -rf "$root"/usr/local/lib*/libunishm* "$root"/usr/local/lib/*/libunishm* \
	"$root"/usr/local/lib*/pkgconfig/unishm.pc "$root"/usr/local/lib/*/pkgconfig/unishm.pc \
	"$root"/usr/local/include/unishm* "$root"/usr/local/bin/unishm

cat >"$root/tmp/program.c" <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <unishm.h>

int main(void)
{
	struct unishm *seg;
	void *addr;
	if (unishm_open(&seg, UNISHM_PRIVATE, O_CREAT, 1024, 0600) < 0 ||
			unishm_attach(seg, 0, &addr) < 0 || unishm_remove(seg) < 0)
		return fprintf(stderr, "%s\n", unishm_errmsg()), 1;
	unishm_close(seg);
	return 0;
}
END
cat >"$root/tmp/steps" <<END
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
unset LD_LIBRARY_PATH PKG_CONFIG_PATH CPATH LIBRARY_PATH DESTDIR UNISHM_BACKEND
ldconfig
for tool in cc meson ninja pkg-config; do
	command -v \$tool >/dev/null || { echo "skipped: \$tool is missing there"; exit 77; }
done
command -v sudo >/dev/null && sudo -n true 2>/dev/null || sudo() { "\$@"; }
cd /tmp/unishm
$recipe
cd /tmp
cc -o program program.c \$(pkg-config --cflags --libs unishm)
for backend in posix sysv; do
	UNISHM_BACKEND=\$backend ./program
	echo "ok: a program runs on \$backend"
done
unishm --version
unishm create -m 600 name:installed 64K
unishm show name:installed >/dev/null
unishm remove name:installed
echo "ok: the command starts"
for page in man1/unishm.1 man3/unishm.3 man3/unishm_open.3 man7/unishm.7 man7/unishm_errors.7; do
	[ -e "\$(echo /usr/local/share/man/\$page*)" ] || { echo "no \$page" >&2; exit 1; }
done
echo "ok: the manual pages are there"
END
status=0
chroot "$root" /bin/sh /tmp/steps >"$place/log" 2>&1 || status=$?
grep -v '^\[' "$place/log" | grep -E '^(ok|skipped|unishm)' || true
[ $status = 0 ] || [ $status = 77 ] || tail -n 40 "$place/log" >&2
exit $status
