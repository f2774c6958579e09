#!/bin/sh
# SPDX-License-Identifier: MIT
# There is one version number, in project() of meson.build; where a format wants it once
# more, it is the same. Usage: versions.sh [SOURCE]
set -eu
cd "${1-$SOURCE}"
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build | head -n 1)
echo "$version" | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || {
	echo "no version in meson.build: $version" >&2
	exit 1
}
status=0

# same FILE FOUND
same() {
	if [ "$2" != "$version" ]; then
		echo "$1 says ${2:-nothing}, and meson.build $version" >&2
		status=1
	fi
}

# macro NAME: its value in the header
macro() {
	sed -n "s/^#define UNISHM_VERSION$1 \"\{0,1\}\([0-9.]*\)\"\{0,1\}$/\1/p" include/unishm.h
}

same include/unishm.h "$(macro '')"
same include/unishm.h "$(macro _MAJOR).$(macro _MINOR).$(macro _PATCH)"
same NEWS.md "$(sed -n 's/^## \([0-9.]*\).*/\1/p' NEWS.md | head -n 1)"
same python/pyproject.toml "$(sed -n 's/^version = "\(.*\)"$/\1/p' python/pyproject.toml)"
same python/src/unishm/__init__.py \
	"$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' python/src/unishm/__init__.py)"
same debian/changelog "$(sed -n '1s/^unishm (\([0-9.]*\)-.*/\1/p' debian/changelog)"
same packaging/unishm.spec "$(sed -n 's/^Version: *//p' packaging/unishm.spec)"
[ $status -ne 0 ] || echo "ok: $version everywhere"
exit $status
