#!/bin/sh
# SPDX-License-Identifier: MIT
# rpmbuild makes the packages from an archive of the tree, and what is in them works. Names
# of Debian's packages are others, so that --nodeps is needed. The tests of the spec are
# left out for their time: UNISHM_PACKAGE_CHECKS=yes runs them.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
version=$(sed -n 's/^Version: *//p' "$SOURCE/packaging/unishm.spec")
top=$PWD/rpmbuild
mkdir -p "$top/SOURCES"
git -C "$SOURCE" archive --prefix="unishm-$version/" HEAD |
	xz -1 >"$top/SOURCES/unishm-$version.tar.xz"

quietly rpmbuild --define "_topdir $top" --nodeps \
	$([ -n "${UNISHM_PACKAGE_CHECKS-}" ] || echo --without check) -ba \
	"$SOURCE/packaging/unishm.spec"
! grep '^warning:' quietly.log || die 'rpmbuild warns'
for package in unishm unishm-libs unishm-devel python3-unishm; do
	ls "$top"/RPMS/*/$package-"$version"-*.rpm >/dev/null || die "no package $package"
done
mkdir root
cd root
for package in "$top"/RPMS/*/*.rpm; do
	rpm2cpio "$package" | cpio -idm --quiet
done
libdir=$(rpm --eval '%{_libdir}')
export LD_LIBRARY_PATH="$PWD$libdir"
[ "$(usr/bin/unishm --version | grep -o '[0-9.]*$')" = "$version" ] ||
	die 'the command does not run'
module=$(find "$PWD/usr/lib" -type d -path '*-packages/unishm')
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${module%/unishm} \
	/usr/bin/python3 -c 'import unishm; unishm.list()'
echo "ok: rpmbuild, $version"
