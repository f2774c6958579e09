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
		skip 'show names the attached process' "to the system, the process is $UNISHM_TEST_EMULATOR"
	else
		check 'show names the attached process' "$(grep -c '^  [0-9][0-9]* unishm$' "$tmp/out")" = 1
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
	check 'list --foreign --json' "$(json '.foreign[] | select(.name | startswith("unishm-cli-test")) |
		.size')" = 5000
	u list
	check 'not without --foreign' "$(has unishm-cli-test)" = ''
	[ -z "$UNISHM_TEST_INSIDE" ] || u remove --all-mine --yes
	check 'it is never removed' -f "$foreign"
	rm "$foreign"
}

for_each_backend list_and_show
case $backends in *sysv*) test_removed ;; esac
case $backends in *posix*) test_foreign ;; esac
