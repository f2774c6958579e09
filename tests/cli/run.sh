#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh UNISHM PTY SOURCE: the command from outside, in TAP. What cannot be tried here (no root, no
# jq, no lsipc) is skipped by name.
# All keys are 0x5c11....; where the system allows, everything runs in namespaces of its own.

unishm=$1 pty=$2 source=$3
for inside in -mi -rmi; do # as root, or as root of a user namespace
	if [ -z "$UNISHM_TEST_INSIDE" ] && unshare $inside mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
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
	unishm=$tmp/unishm pty=$tmp/pty
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
		{ echo "seen: [ $* ]"; echo "status $status"; head -c 600 "$tmp/out" "$tmp/err"; echo; } |
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

# ---- Every command, on one backend -----------------------------------------------

test_create_and_remove() {
	u create "$b:0x5c110001" 64K --mode 640
	check 'create says how the segment is spelled' "$status $(out)" = "0 $b:0x5c110001"
	works 'create of one that exists succeeds' create "$b:0x5c110001" 64K
	fails 'create --exclusive of one that exists fails' 1 create -x "$b:0x5c110001" 64K
	fails 'create larger than what exists fails' 1 create "$b:0x5c110001" 65K
	works 'remove' remove "$b:0x5c110001"
	fails 'remove of what is gone fails' 1 remove "$b:0x5c110001"
	u create "$b:private" 10
	private=$(out)
	check 'create private says an id' "${private%:*}" = "$b:id"
	works 'show a private segment by id' show "$private"
	works 'remove by id' remove "$private"
	private=
	works 'the umask is ignored' create "$b:0x5c110001" 1 -m 666
	cells mode
	check 'mode as asked' "$(out)" = rw-rw-rw-
	u remove "$b:0x5c110001" "$b:0x5c110002"
	check 'remove goes on after a failure, and says so' "$status $(one_line)" = '1 yes'
	"$unishm" create "$b:0x5c110001" 1 >/dev/null
	"$unishm" create "$b:0x5c110003" 1 >/dev/null
	u remove "$b:0x5c110009" "$b:0x5c110001" "$b:0x5c110003"
	check 'a missing one does not keep the others' "$status $("$unishm" list -B "$b" -o key |
		grep -c 0x5c11)" = '1 0'
	works 'a name and a path are keys' create "$b:name:unishm.cli.test" 1
	works 'remove by name' remove "$b:name:unishm.cli.test"
	works 'create by path' create "$b:path:/etc/passwd:23" 1
	works 'remove by path' remove "$b:path:/etc/passwd:23"
	works 'a negative key after --' create -- "$b:-1542193151" 1
	u list --noheadings -o segment
	check 'is the same as its unsigned spelling' "$(has "$b:0xa4140001")" = yes
	works 'remove it' remove "$b:0xa4140001"
	works '--backend in place of the prefix' create -B "$b" 0x5c110001 1
	UNISHM_BACKEND=$b works '$UNISHM_BACKEND in place of the prefix' remove 0x5c110001
}

test_bad_arguments() {
	for size in 0 -1 '' 10E 10KB 1.5K K 0x10 ' 1' 99999999999999999999 18446744073709551616 17179869184G
	do
		fails "size \"$size\" is a usage error" 2 create -- "$b:0x5c110001" "$size"
	done
	for segment in '' x id: id:x id:-1 id:99999999999 0x 0xg 010 4294967296 -2147483649 name path:/ \
		path:/:x other:10 0x5c11zz ' 1' '1 '
	do
		fails "segment \"$segment\" is a usage error" 2 show -- "$b:$segment"
	done
	fails 'the key 0 names no segment' 2 show "$b:0"
	fails 'a path that is missing' 1 show "$b:path:/no/such/file:1"
	fails 'a missing key' 1 show "$b:0x5c1100ff"
	fails 'a missing id' 1 show "$b:id:2147483000"
	fails 'create by id' 2 create "$b:id:5" 1
	for mode in 8 1777 rwx -- ''; do
		fails "mode \"$mode\" is a usage error" 2 create --mode="$mode" "$b:0x5c110001" 1
	done
	u create "$b:0x5c110001" 8000000T # 2: not even a number here
	check 'a size that no system has' "$((status == 1 || status == 2)) $(one_line)" = '1 yes'
	check 'and nothing is created' "$("$unishm" list -o key | grep -c 0x5c11)" = 0
}

