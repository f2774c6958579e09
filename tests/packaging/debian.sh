#!/bin/sh
# SPDX-License-Identifier: MIT
# The Debian packages, source and binary: built, looked over by lintian, and tested as
# installed by autopkgtest. The tests while they are built, which scripts/test runs as
# well, are left out for their time: UNISHM_PACKAGE_CHECKS=yes runs them.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
# nothing but Debian's: a Python of one's own has not what its packages bring
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

git clone --quiet "$SOURCE" unishm
version=$(dpkg-parsechangelog -l unishm/debian/changelog -S Version)
upstream=${version%-*}
# what Debian calls the original has no debian/
git -C unishm archive --prefix="unishm-$upstream/" HEAD -- . ':(exclude)debian' |
	xz -1 >"unishm_$upstream.orig.tar.xz"
[ -n "${UNISHM_PACKAGE_CHECKS-}" ] || export DEB_BUILD_OPTIONS=nocheck
# 4: the symbols file has all symbols and no others
export DPKG_GENSYMBOLS_CHECK_LEVEL=4
quietly env -C unishm dpkg-buildpackage -us -uc
for package in libunishm0 libunishm-dev unishm python3-unishm; do
	ls ${package}_"$version"_*.deb >/dev/null || die "no package $package"
done
[ -s "unishm_$version.dsc" ] || die 'no source package'
echo "ok: dpkg-buildpackage, $(dpkg-deb -f libunishm0_*.deb Version)"

quietly lintian --allow-root --fail-on error,warning --info ./*.changes
[ ! -s quietly.log ] || cat quietly.log
echo 'ok: lintian'

result=0
"$TESTS/overlay.sh" autopkgtest --no-built-binaries ./*.deb unishm/ -- null >autopkgtest.log 2>&1 ||
	result=$?
if [ $result = 77 ]; then
	cat autopkgtest.log
elif [ $result != 0 ]; then
	cat autopkgtest.log >&2
	die "autopkgtest: exit status $result"
else
	# once as each ends, once in the summary
	grep -E '^(examples|python|command) +PASS' autopkgtest.log | sort -u >passed
	cat passed
	[ "$(wc -l <passed)" = 3 ] || die 'not all ran'
	echo 'ok: autopkgtest'
fi
