#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports what the version scripts name, and nothing else.
# Usage: symbols.sh NM LIBRARY MAP...
set -eu
nm=$1 library=$2
shift 2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT HUP INT TERM

"$nm" -D --defined-only "$library" | sed -n 's/^.* [TDBRVW] \([^@]*\).*$/\1/p' |
	sort >"$work/exported"
sed -n '/global:/,/local:/s/^[[:space:]]*\([a-z_0-9]*\);.*$/\1/p' "$@" | sort >"$work/named"

test -s "$work/named"
diff -u "$work/named" "$work/exported"
if grep -v '^unishm_' "$work/exported"; then
	echo "these names are not ours to take" >&2
	exit 1
fi