test_list_and_show() {
	"$unishm" create "$b:0x5c110001" 65537 -m 640 >/dev/null
	works 'list' list
	check 'has a human size' "$(grep 0x5c110001 "$tmp/out" | grep -c ' 64K ')" = 1
	cells size,mode,number_attached --bytes
	check 'list --output' "$(out)" = '65537 rw-r----- 0'
	cells last_attach_time
	check 'never attached' "$(out)" = never
	fails 'an unknown column' 2 list --output key,sizes
	fails 'an unknown order' 2 list --sort sizes
	fails 'an unknown option' 2 list --nosuch
	fails 'a surplus argument' 2 list 10
	"$unishm" create "$b:0x5c110002" 3 >/dev/null
	cells key --sort size
	check 'list --sort' "$(out | tr '\n' ' ')" = '0x5c110002 0x5c110001 '
	cells key --sort -size
	check 'list --sort, descending' "$(out | tr '\n' ' ')" = '0x5c110001 0x5c110002 '
	hold "$b:0x5c110002"
	cells key --unattached
	check 'list --unattached' "$(out)" = 0x5c110001
	cells key --dead-creator --mine
	check 'list --dead-creator --mine' "$(out | wc -l)" = 2
	u show "$b:0x5c110002"
	if [ -n "$UNISHM_TEST_EMULATOR" ]; then
		skip 'show names the attached process' "to the system, the process is $UNISHM_TEST_EMULATOR"
	else
		check 'show names the attached process' "$(grep -c '^  [0-9][0-9]* unishm$' "$tmp/out")" = 1
	fi
	check 'show has the status' "$(grep -c '^number_attached: 1$' "$tmp/out")" = 1
	if command -v jq >/dev/null; then
		u show "$b:0x5c110002" --json
		if [ -z "$UNISHM_TEST_EMULATOR" ]; then
			check 'show --json has the process' "$(json '.attached_processes | length')
$(json '.attached_processes[0].command')" = '1
unishm'
			check 'show --json misses none' "$(json .attached_processes_missing)" = null
		fi
		u list --json
		check 'list --json: numbers are numbers' "$(json \
			'[.segments[] | .id, .key, .size, .number_attached, .creator_process, .owner_user |
			type] | unique | join(" ")')" = number
		check 'list --json: values' "$(json ".segments[] | select(.segment == \"$b:0x5c110001\") |
			[.backend, .key, .size, .mode, .last_attach_time, .removed] | @json")" = \
			"[\"$b\",1544617985,65537,\"0640\",null,false]"
		check 'list --json: ISO 8601 times' "$(json '.segments[].last_change_time |
			test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+-][0-9]{2}:[0-9]{2}$")' | sort -u)" = true
	else
		skip 'JSON' 'no jq'
	fi
	release
	sweep
}

