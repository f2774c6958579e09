# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm list and show.

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
		skip 'show names the attached process' \
			"to the system, the process is $UNISHM_TEST_EMULATOR"
	else
		check 'show names the attached process' \
			"$(grep -c '^  [0-9][0-9]* unishm$' "$tmp/out")" = 1
	fi
	check 'show has the status' "$(grep -c '^number_attached:  *1$' "$tmp/out")" = 1
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
			'[.segments[] | .id, .key, .size, .number_attached, .creator_process,
			.owner_user | type] | unique | join(" ")')" = number
		check 'list --json: values' \
			"$(json ".segments[] | select(.segment == \"$b:0x5c110001\") |
			[.backend, .key, .size, .mode, .last_attach_time, .removed] | @json")" = \
			"[\"$b\",1544617985,65537,\"0640\",null,false]"
		check 'list --json: ISO 8601 times' "$(json '.segments[].last_change_time |
			test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[+-][0-9]{2}:[0-9]{2}$")' |
			sort -u)" = true
	else
		skip 'JSON' 'no jq'
	fi
	release
	sweep
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
	check 'show: a removed one' "$status $(grep -c '^removed:  *yes$' "$tmp/out")" = '0 1'
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
	check 'list --foreign --json' \
		"$(json '.foreign[] | select(.name | startswith("unishm-cli-test")) |
		.size')" = 5000
	u list
	check 'not without --foreign' "$(has unishm-cli-test)" = ''
	[ -z "$UNISHM_TEST_INSIDE" ] || u remove --all-mine --yes
	check 'it is never removed' -f "$foreign"
	rm "$foreign"
}

test_columns() {
	"$unishm" create "$b:0x5c110001" 64K -m 640 >/dev/null
	"$unishm" create "$b:0x5c110002" 3 >/dev/null
	works 'ls' ls -B "$b"
	check 'headings and cells are aligned: sizes and counts right' "$(awk '
		/^BACKEND/ { at = index($0, "SIZE") + 4; count = index($0, "NATTCH") + 6 }
		/ 0x5c11/ { print substr($0, at - 3, 3) substr($0, count - 1, 1) }' "$tmp/out")" \
		= '64K0
  30'
	check 'times are aligned right, too' \
		"$(awk '{ print length }' "$tmp/out" | sort -u | wc -l)" = 1
	u list -B "$b" -o +NAME,rss
	check 'list -o +COLUMN adds to the default ones' \
		"$(head -1 "$tmp/out" | grep -c '^BACKEND .*ATTACH.* NAME  *RSS$')" = 1
	u list -B "$b" -o KEY,Size,nattch --noheadings
	check 'columns in any case, and by their headings' "$(has '0x5c110001 64K 0')" = yes
	u list -B "$b" --noheadings -o \
		KEY,OWNER,PERMS,CUSER,CGROUP,USER,GROUP,CTIME,SIZE,NATTCH,ATTACH,DETACH,CPID,LPID
	check 'columns as lsipc names them' "$status $(awk '{ print NF }' "$tmp/out" | uniq)" \
		= '0 14'
	u list --output kye
	check 'did you mean' "$status $(grep -c 'did you mean "key"' "$tmp/err")" = '2 1'
	cells size -b
	check 'list -b' "$(out | tr '\n' ' ')" = '65536 3 '
	u list -B "$b" --raw -o key,size,mode --noheadings
	check 'list --raw' "$(has '0x5c110001 64K rw-r-----')" = yes
	u list -B "$b" --raw
	check 'list --raw separates by one blank' "$(grep -c '  ' "$tmp/out")" = 0
	cells last_change_time --time-format=iso
	check '--time-format=iso' "$(grep -Ec '^[0-9-]{10}T[0-9:]{8}\+00:00$' "$tmp/out")" = 2
	cells last_change_time --time-format=full
	check '--time-format=full' \
		"$(grep -Ec '^[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:]{8} [0-9]{4}$' \
		"$tmp/out")" = 2
	cells last_change_time --time-format short
	check '--time-format=short' "$(grep -Ec '^[0-9]{2}:[0-9]{2}:[0-9]{2}$' "$tmp/out")" = 2
	fails 'an unknown time format' 2 list --time-format=long
	hold "$b:0x5c110001"
	if [ -z "$UNISHM_TEST_EMULATOR" ]; then
		cells pids,command
		check 'columns pids and command' "$(head -1 "$tmp/out")" = "$holder unishm"
	fi
	release
	u -B "$b" list --noheadings -o key
	check '-B before the command' "$(grep -c 0x5c11 "$tmp/out")" = 2
	works '-B twice, the same' -B "$b" show -B "$b" 0x5c110001
	fails '-B with two backends' 2 -B posix show -B sysv 0x5c110001
	fails '-B and a segment of another backend' 2 -B "$b" show "$other:0x5c110001"
	u show "$b:0x5c110001"
	check 'show: key in hexadecimal and decimal' "$(has '0x5c110001 (1544617985)')" = yes
	check 'show: size' "$(has '65536 (64K)')" = yes
	check 'show: mode' "$(has 'rw-r----- (0640)')" = yes
	check 'show: values are aligned' "$(awk '/^attached_proc/ { exit } !/^ / { match($0, /: */)
		print RSTART + RLENGTH }' "$tmp/out" | sort -u)" = 21
	check 'show: 80 columns are enough' "$(awk 'length > 80' "$tmp/out" | wc -l)" = 0
	if [ "$b" = posix ] && [ -d /dev/shm ]; then
		check 'show: path' "$(has "/dev/shm/ushm.5c110001")" = yes
	fi
	command -v jq >/dev/null || return
	u list --json
	check 'JSON has the key both ways' \
		"$(json '.segments[] | select(.key == 1544617985) | .key_hex')" = \
		0x5c110001
	u list -J -o key,size
	check 'JSON has the columns that were asked for' \
		"$(json '.segments[0] | keys | join(",")')" = \
		'key,key_hex,size'
	[ -n "$UNISHM_TEST_INSIDE" ] || return
	if others_can_run; then
		run as_nobody "$unishm" list -B "$b"
		check 'list says what it may not read' \
			"$status $(grep -c '1 segment is not listed' \
			"$tmp/err")" = '0 0'
		"$unishm" chmod 600 "$b:0x5c110001"
		run as_nobody "$unishm" list -B "$b"
		check 'one or more segments' \
			"$status $(grep -c '2 segments are not listed' "$tmp/err")" = '0 1'
		run as_nobody "$unishm" list -B "$b" --json
		check 'also in JSON' "$(json .unreadable)" = 2
	fi
}

