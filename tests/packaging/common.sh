# SPDX-License-Identifier: MIT
# Sourced by the scripts beside it. scripts/packages runs them, each in a directory of
# its own, and sets:
#
#   SOURCE  a fresh clone
#   STAGE   where that is installed, both libraries
#   TESTS   this directory
# shellcheck disable=SC2034 # used where this is sourced
set -eu
export PKG_CONFIG_PATH="$STAGE/lib/pkgconfig"
export LD_LIBRARY_PATH="$STAGE/lib"
werror='-O1 -Wall -Wextra -Wpedantic -Wconversion -Werror'
isolated=$SOURCE/tests/isolated.sh

die() {
	echo "$0: $*" >&2
	exit 1
}

# quietly COMMAND...: what it says is shown when it fails
quietly() {
	"$@" >quietly.log 2>&1 || {
		cat quietly.log >&2
		die "failed: $*"
	}
}

# counts DIRECTORY: the two programs of examples/standalone count together, on both
# backends
counts() {
	for backend in posix sysv; do
		said=$(UNISHM_BACKEND=$backend "$isolated" sh -ec '
			"$0/counter"; "$0/countercxx"
			"$0/counter" remove; "$0/countercxx" remove' "$1")
		[ "$said" = "$(printf 'run %d, on '$backend'\n' 1 2 3 1)" ] || die "$1 said: $said"
	done
}

# linked shared|static PROGRAM
linked() {
	if readelf -d "$2" | grep -q 'NEEDED.*libunishm'; then
		[ "$1" = shared ] || die "$2 needs the shared library"
	else
		[ "$1" = static ] || die "$2 does not need the shared library"
	fi
}

# has DIRECTORY PATTERN: some file below it is so called
has() {
	[ -n "$(find "$1" -path "$1/$2" 2>/dev/null)" ]
}
