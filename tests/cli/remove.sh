# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm remove by filters.

test_bulk() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	"$unishm" create "$b:0x5c110002" 4K >/dev/null
	hold "$b:0x5c110002"
	u remove -B "$b" --unattached --dry-run
	check 'remove --unattached --dry-run' \
		"$status $(grep -c '^would remove .*0x5c11' "$tmp/out")" = '0 1'
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
		check 'remove --unattached' \
			"$status $(grep -c 'removed .*0x5c110001' "$tmp/out")" = '0 1'
		cells key
		check 'keeps what is attached' "$(out)" = 0x5c110002
		u remove -B "$b" --all-mine --yes
		check 'remove --all-mine leaves what is attached' "$status $(out)$(one_line)" \
			= '0 yes'
		check 'and says how many' \
			"$(grep -c '1 attached segment was not chosen' "$tmp/err")" = 1
		u remove -B "$b" --all-mine --attached --yes
		check 'remove --attached --yes names what is attached' \
			"$(grep -c "^unishm: $b:0x5c110002 is attached 1 time" "$tmp/err")" = 1
		check 'remove --all-mine --attached' \
			"$status $(grep -c 'removed .*0x5c110002' "$tmp/out")" = '0 1'
	fi
	release
	sweep
}

# What the choice of the filters was: the keys of this test.
chosen() {
	sed -n 's/^would remove .*:\(0x5c11[0-9a-f]*\) .*/\1/p' "$tmp/out" | tr '\n' ' '
}

test_attached() {
	"$unishm" create "$b:0x5c110001" 4K >/dev/null
	"$unishm" create "$b:0x5c110002" 8K >/dev/null
	hold "$b:0x5c110002"
	u remove -B "$b" --dead-creator --dry-run
	check 'remove --dead-creator leaves out what is attached' "$status $(chosen)" \
		= '0 0x5c110001 '
	check 'and says so' \
		"$(grep -c 'attached segments* w.* not chosen; --attached' "$tmp/err")" = 1
	u remove -B "$b" --dead-creator --attached --dry-run
	check 'remove --dead-creator --attached chooses it' "$(chosen)" = '0x5c110001 0x5c110002 '
	u remove -B "$b" --all-mine --dry-run
	check 'remove --all-mine leaves out what is attached' "$(chosen)" = '0x5c110001 '
	fails '--attached and --unattached' 2 remove --attached --unattached --dry-run
	fails '--attached alone' 2 remove --attached --dry-run
	fails '--foreign alone' 2 remove --foreign --dry-run
	fails '--unfinished and another filter' 2 remove --unfinished --all-mine --dry-run
	u remove "$b:0x5c110002"
	check 'remove of a named one that is attached says so first' \
		"$status $(grep -c "^unishm: $b:0x5c110002 is attached 1 time" "$tmp/err")" = '0 1'
	if [ -z "$UNISHM_TEST_EMULATOR" ]; then
		check 'and by whom' "$(grep -c 'by [0-9]* (unishm)' "$tmp/err")" = 1
	fi
	release
}

# Nothing is removed without a yes.
test_question() {
	if [ -z "$UNISHM_TEST_INSIDE" ]; then
		skip 'remove asks' 'it would remove what is not of this test'
		return
	fi
	for key in 1 2 3 4 5 6 7 8; do
		"$unishm" create "$b:0x5c11000$key" "${key}K" >/dev/null
	done
	u remove -B "$b" --all-mine </dev/null
	check 'without a terminal, remove refuses' "$status $(one_line)" = '1 yes'
	check 'says what it would remove, and how to' \
		"$(grep -c '8 segments (36K) would be removed.*--yes' "$tmp/err")" = 1
	u remove -B "$b" --all-mine --older-than 0s </dev/null
	check 'refuses with each filter' "$status $("$unishm" list -o key | grep -c 0x5c11)" = '1 8'
	on_terminal 300,send=y,enter sh -c "'$unishm' remove -B $b --all-mine 2>'$tmp/x'"
	check 'a question that cannot be seen is none' \
		"$(has '[status 1]') $("$unishm" list -o key |
		grep -c 0x5c11)" = 'yes 8'
	hold "$b:0x5c110001"
	on_terminal 300,send=n,enter "$unishm" remove -B "$b" --all-mine --attached
	check 'remove asks with count and size' "$(has '8 segments, 36K in all:')" = yes
	check 'and names what is attached' "$(grep -c "^unishm: $b:0x5c110001 is attached 1 time" \
		"$tmp/out")" = 1
	check 'and the largest' "$(grep -c "^  $b:0x5c11000[4-8] " "$tmp/out") $(
		has 'and 3 smaller ones')" = '5 yes'
	check 'and removes nothing at no' "$("$unishm" list -o key | grep -c 0x5c11)" = 8
	release
	on_terminal 300,send=y,enter "$unishm" rm -B "$b" --all-mine
	check 'and all at yes' "$(has '[status 0]') $("$unishm" list -o key | grep -c 0x5c11)" \
		= 'yes 0'
}