test_changes() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	works 'chmod' chmod 604 "$b:0x5c110001"
	cells mode
	check 'changed the mode' "$(out)" = 'rw----r--'
	fails 'chmod to a bad mode' 2 chmod 900 "$b:0x5c110001"
	fails 'chmod without segment' 2 chmod 600
	fails 'chown to an unknown user' 2 chown no.such.user "$b:0x5c110001"
	fails 'chown to nothing' 2 chown : "$b:0x5c110001"
	if is_root; then
		works 'chown' chown 65534:65533 "$b:0x5c110001"
		u list -B "$b" --json
		check 'changed owner and group' "$(json '.segments[] | select(.key == 1544617985) | [.owner_user, .owner_group] | @json')" \
			= '[65534,65533]'
		works 'chown of the group alone' chown :0 "$b:0x5c110001"
		u list -B "$b" --json
		check 'changed the group' "$(json '.segments[] | select(.key == 1544617985) | [.owner_user, .owner_group] | @json')" \
			= '[65534,0]'
		works 'chown back' chown 0 "$b:0x5c110001"
	fi
	if others_can_run; then
		works 'chmod to 0600' chmod 600 "$b:0x5c110001"
		run as_nobody "$unishm" show "$b:0x5c110001"
		check 'an unreadable segment: show' "$status $(one_line)" = '1 yes'
		run as_nobody "$unishm" read "$b:0x5c110001"
		check 'an unreadable segment: read' "$status $(one_line)" = '1 yes'
		run as_nobody "$unishm" remove "$b:0x5c110001"
		check 'an unreadable segment: remove' "$status $(one_line)" = '1 yes'
		works 'chmod to 0644' chmod 644 "$b:0x5c110001"
		run as_nobody "$unishm" remove "$b:0x5c110001"
		check 'remove of what others own' "$status $(one_line)" = '1 yes'
		run as_nobody "$unishm" chmod 600 "$b:0x5c110001"
		check 'chmod of what others own' "$status $(one_line)" = '1 yes'
		echo x >"$tmp/x"
		run as_nobody "$unishm" write "$b:0x5c110001" <"$tmp/x"
		check 'write without permission' "$status $(one_line)" = '1 yes'
		run as_nobody "$unishm" read "$b:0x5c110001"
		check 'read with read permission only' "$status" = 0
		run as_nobody "$unishm" create "$b:0x5c110002" 4K -m 200
		check 'create of what the owner may not read' "$status $(out)" = "0 $b:0x5c110002"
		works 'root removes it' remove "$b:0x5c110002"
		run as_nobody "$unishm" remove --unattached --yes $harmless
		check 'a bulk removal leaves what others own alone' "$status $(out)" = '0 '
	else
		skip 'other users' "needs root, and that others can run $unishm"
	fi
	"$unishm" lock --hold "$b:0x5c110001" >"$tmp/lock" &
	holder=$!
	sleep 0.4
	cells locked
	check 'lock --hold' "$(out)" = yes
	kill "$holder"
	wait "$holder"
	check 'lock --hold ends well' $? = 0
	cells locked
	check 'and unlocks' "$(out)" = no
	if [ "$b" = posix ]; then
		fails 'lock without --hold says that it cannot last' 1 lock "$b:0x5c110001"
	else
		works 'lock' lock "$b:0x5c110001"
		cells locked
		check 'holds' "$(out)" = yes
	fi
	works 'unlock' unlock "$b:0x5c110001"
	sweep
}

test_bytes() {
	"$unishm" create "$b:0x5c110001" 20 >/dev/null
	printf 'hello world' >"$tmp/in"
	u write "$b:0x5c110001" <"$tmp/in"
	check 'write' "$status $(err)" = '0 '
	u read "$b:0x5c110001" --length 11
	check 'read what was written' "$status $(out)" = '0 hello world'
	u read "$b:0x5c110001" --offset 6 --length 5
	check 'read a part' "$status $(out)" = '0 world'
	u read "$b:0x5c110001"
	check 'read all' "$status $(wc -c <"$tmp/out")" = '0 20'
	u read "$b:0x5c110001" --offset 18 --length 5
	check 'read beyond the end: gives what there is, and says so' \
		"$status $(wc -c <"$tmp/out") $(grep -c '3 bytes were left out' "$tmp/err")" = '1 2 1'
	u read "$b:0x5c110001" --offset 20
	check 'read at the end: nothing' "$status $(wc -c <"$tmp/out")" = '0 0'
	fails 'read behind the end' 1 read "$b:0x5c110001" --offset 21
	fails 'write behind the end' 1 write "$b:0x5c110001" --offset 21
	fails 'a bad offset' 2 read "$b:0x5c110001" --offset 1X
	fails 'a bad length' 2 read "$b:0x5c110001" --length -4
	u write "$b:0x5c110001" --offset 15 <"$tmp/in"
	check 'write beyond the end: writes what fits, and says what does not' \
		"$status $(grep -c '6 bytes were left out' "$tmp/err")" = '1 1'
	u read "$b:0x5c110001" --offset 15
	check 'what fits is there' "$(out)" = hello
	printf 'hello world' | "$unishm" write "$b:0x5c110001" --offset 15 2>"$tmp/err"
	check 'the same from a pipe' "$(grep -c 'left out' "$tmp/err")" = 1
	u write "$b:0x5c110001" --length 2 <"$tmp/in"
	check 'write --length leaves out what was meant to be' "$status $(err)" = '0 '
	u read --hex "$b:0x5c110001" --length 16
	check 'read --hex' "$status $(head -1 "$tmp/out")" = \
		'0 00000000  68 65 6c 6c 6f 20 77 6f  72 6c 64 00 00 00 00 68  |hello world....h|'
	u write "$b:0x5c110001" </etc
	check 'an input that cannot be read' "$status $(one_line)" = '1 yes'
	sweep

	head -c 11000000 /dev/urandom >"$tmp/random"
	u create "$b:0x5c110001" --from "$tmp/random"
	check 'create --from a file, of its size' "$status $(out)" = "0 $b:0x5c110001"
	"$unishm" read "$b:0x5c110001" | cmp - "$tmp/random"
	check 'has the same bytes' $? = 0
	if command -v hexdump >/dev/null; then
		hexdump -C -n 100003 "$tmp/random" >"$tmp/dump"
		"$unishm" read --hex --length 100003 "$b:0x5c110001" | cmp - "$tmp/dump"
		check 'dumps as hexdump -C does' $? = 0
	fi
	fails 'create --from of one that exists' 1 create "$b:0x5c110001" --from "$tmp/random"
	u create "$b:0x5c110002" 100 --from "$tmp/random"
	check 'create --from of what does not fit: nothing' \
		"$status $(one_line) $("$unishm" list -o key | grep -c 0x5c110002)" = '1 yes 0'
	fails 'create --from a missing file' 1 create "$b:0x5c110002" --from "$tmp/none"
	fails 'create --from a directory' 1 create "$b:0x5c110002" 4K --from /etc
	fails 'create --from a pipe needs a size' 2 create "$b:0x5c110002" --from /dev/null
	printf abc | "$unishm" create "$b:0x5c110002" 5 --from - >/dev/null
	u read "$b:0x5c110002" --length 3
	check 'create --from standard input' "$(out)" = abc
	sweep
}

