#!/bin/sh
# SPDX-License-Identifier: MIT
# default_library is honoured: static builds and installs no shared library, shared no
# archive; what is there is found by pkg-config, CMake and meson.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
cp -r "$SOURCE/examples/standalone" copy
for linkage in static shared; do
	root=$PWD/$linkage-root
	quietly meson setup $linkage "$SOURCE" --prefix="$root" --libdir=lib --werror \
		-Ddefault_library=$linkage -Dtests=disabled -Ddocs=disabled
	quietly meson install -C $linkage
	if [ $linkage = static ]; then
		! has $linkage 'libunishm.so*' || die 'static builds a shared library'
		! has "$root" 'lib/libunishm.so*' || die 'static installs a shared library'
	else
		! has $linkage 'libunishm.a' || die 'shared builds an archive'
		! has "$root" 'lib/libunishm.a' || die 'shared installs an archive'
	fi
	export PKG_CONFIG_PATH="$root/lib/pkgconfig" LD_LIBRARY_PATH="$root/lib"
	linked $linkage "$root/bin/unishm"
	quietly make -C copy clean
	quietly make -C copy CFLAGS="$werror" CXXFLAGS="$werror"
	linked $linkage copy/counter
	counts copy
	quietly cmake -S copy -B cmake-$linkage -DCMAKE_PREFIX_PATH="$root"
	quietly cmake --build cmake-$linkage
	linked $linkage cmake-$linkage/counter
	counts cmake-$linkage
	quietly meson setup meson-$linkage copy
	quietly ninja -C meson-$linkage
	linked $linkage meson-$linkage/counter
	counts meson-$linkage
	echo "ok: default_library=$linkage"
done