# Root may remove all; filters choose what others made only when told to.
test_of_others() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || ! others_can_run; then
		skip 'segments of others' 'needs namespaces and other users'
		return
	fi
	as_nobody "$unishm" create sysv:0x5c110001 4K >/dev/null
	as_nobody "$unishm" create posix:0x5c110002 4K >/dev/null
	u remove --unattached --dry-run
	check 'filters choose no System V segment of other users' "$(chosen)" = '0x5c110002 '
	check 'and say so' \
		"$(grep -c '1 segment of other users was not chosen; --foreign' "$tmp/err")" = 1
	u remove --unattached --foreign --dry-run
	check 'but with --foreign' "$(chosen)" = '0x5c110002 0x5c110001 '
	u remove --all-mine --dry-run
	check '--all-mine chooses none of them' "$(chosen)" = ''
	works 'named, it is removed' remove sysv:0x5c110001
	works 'and the other' remove posix:0x5c110002
}

# Nothing that only reads removes anything.
test_readers() {
	[ -n "$UNISHM_TEST_INSIDE" ] || return
	: >/dev/shm/ushm.5c1100aa
	echo foreign >/dev/shm/ushm.5c1100bb
	[ "$b" = posix ] || ipcmk -M 4096 -p 0613 >/dev/null
	ls /dev/shm >"$tmp/before"
	ipcs -m >>"$tmp/before"
	for what in list 'list --json' 'list --foreign' 'show 0x5c1100aa' 'show 0x5c1100bb' \
		'read 0x5c1100bb' doctor 'watch -c 1' 'remove --unattached --dry-run' \
		'remove --unfinished --dry-run' '__complete show '; do
		# shellcheck disable=SC2086
		u $what
	done
	{ ls /dev/shm; ipcs -m; } | cmp -s - "$tmp/before"
	check 'what reads removes nothing' $? = 0
	u remove --unattached --yes
	check 'filters do not choose what is not whole' -f /dev/shm/ushm.5c1100aa
	check 'nor what has a name of ours' -f /dev/shm/ushm.5c1100bb
	rm -f /dev/shm/ushm.5c1100aa /dev/shm/ushm.5c1100bb
	ipcrm --all=shm 2>/dev/null
}

# A maker that is killed while it fills a segment.
kill_maker() {
	mkfifo "$tmp/pipe"
	"$unishm" create "$b:0x5c110001" 4K --from - <"$tmp/pipe" 2>/dev/null &
	victim=$!
	exec 9>"$tmp/pipe"
	printf abc >&9
	sleep 0.4
	u remove -B "$b" --unfinished --dry-run
	kill -9 "$victim"
	wait "$victim" 2>/dev/null
	exec 9>&-
	rm "$tmp/pipe"
}

test_unfinished() {
	if [ -z "$UNISHM_TEST_INSIDE" ]; then
		skip 'remove --unfinished' 'it would remove what is not of this test'
		return
	fi
	kill_maker
	check 'remove --unfinished does not choose what is being made' "$status $(out)" = '0 '
	u list -B "$b" --json
	check 'what is unfinished is not listed' "$(has 0x5c110001)" = ''
	u remove -B "$b" --unfinished --dry-run
	if [ "$b" = sysv ] && [ "$(out)" = '' ]; then
		skip 'remove --unfinished' 'this backend does not tell'
		works 'create in its place' create "$b:0x5c110001" 1
		return
	fi
	check 'remove --unfinished --dry-run' "$status $(chosen)" = '0 0x5c110001 '
	u doctor
	check 'doctor tells of it' "$(has '1 segment was left unfinished')" = yes
	u remove -B "$b" --unfinished </dev/null
	check 'remove --unfinished asks' "$status $(one_line)" = '1 yes'
	if others_can_run; then
		run as_nobody "$unishm" remove -B "$b" --unfinished --yes
		check 'others do not remove it' "$(has removed)" = ''
	fi
	u remove -B "$b" --unfinished --dry-run
	check 'it is still there' "$(chosen)" = '0x5c110001 '
	u remove -B "$b" --unfinished --yes
	check 'remove --unfinished --yes' \
		"$status $(grep -c '^removed .*0x5c110001' "$tmp/out")" = '0 1'
	u remove -B "$b" --unfinished --yes
	check 'and then there is none' "$status $(out)" = '0 '
}

test_many() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || [ -n "$UNISHM_TEST_EMULATOR" ]; then
		skip 'many segments' 'needs namespaces, and time'
		return
	fi
	i=0
	while [ $i -lt 1000 ]; do
		printf '%s:0x5c11%04x\n' "$b" $i
		i=$((i + 1))
	done | xargs -n 1 -P 2 sh -c '"$0" create "$1" 1 >/dev/null' "$unishm"
	u remove -B "$b" --all-mine --yes
	check 'a thousand segments are removed' "$status $(grep -c '^removed' "$tmp/out")" \
		= '0 1000'
}

for_each_backend bulk attached question readers unfinished many
case $backends in *posix*sysv*) test_of_others ;; esac