# The command in $1 is sent a signal when it has begun.
interrupt() {
	"$@" >"$tmp/out" 2>"$tmp/err" <"$tmp/pipe" &
	victim=$!
	exec 9>"$tmp/pipe"
	printf abc >&9
	sleep 0.4
	kill -TERM "$victim"
	wait "$victim"
	status=$?
	exec 9>&-
}

test_trouble() {
	mkfifo "$tmp/pipe"
	"$unishm" create "$b:0x5c110001" 20 >/dev/null
	interrupt "$unishm" write "$b:0x5c110001"
	check 'write, interrupted: says what was written' \
		"$status $(one_line) $(grep -c ' 3 bytes' "$tmp/err")" = '1 yes 1'
	u read "$b:0x5c110001" --length 3
	check 'and it was' "$(out)" = abc
	interrupt "$unishm" create "$b:0x5c110002" 20 --from -
	check 'create --from, interrupted: says so' "$status $(one_line)" = '1 yes'
	check 'nothing was created' "$("$unishm" list -o key | grep -c 0x5c110002)" = 0
	rm "$tmp/pipe"

	"$unishm" create "$b:0x5c110003" 4M >/dev/null
	{ "$unishm" read "$b:0x5c110003" 2>"$tmp/err"; echo $? >"$tmp/status"; } | head -c 1 >"$tmp/out"
	status=$(cat "$tmp/status")
	check 'read to a closed pipe' "$status $(one_line)" = '1 yes'
	{ "$unishm" read --hex "$b:0x5c110001" 2>"$tmp/err"; echo $? >"$tmp/status"; } | exec true
	status=$(cat "$tmp/status")
	check 'read --hex to a closed pipe' "$([ "$status" -le 1 ] && echo fine)" = fine
	{ sleep 0.2; "$unishm" list 2>"$tmp/err"; echo $? >"$tmp/status"; } | exec true
	status=$(cat "$tmp/status")
	check 'list to a closed pipe' "$status $(one_line)" = '1 yes'
	if [ -c /dev/full ]; then
		for what in list 'list --json' "show $b:0x5c110001" "read $b:0x5c110001" \
			"read -x $b:0x5c110001" --help 'list --version' 'watch -c 1' doctor; do
			# shellcheck disable=SC2086
			"$unishm" $what >/dev/full 2>"$tmp/err"
			status=$?
			check "$what to a full disk" "$status $(one_line)" = '1 yes'
		done
	else
		skip 'a full disk' 'no /dev/full'
	fi
	if [ -n "$UNISHM_TEST_INSIDE" ] && [ "$b" = posix ]; then
		fails 'create beyond the file system' 1 create "$b:0x5c110004" 100M
		works 'create --noreserve beyond the file system' create "$b:0x5c110004" 100M --noreserve
		u write "$b:0x5c110004" </dev/zero
		check 'write into a full system: a line, no crash' "$status $(one_line)" = '1 yes'
		run "$unishm" read "$b:0x5c110004"
		check 'read in a full system: a line, no crash' "$status $(one_line)" = '1 yes'
		fails 'read --hex in a full system: a line, no crash' 1 read --hex "$b:0x5c110004"
	fi
	"$unishm" list >&- 2>"$tmp/err"
	status=$?
	check 'no standard output at all' "$status $(one_line)" = '1 yes'
	sweep
}

