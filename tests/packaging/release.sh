#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/release makes an archive that builds and tests from itself, serves as a
# subproject by its wrap file, and is tagged only when all is ready.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
git clone --quiet "$SOURCE" copy
git -C copy config user.name Tester
git -C copy config user.email tester@example.org

# What a release wants first; see the head of scripts/release.
cd copy
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build | head -n 1)
sed -i '/^## /s/ (unreleased)//' NEWS.md
sed -i 's/UNRELEASED/unstable/; s/; not released yet//' debian/changelog packaging/unishm.spec
quietly scripts/abi --update "$version"
rm quietly.log
git commit --quiet --all --message='a release'

log=../release.log
scripts/release --quick >$log 2>&1 || { cat $log >&2; die 'not made'; }
cat $log
! grep 'not ready' $log || die 'the clone is not ready'
dist=build/release/meson-dist
[ -s "$dist/unishm-$version.tar.xz" ] || die 'there is no archive'
[ -z "$(git tag -l)" ] || die 'it tags when it checks only'
echo untracked >untracked
! scripts/release >$log 2>&1 || die 'it releases what is not committed'
grep -q 'not ready: there is what is not committed' $log || die "$(cat $log)"
rm untracked

# The tests have passed above: this time the archive is not built, and its tests are not run.
mkdir ../without
for tool in meson ninja; do
	printf '#!/bin/sh\n[ "$1" = test ] || [ "$*" = "-C build" ] || exec "%s" "$@"\n' \
		"$(command -v $tool)" >../without/$tool
	chmod +x ../without/$tool
done
PATH=$PWD/../without:$PATH scripts/release >$log 2>&1 || { cat $log >&2; die 'no release'; }
[ "$(git tag -l)" = "v$version" ] || die 'it does not tag'
[ "$(git rev-parse "v$version^{commit}")" = "$(git rev-parse HEAD)" ] ||
	die 'it tags another commit'
! scripts/release >$log 2>&1 || die 'it releases twice'
grep -q "not ready: there is a tag v$version" $log || die "$(cat $log)"

cp -r examples/standalone ../program
mkdir ../program/subprojects/packagefiles
cp "$dist/unishm-$version.tar.xz" ../program/subprojects/packagefiles
cp "$dist/unishm.wrap" ../program/subprojects
cd ..
quietly env PKG_CONFIG_LIBDIR=/none meson setup build program
quietly ninja -C build
counts build
echo 'ok: release'
