#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual pages fit a terminal of 80 columns, without warnings, with each program that
# shows manual pages here. Usage: columns.sh PAGE...
set -eu
tried=
fits() { # PAGE, formatted, on standard input
	sed "s/.$(printf '\b')//g; s/$(printf '\033')\[[0-9;]*m//g" |
		awk -v page="$1" 'length($0) > 80 { print page ": too wide: " $0; bad = 1 }
			END { exit bad }'
}
export LC_ALL=C
for page; do
	if command -v mandoc >/dev/null; then
		# What mandoc knows of other pages here is no matter of this one.
		said=$(mandoc -T lint -W style "$page" 2>/dev/null |
			grep -v 'referenced manual not found' || true)
		[ -z "$said" ] || { echo "$said"; exit 1; }
		mandoc -T ascii -O width=78 "$page" | fits "$page"
		tried=yes
	fi
	if command -v groff >/dev/null && command -v tbl >/dev/null; then
		said=$(tbl "$page" | groff -mandoc -Tascii -rLL=80n -ww 2>&1 >/dev/null |
			grep -v 'cannot select font\|missing .* macro' || true)
		[ -z "$said" ] || { echo "$page: $said"; exit 1; }
		tbl "$page" | groff -mandoc -Tascii -rLL=80n -P-c 2>/dev/null | fits "$page"
		tried=yes
	fi
done
[ -n "$tried" ] || { echo 'skipped: needs mandoc or groff'; exit 77; }