test_bulk() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	"$unishm" create "$b:0x5c110002" 4K >/dev/null
	hold "$b:0x5c110002"
	u remove -B "$b" --unattached --dry-run
	check 'remove --unattached --dry-run' "$status $(grep -c '^would remove .*0x5c11' "$tmp/out")" = '0 1'
	u remove "$b:0x5c110001" --dry-run
	check 'remove SEGMENT --dry-run' "$status $(out)" = "0 would remove $b:0x5c110001"
	u remove -B "$b" --unattached --older-than 1h --yes $harmless
	check 'remove --older-than keeps what is young' "$status $(has 0x5c11)" = '0 '
	fails '--older-than alone' 2 remove --older-than 1h
	fails 'a bad age' 2 remove --unattached --older-than 1y
	fails 'both segments and a choice' 2 remove --unattached "$b:0x5c110001"
	fails 'neither' 2 remove
	if [ -z "$UNISHM_TEST_INSIDE" ]; then
		skip 'remove --all-mine' 'it would remove what is not of this test'
	else
		u remove -B "$b" --unattached --older-than 0s --yes
		check 'remove --unattached' "$status $(grep -c 'removed .*0x5c110001' "$tmp/out")" = '0 1'
		cells key
		check 'keeps what is attached' "$(out)" = 0x5c110002
		u remove -B "$b" --all-mine --yes
		check 'remove --all-mine' "$status $(grep -c 'removed .*0x5c110002' "$tmp/out")" = '0 1'
	fi
	release
	sweep
}