# Names as wide as the terminal shows them.
test_wide() {
	locale=$(locale -a 2>/dev/null | grep -im1 'utf-*8')
	if [ -n "${UNISHM_TEST_EMULATOR-}" ]; then
		skip 'wide characters' "qemu-user finds locales of another byte order"
		return
	fi
	if [ -z "$UNISHM_TEST_INSIDE" ] || [ -z "$locale" ]; then
		skip 'wide characters' 'needs namespaces and a UTF-8 locale'
		return
	fi
	printf x >/dev/shm/unishm-$(printf '\346\227\245\346\234\254')
	printf x >/dev/shm/unishm-four
	LC_ALL=$locale u list --foreign -o name,backend --noheadings
	check 'wide characters count as two columns' "$(out)" = "unishm-four foreign
unishm-$(printf '\346\227\245\346\234\254') foreign"
	rm /dev/shm/unishm-*
}

# Long ids and names, and the process ids of 22 bits that a system can have.
test_width() {
	if [ -z "$UNISHM_TEST_INSIDE" ] ||
			! echo 2000000000 2>/dev/null >/proc/sys/kernel/shm_next_id; then
		skip 'long ids' 'cannot be made here'
		return
	fi
	"$unishm" create sysv:0x5c110001 1023K >/dev/null
	echo x | "$unishm" write sysv:0x5c110001
	! is_root || "$unishm" chown 33 sysv:0x5c110001
	u list -B sysv
	# A process id can be longer than this one, and a date is longer than a time; the column has
	# the width of its heading at least.
	check 'list: 80 columns are enough' "$(has 2000000000) $(awk '/0x5c11/ {
		width = length($8) < 4 ? 4 : length($8)
		print (length + 7 - width + 2 > 80) }' "$tmp/out")" = 'yes 0'
	"$unishm" remove sysv:0x5c110001
}

# The first segment of an IPC namespace has the id 0, and so the inode 0.
test_first() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || [ -n "$UNISHM_TEST_EMULATOR" ]; then
		skip 'the id 0' 'needs namespaces, and processes that the system sees'
		return
	fi
	mkfifo "$tmp/first"
	run unshare -i sh -c '"$1" create sysv:0x5c110001 1 >/dev/null
		"$1" write sysv:0x5c110001 <"$2" &
		exec 8>"$2"
		while "$1" list -B sysv --unattached | grep -q 0x5c11; do sleep 0.1; done
		"$1" show sysv:0x5c110001
		exec 8>&-
		wait' sh "$unishm" "$tmp/first"
	check 'who attaches the segment with the id 0' "$(grep -c '^id:  *0$' "$tmp/out") $(
		grep -c '^  [0-9]* unishm$' "$tmp/out")" = '1 1'
}

for_each_backend list_and_show columns
case $backends in *sysv*) test_removed; test_first; test_width ;; esac
case $backends in *posix*) test_foreign; test_wide ;; esac
