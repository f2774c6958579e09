#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh TEST UNISHM PTY SOURCE: TEST.sh, the command from outside, in TAP. What cannot be tried
# here (no root, no jq, no lsipc) is skipped by name.
# All keys are 0x5c11....; where the system allows, everything runs in namespaces of its own.

test=$1 unishm=$2 pty=$3 source=$4
for inside in -mi -rmi; do # as root, or as root of a user namespace
	if [ -z "$UNISHM_TEST_INSIDE" ] &&
			unshare $inside mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
		export UNISHM_TEST_INSIDE=$inside
		exec unshare $inside sh -c 'mount -t tmpfs -o mode=1777,size=48m tmpfs /dev/shm &&
			exec sh "$@"' sh "$0" "$@"
	fi
done

# Only what was meant: the settings of whoever runs the tests stay outside.
unset NO_COLOR UNISHM_BACKEND POSIXLY_CORRECT
export TERM=xterm LC_ALL=C TZ=UTC
tmp=$(mktemp -d) || exit 1
chmod 755 "$tmp"

# Programs for other processors run by the emulator that meson names.
wrap() { # NAME PROGRAM
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$MESON_EXE_WRAPPER" "$(realpath "$2")" >"$tmp/$1"
	chmod 755 "$tmp/$1"
}
if [ -n "$MESON_EXE_WRAPPER" ]; then
	wrap unishm "$unishm"
	wrap pty "$pty"
	wrap interrupted "$UNISHM_TEST_INTERRUPTED"
	unishm=$tmp/unishm pty=$tmp/pty UNISHM_TEST_INTERRUPTED=$tmp/interrupted
fi
count=0 failed=0

sweep() {
	"$unishm" list --noheadings --output segment 2>/dev/null | grep ':0x5c11' |
		while read -r segment; do "$unishm" remove "$segment"; done
	[ -z "$private" ] || "$unishm" remove "$private" 2>/dev/null
}
trap 'sweep; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP

# What would remove segments of others, where there are any.
harmless=
[ -n "$UNISHM_TEST_INSIDE" ] || harmless=--dry-run

# ---- Saying what was seen --------------------------------------------------------

say() { # ok|not ok, name
	count=$((count + 1))
	echo "$1 $count - $backend $2"
}

check() { # name, test's arguments
	name=$1
	shift
	if [ "$@" ]; then
		say ok "$name"
	else
		say 'not ok' "$name"
		failed=$((failed + 1))
		{ echo "seen: [ $* ]"; echo "status $status"; head -c 600 "$tmp/out" "$tmp/err"; \
			echo; } |
			tr -c '[:print:]\n' '?' | sed 's/^/# /'
	fi
}

skip() { # name, why
	count=$((count + 1))
	echo "ok $count - $backend $1 # SKIP $2"
}

run() {
	"$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	# What the command says is in its own words, and in good English.
	if grep -qE 'UNISHM_[AC-Z]|UNISHM_BY|O_(CREAT|EXCL)|unishm_| 1 bytes' "$tmp/err"; then
		check "the words of: $*" "$(cat "$tmp/err")" = ''
	fi
}

u() {
	run "$unishm" "$@"
}

out() { cat "$tmp/out"; }
err() { cat "$tmp/err"; }

# One line on stderr that begins as ours do.
one_line() {
	[ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q '^unishm: .' "$tmp/err" && echo yes
}

fails() { # name, status, arguments
	name=$1 wanted=$2
	shift 2
	u "$@"
	check "$name" "$status $(one_line)" = "$wanted yes"
}

works() { # name, arguments
	name=$1
	shift
	u "$@"
	check "$name" "$status $(err)" = "0 "
}

json() { # filter
	jq -r "$1" <"$tmp/out" 2>&1
}

on_terminal() { # actions, command
	run "$pty" 24x80 "$@"
}

has() { # text: in the output
	grep -qF -- "$1" "$tmp/out" && echo yes
}

esc=$(printf '\033')

as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# Whether other users exist here.
is_root() {
	[ "$(id -u)" = 0 ] && as_nobody true 2>/dev/null
}

# Whether they can try the command; a directory above it may be closed to them.
others_can_run() {
	is_root && as_nobody "$unishm" --version >/dev/null 2>&1
}

# What list tells of our segments: columns, options.
cells() {
	columns=$1
	shift
	u list -B "$b" --noheadings --output "key,$columns" "$@"
	awk '/^0x5c11/ { $1 = ""; print substr($0, 2) }' "$tmp/out" >"$tmp/cells"
	mv "$tmp/cells" "$tmp/out"
}

# SIGTERM comes when the command is about to remove what it has made: tests/cli/interrupted.c.
leaves_nothing() { # command, backend, arguments
	ended="$1, ended by a signal, leaves nothing" of=$2
	shift 2
	if [ -z "$UNISHM_TEST_INSIDE" ]; then
		skip "$ended" 'needs a place of its own'
		return
	fi
	{ run "$UNISHM_TEST_INTERRUPTED" "$@"; } 2>"$tmp/shell"
	signalled=$status
	u list --backend "$of" --noheadings
	check "$ended" "$signalled $status $(out)" = '143 0 '
}

# A process that attaches a segment until release.
hold() {
	mkfifo "$tmp/hold"
	"$unishm" write "$1" <"$tmp/hold" &
	holder=$!
	exec 8>"$tmp/hold"
	while [ "$("$unishm" list --unattached --noheadings -o segment | grep -c "^$1$")" = 1 ]; do
		sleep 0.1
	done
	rm "$tmp/hold"
}

release() {
	exec 8>&-
	wait "$holder"
}

# ---- Which backends, and the test ------------------------------------------------

backends=
for b in posix sysv; do
	"$unishm" list -B "$b" --help >/dev/null 2>&1 && backends="$backends $b"
done
wrong= # what the emulator gets wrong; tests/emulator.c corrects it where that can be done
case $UNISHM_TEST_EMULATOR in
qemu-s390x) wrong='has the mode in the wrong half of its word' ;;
qemu-arm | qemu-mips) wrong='leaves rubbish in the upper halves of times' ;;
esac
if [ -n "$wrong" ]; then
	backend=sysv
	skip 'everything' "$UNISHM_TEST_EMULATOR $wrong"
	backends=${backends% sysv}
fi

# Run each group for each backend.
for_each_backend() {
	for backend in $backends; do
		b=$backend
		other=$([ "$b" = posix ] && echo sysv || echo posix)
		for group; do
			"test_$group"
			sweep
		done
	done
	backend=any
}

sweep
backend=any
. "$(dirname "$0")/$test.sh"
echo "1..$count"
[ "$failed" = 0 ]
