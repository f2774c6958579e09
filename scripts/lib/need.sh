# SPDX-License-Identifier: MIT
# Sourced by the scripts here: see to it that what they need is there, by
# installing just what is missing with apt-get, or say what is missing and stop.

# need COMMAND:PACKAGE...  (also pkg-config modules as pc/NAME:PACKAGE, and files
# as /PATH:PACKAGE)
need() {
	missing=
	for pair; do
		thing=${pair%%:*}
		package=${pair#*:}
		case $thing in
		pc/*)
			command -v pkg-config >/dev/null &&
				pkg-config --exists "${thing#pc/}" && continue
			;;
		/*) [ -e "$thing" ] && continue ;;
		*) command -v "$thing" >/dev/null && continue ;;
		esac
		missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "$0: please install:$missing (this script can do so with apt-get only)" >&2
		exit 1
	fi
	sudo=
	if [ "$(id -u)" != 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "$0: please install, as root:$missing" >&2
			exit 1
		fi
		sudo=sudo
	fi
	echo "installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	if ! { $sudo apt-get update -qq &&
			$sudo apt-get install -y -qq --no-install-recommends $missing; } \
			>/tmp/unishm-apt.$$ 2>&1; then
		tail -n 20 /tmp/unishm-apt.$$ >&2
		rm -f /tmp/unishm-apt.$$
		echo "$0: cannot install:$missing" >&2
		exit 1
	fi
	rm -f /tmp/unishm-apt.$$
}

# What every build needs.
need_to_build() {
	need gcc:gcc /usr/include/stdio.h:libc6-dev meson:meson ninja:ninja-build \
		pkg-config:pkg-config "$@"
}
