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

quietly copy/scripts/release --quick
cat quietly.log
! grep 'not committed' quietly.log || die 'the clone is not clean'
cd copy
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build | head -n 1)
dist=build/release/meson-dist
[ -s "$dist/unishm-$version.tar.xz" ] || die 'there is no archive'
[ -z "$(git tag -l)" ] || die 'it tags when it checks only'
echo untracked >untracked
! scripts/release >refused.log 2>&1 || die 'it releases what is not committed'
grep -q 'not ready: there is what is not committed' refused.log || die "$(cat refused.log)"
rm -f untracked refused.log

cp -r examples/standalone ../program
mkdir ../program/subprojects/packagefiles
cp "$dist/unishm-$version.tar.xz" ../program/subprojects/packagefiles
cp "$dist/unishm.wrap" ../program/subprojects
cd ..
quietly env PKG_CONFIG_LIBDIR=/none meson setup build program
quietly ninja -C build
counts build
echo 'ok: release'
