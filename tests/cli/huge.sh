# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# How much of a segment is mapped by huge pages.

huge() { # options of show
	u show "$@" "$b:0x5c110001"
	sed -n 's/^huge_pages:  *//p' "$tmp/out" >"$tmp/line"
	mv "$tmp/line" "$tmp/out"
}

# A process that attaches 0x5c110001 and has written to so many of its bytes, until release.
hold_written() { # bytes, thp or plain
	mkfifo "$tmp/hold" "$tmp/attached"
	"$UNISHM_TEST_HUGE" "$b" 0x5c110001 "$@" <"$tmp/hold" >"$tmp/attached" 2>"$tmp/why" &
	holder=$!
	exec 8>"$tmp/hold"
	held=0
	read -r _ <"$tmp/attached" || { release; held=$?; }
	rm "$tmp/hold" "$tmp/attached"
	return "$held"
}

# What the kernel says of it, in KiB.
mapped_huge() {
	awk '/^[0-9a-f]+-/ { on = /5c110001/ }
		on && /^(ShmemPmdMapped|Shared_Hugetlb|Private_Hugetlb):/ { sum += $2 }
		END { print sum + 0 }' "/proc/$holder/smaps"
}

test_ordinary() {
	"$unishm" create "$b:0x5c110001" 64K -m 644 >/dev/null
	huge
	check 'nothing is attached' "$(out)" = 'not known: no process is attached'
	cells huge_pages
	check 'nothing is attached: list' "$(out)" = -
	if command -v jq >/dev/null; then
		u show --json "$b:0x5c110001"
		check 'nothing is attached: JSON' "$(json '[.huge_pages, .huge_pages_process,
			.huge_pages_not_known] | @json')" = \
			'[null,null,"no process is attached"]'
	fi
	if [ ! -r /proc/self/smaps ] || [ -n "$UNISHM_TEST_EMULATOR" ]; then
		skip 'attached in small pages' 'the system does not tell it of this process'
		return
	fi
	hold "$b:0x5c110001"
	huge
	check 'attached in small pages' "$(out)" = "0 of 64K, as process $holder has it mapped"
	cells HUGE
	check 'attached in small pages: list' "$(out)" = 0
	if [ -n "$UNISHM_TEST_INSIDE" ] && others_can_run; then
		run as_nobody "$unishm" show "$b:0x5c110001"
		check 'attached by a process of another user' \
			"$(has 'huge_pages:         not known: this user may look into no')" = yes
		check '80 columns are enough' \
			"$(awk '/^huge_pages/ && length > 80' "$tmp/out")" = ''
	fi
	release
}

# While 4M of the 6M of the segment are in huge pages.
show_share() {
	"$unishm" show "$b:0x5c110001" >"$tmp/before"
	huge
	check 'show' "$(out)" = "4M of 6M, as process $holder has it mapped"
	huge --bytes
	check 'show in bytes' "$(out)" = "4194304 of 6291456, as process $holder has it mapped"
	cells huge_pages
	check 'list' "$(out)" = 4M
	if command -v jq >/dev/null; then
		u show --json "$b:0x5c110001"
		check 'show --json' "$(json '[.huge_pages, .huge_pages_process,
			.huge_pages_not_known] | @json')" = "[4194304,$holder,null]"
		u list --json -o key,huge_pages
		check 'list --json' "$(json '.segments[] | select(.key_hex == "0x5c110001") |
			.huge_pages')" = 4194304
	fi
	u show "$b:0x5c110001"
	check 'to read it changes nothing' "$(out)" = "$(cat "$tmp/before")"
}

# A second one, which has touched nothing.
another_process() {
	mkfifo "$tmp/second"
	"$unishm" write "$b:0x5c110001" <"$tmp/second" &
	exec 9>"$tmp/second"
	while "$unishm" show "$b:0x5c110001" | grep -q '^number_attached:  *1$'; do sleep 0.1; done
	huge
	check 'the process that has most is told' "$(out)" = \
		"4M of 6M, as process $holder has it mapped"
	exec 9>&-
	wait $!
	rm "$tmp/second"
}

test_transparent() {
	page=$(cat /sys/kernel/mm/transparent_hugepage/hpage_pmd_size 2>/dev/null)
	if [ "${page:-0}" != 2097152 ] || [ -n "$UNISHM_TEST_EMULATOR" ]; then
		skip 'transparent huge pages' 'there are none of 2M here'
		return
	fi
	[ "$b" = sysv ] || [ -z "$UNISHM_TEST_INSIDE" ] ||
		mount -o remount,huge=advise /dev/shm 2>/dev/null
	# what is set aside is set aside in small pages
	"$unishm" create --noreserve "$b:0x5c110001" 6M >/dev/null
	hold_written 4194304 thp
	if [ "$held" != 0 ]; then
		check 'huge pages, or a reason' "$held" = 77
		skip 'transparent huge pages' "$(sed 's/;.*//' "$tmp/why")"
		return
	fi
	if [ "$(mapped_huge)" = 4096 ]; then
		show_share
		another_process
	else
		skip 'transparent huge pages' 'the system has no memory left for them'
	fi
	release
}

# Of a pool that the administrator has set aside.
test_reserved() {
	free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo 2>/dev/null)
	size=$(awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo 2>/dev/null)
	if [ "$b" = posix ] || [ "${free:-0}" -lt 3 ] || [ "${size:-0}" != 2048 ] ||
			[ -n "$UNISHM_TEST_EMULATOR" ] ||
			! "$unishm" create --hugetlb "$b:0x5c110001" 6M >/dev/null 2>&1; then
		skip 'create --hugetlb' 'there is no pool of huge pages for this user'
		return
	fi
	hold_written 4194304 plain
	check 'create --hugetlb: attached' "$held" = 0
	show_share
	release
}

for_each_backend ordinary transparent reserved