test_terminal() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	on_terminal 100 "$unishm" list -B "$b"
	check 'colours on a terminal' "$(has "${esc}[")" = yes
	NO_COLOR=1 on_terminal 100 "$unishm" list -B "$b"
	check 'no colours with NO_COLOR' "$(has "${esc}[")" = ''
	TERM=dumb on_terminal 100 "$unishm" list -B "$b"
	check 'no colours on a dumb terminal' "$(has "${esc}[")" = ''
	on_terminal 100 "$unishm" read "$b:0x5c110001"
	check 'no binary to a terminal' "$(has '[status 1]') $(has --hex)" = 'yes yes'
	on_terminal 100 "$unishm" read --force "$b:0x5c110001"
	check 'binary to a terminal with --force' "$(has '[status 0]')" = yes
	printf 'hello\n' | "$unishm" write "$b:0x5c110001"
	on_terminal 100 "$unishm" read "$b:0x5c110001" --length 6
	check 'text to a terminal' "$(has hello) $(has '[status 0]')" = 'yes yes'
	on_terminal 300,send=abc,enter,200,INT "$unishm" write "$b:0x5c110001"
	check 'interrupt while writing' "$(has 'interrupted; 4 bytes') $(has '[status 1]')" = 'yes yes'
	head -c 17000000 /dev/zero >"$tmp/zeros"
	"$unishm" create "$b:0x5c110002" 17000000 >/dev/null
	on_terminal 300 sh -c "{ cat $tmp/zeros; } | '$unishm' write $b:0x5c110002 >$tmp/x"
	check 'progress of much' "$(has 'written ') $(has '[status 0]')" = 'yes yes'
	"$unishm" remove "$b:0x5c110002"

	if [ -n "$UNISHM_TEST_INSIDE" ]; then
		on_terminal 300,send=n,enter "$unishm" remove -B "$b" --all-mine
		check 'remove asks, and takes no' "$(has '[y/N]') $(has '[status 1]') $("$unishm" list -o key |
			grep -c 0x5c110001)" = 'yes yes 1'
		on_terminal 300,send=y,enter "$unishm" remove -B "$b" --all-mine
		check 'remove asks, and takes yes' "$(has '[status 0]') $("$unishm" list -o key |
			grep -c 0x5c110001)" = 'yes 0'
	fi

	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	on_terminal 400,send=q "$unishm" watch -B "$b"
	check 'watch: full screen, and back' "$(has "${esc}[?1049h") $(has "${esc}[?1049l")" = 'yes yes'
	check 'watch: q quits' "$(has '[status 0]') $(has '[modes as before]')" = 'yes yes'
	check 'watch: 80 columns are enough' "$(sed "s/${esc}\[[?0-9;]*[a-zA-Z]//g" "$tmp/out" |
		tr -d '\r' | awk 'length > 80' | wc -l)" = 0
	for signal in INT TERM; do
		on_terminal 400,$signal "$unishm" watch
		check "watch: SIG$signal gives the terminal back" \
			"$(has '[status 0]') $(has "${esc}[?1049l") $(has '[modes as before]')" = 'yes yes yes'
	done
	on_terminal 400,TSTP,300,stopped,modes,CONT,300,send=q "$unishm" watch
	check 'watch: stopped, the terminal is as before' "$(has '[stopped]')
$(grep -c '^\[modes as before\]' "$tmp/out") $(has '[status 0]')" = 'yes
2 yes'
	on_terminal 400,size=5x30,400,send=q "$unishm" watch -i 60
	check 'watch: follows a new size' "$(sed "s/${esc}\[[?0-9;]*[a-zA-Z]//g" "$tmp/out" |
		grep -c segments) $(has '[status 0]')" = '2 yes'
	(sleep 0.6; echo x | "$unishm" write "$b:0x5c110001") &
	on_terminal 1500,send=q "$unishm" watch -i 1 "$b:0x5c110001"
	check 'watch SEGMENT: marks what changed' "$(has '*last_op_process')" = yes
	on_terminal 300 "$unishm" watch -i 1 -c 1
	check 'watch --count ends' "$(has '[status 0]')" = yes
	wait

	(sleep 0.4; "$unishm" chmod 644 "$b:0x5c110001") &
	u watch -B "$b" --interval 1 --count 2
	check 'watch: lines without a terminal' \
		"$status $(grep -c "found $b:0x5c110001 id=" "$tmp/out")" = '0 1'
	check 'watch: what changed' "$(grep -c 'mode=rw-------->rw-r--r--' "$tmp/out")" = 1
	fails 'watch: a missing segment' 1 watch "$b:0x5c1100ff"
	fails 'watch: a bad interval' 2 watch --interval 0
	wait
	sweep
}

# ---- Once ------------------------------------------------------------------------

test_help() {
	for command in '' list show create remove chmod chown lock unlock read write watch doctor; do
		# shellcheck disable=SC2086
		u $command --help
		check "$command --help" "$status $(grep -c '^Usage: unishm' "$tmp/out")" = '0 1'
		# shellcheck disable=SC2086
		u $command --version
		check "$command --version" "$status $(grep -c '^unishm [0-9]' "$tmp/out")" = '0 1'
	done
	fails 'an unknown command' 2 frobnicate
	u
	check 'no command' "$status $(out)" = '2 '
	UNISHM_BACKEND=nosuch fails 'an unknown $UNISHM_BACKEND' 2 show 1
	fails 'an unknown --backend' 2 show -B nosuch 1
	if [ -d "$source/tools/completions" ] && command -v bash >/dev/null; then
		run bash -c '. "$1"; program=$2
			complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _unishm
			echo "${COMPREPLY[@]}"; }
			complete_words unishm li
			unishm() { "$program" "$@"; }
			complete_words unishm list --noh
			complete_words unishm list --output "key,mo"' bash "$source/tools/completions/unishm.bash" "$unishm"
		check 'completion in bash' "$(out)" = 'list
--noheadings
key,mode'
	fi
}

test_same_as_ipcs() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || ! command -v ipcs lsipc jq >/dev/null; then
		skip 'ipcs and lsipc' 'not installed, or other programs make segments meanwhile'
		return
	fi
	"$unishm" create sysv:0x5c110001 65537 -m 640 >/dev/null
	"$unishm" create sysv:0x5c110002 1 -m 777 >/dev/null
	ipcmk -M 12345 >/dev/null
	echo x | "$unishm" write sysv:0x5c110001
	! is_root || "$unishm" chown 65534:65533 sysv:0x5c110002
	hold sysv:0x5c110002
	"$unishm" remove sysv:0x5c110002

	ipcs -m | awk '/^0x/ { print $1, $2, $4, $5, $6 }' | sort >"$tmp/ipcs"
	u list -B sysv --json
	json '.segments[] | [.key, .id, .mode, .size, .number_attached] | @tsv' |
		while read -r key id mode size attached; do
			echo "$(printf '0x%08x' "$key") $id ${mode#0} $size $attached"
		done | sort >"$tmp/ours"
	cmp "$tmp/ipcs" "$tmp/ours"
	check 'ipcs -m: the same' $? = 0
	ipcs -m -p | awk '$1 ~ /^[0-9]+$/ { print $1, $3, $4 }' | sort >"$tmp/ipcs"
	u list -B sysv --noheadings -o id,creator_process,last_op_process
	awk '{ print $1, $2, $3 }' "$tmp/out" | sort | cmp - "$tmp/ipcs"
	check 'ipcs -m -p: the same' $? = 0
	for id in $("$unishm" list -B sysv --noheadings -o id); do
		ipcs -m -i "$id" | tr -s ' \t' '  ' | sed -n 's/.*uid=\([0-9]*\) gid=\([0-9]*\) cuid=\([0-9]*\) cgid=\([0-9]*\).*/\1 \2 \3 \4/p'
	done | sort >"$tmp/ipcs"
	u list -B sysv --json
	json '.segments[] | [.owner_user, .owner_group, .creator_user, .creator_group] | @tsv' |
		tr '\t' ' ' | sort | cmp - "$tmp/ipcs"
	check 'ipcs -m -i: the same owners and creators' $? = 0

	lsipc -m -J -b -P --time-format=iso \
		-o KEY,ID,UID,GID,CUID,CGID,PERMS,SIZE,NATTCH,CPID,LPID,CTIME,ATTACH,DETACH,USER,GROUP |
		jq -r '.sharedmemory // .shared_memory // .[] | .[] | [.key, .id, .uid, .gid, .cuid, .cgid,
			.perms, .size, .nattch, .cpid, .lpid, .ctime, .attach, .detach, .user, .group] |
			map(. // "" | tostring) | join(" ")' | sed 's/  */ /g; s/ $//' | sort >"$tmp/lsipc"
	# lsipc leaves a name out where there is none; ours gives the number.
	json 'def named(n): if . == (n | tostring) then "" else . end;
		.segments[] | [.key, .id, .owner_user, .owner_group, .creator_user, .creator_group, .mode,
			.size, .number_attached, .creator_process, .last_op_process,
			.last_change_time, .last_attach_time, .last_detach_time,
			(.owner_user as $u | .owner_user_name | named($u)),
			(.owner_group as $g | .owner_group_name | named($g))] | map(. // "" | tostring) | join(" ")' |
		while read -r key rest; do
			echo "$(printf '0x%08x' "$key") $rest"
		done | sed 's/  */ /g; s/ $//' | sort >"$tmp/ours"
	diff "$tmp/lsipc" "$tmp/ours" >"$tmp/out" 2>&1
	check 'lsipc: all fields the same' $? = 0
	release
	ipcrm --all=shm 2>/dev/null
}

# Removed and attached: System V still lists it.
test_removed() {
	"$unishm" create sysv:0x5c110001 4K >/dev/null
	id=$("$unishm" list -B sysv --noheadings -o key,id | awk '/^0x5c110001/ { print $2 }')
	hold sysv:0x5c110001
	"$unishm" remove sysv:0x5c110001
	u list -B sysv
	check 'list: a removed one that is attached' "$(has ' removed ')" = yes
	u show "sysv:id:$id"
	check 'show: a removed one' "$status $(has 'removed: yes')" = '0 yes'
	if [ -n "$UNISHM_TEST_EMULATOR" ]; then
		skip 'show: who keeps it' "to the system, the process is $UNISHM_TEST_EMULATOR"
	else
		check 'show: who keeps it' "$(grep -c '^  [0-9]* unishm$' "$tmp/out")" = 1
	fi
	u doctor
	check 'doctor: a removed one' "$(has "sysv:id:$id was removed")" = yes
	release
}

test_foreign() {
	[ -d /dev/shm ] || return
	# A name that would be a command to a terminal.
	foreign=/dev/shm/unishm-cli-test-$(printf 'a\033[2J"b\377')
	head -c 5000 /dev/zero >"$foreign"
	u list --foreign
	check 'list --foreign shows it, without control characters' \
		"$(has 'unishm-cli-test-a?[2J"b') $(has "$esc")" = 'yes '
	u list --foreign --json
	check 'list --foreign --json' "$(json '.foreign[] | select(.name | startswith("unishm-cli-test")) |
		.size')" = 5000
	u list
	check 'not without --foreign' "$(has unishm-cli-test)" = ''
	[ -z "$UNISHM_TEST_INSIDE" ] || u remove --all-mine --yes
	check 'it is never removed' -f "$foreign"
	rm "$foreign"
}

test_doctor_posix() {
	u doctor
	check 'doctor: a small /dev/shm' "$status $(has 'it holds 48M only')" = '1 yes'
	u doctor --json
	check 'doctor --json: a problem' "$status $(json '[.findings[].level] | unique | join(" ")' |
		grep -c problem) $(json '.problems')" = '1 1 1'
	mount -o remount,size=256m,noexec /dev/shm
	u doctor
	check 'doctor: noexec' "$(has noexec)" = yes
	mount -o remount,exec /dev/shm
	head -c 250000000 /dev/zero >/dev/shm/fill
	u doctor
	check 'doctor: a full /dev/shm' "$status $(has 'problem /dev/shm')" = '1 yes'
	rm /dev/shm/fill
}

test_doctor_sysv() {
	u doctor
	check 'doctor: limits' "$(has kernel.shmmax) $(has kernel.shmmni) $(has kernel.shmall)" = 'yes yes yes'
	if echo 1 2>/dev/null >/proc/sys/kernel/shm_rmid_forced; then
		u doctor
		check 'doctor: shm_rmid_forced' "$status $(has shm_rmid_forced)" = '1 yes'
		echo 0 >/proc/sys/kernel/shm_rmid_forced
	fi
	if echo 1 2>/dev/null >/proc/sys/kernel/shmmni; then
		ipcmk -M 1 >/dev/null
		u doctor
		check 'doctor: no segment left' "$status $(has '1 of 1 segments')" = '1 yes'
		ipcrm --all=shm
		echo 4096 >/proc/sys/kernel/shmmni
	fi
}

test_doctor() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || ! is_root; then
		u doctor
		check 'doctor ends with 0 or 1' "$([ "$status" -le 1 ] && echo yes)" = yes
		skip 'doctor: traps' 'needs root and namespaces'
		return
	fi
	case $backends in *posix*) test_doctor_posix ;; esac
	case $backends in *sysv*) test_doctor_sysv ;; esac
	u doctor
	check 'doctor: nothing wrong' "$status $(has 'No problem found.') $(has RLIMIT_MEMLOCK)" = '0 yes yes'
	u doctor --json
	check 'doctor --json' "$status $(json '[.findings[].level] | index("ok")') $(json .problems)" = '0 0 0'
	if readlink /proc/1/ns/ipc >/dev/null; then
		u doctor
		check 'doctor: namespaces' "$(has 'namespace than process 1')" = yes
	else
		skip 'doctor: namespaces' 'process 1 may not be looked into'
	fi
	for b in $backends; do
		"$unishm" create "$b:0x5c110001" 4K >/dev/null
		u doctor
		check "doctor: a young left-over of $b is a note" "$status $(has "note    $b: $b:0x5c110001")" = '0 yes'
		sleep 1
		u doctor --older-than 1s
		check "doctor: an old left-over of $b is a problem" "$status $(has "problem $b: $b:0x5c110001")" = '1 yes'
		"$unishm" remove "$b:0x5c110001"
	done
	if mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc; then
		mkdir -p /run/systemd/system /etc/systemd/logind.conf.d
		u doctor
		check 'doctor: RemoveIPC by default' "$(has 'RemoveIPC is on (the default)')" = yes
		if others_can_run; then
			run as_nobody "$unishm" doctor
			check 'doctor: RemoveIPC is a problem for a user' "$status $(has 'problem systemd')" = '1 yes'
		fi
		echo 'RemoveIPC=no' >/etc/systemd/logind.conf
		u doctor
		check 'doctor: RemoveIPC=no' "$(has RemoveIPC)" = ''
		echo ' RemoveIPC = yes' >/etc/systemd/logind.conf.d/9.conf
		u doctor
		check 'doctor: a drop-in overrides' "$(has 'RemoveIPC is on (/etc/systemd/logind.conf.d/9.conf)')" = yes
		umount /etc /run
	fi
}

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
sweep
for backend in $backends; do
	b=$backend
	for group in create_and_remove bad_arguments list_and_show changes bytes trouble bulk terminal; do
		"test_$group"
	done
done
backend=any
test_help
case $backends in *sysv*) test_removed; test_same_as_ipcs ;; esac
case $backends in *posix*) test_foreign ;; esac
test_doctor
echo "1..$count"
[ "$failed" = 0 ]
