# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Side by side with ipcs, lsipc, ipcmk and ipcrm.

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
		ipcs -m -i "$id" | grep -o '[cu]*[ug]id=[0-9]*' | sed 's/.*=//' | paste -sd ' ' -
	done | sort >"$tmp/ipcs"
	u list -B sysv --json
	json '.segments[] | [.owner_user, .owner_group, .creator_user, .creator_group] | @tsv' |
		tr '\t' ' ' | sort | cmp - "$tmp/ipcs"
	check 'ipcs -m -i: the same owners and creators' $? = 0

	columns=KEY,ID,UID,GID,CUID,CGID,PERMS,SIZE,NATTCH,CPID,LPID,CTIME,ATTACH,DETACH
	lsipc -m -J -b -P --time-format=iso -o "$columns,USER,GROUP" |
		jq -r '.sharedmemory // .shared_memory // .[] | .[] |
			[.key, .id, .uid, .gid, .cuid, .cgid, .perms, .size, .nattch, .cpid, .lpid,
			.ctime, .attach, .detach, .user, .group] |
			map(. // "" | tostring) | join(" ")' |
		sed 's/  */ /g; s/ $//' | sort >"$tmp/lsipc"
	# lsipc leaves a name out where there is none; ours gives the number.
	json 'def named(n): if . == (n | tostring) then "" else . end;
		.segments[] | [.key, .id, .owner_user, .owner_group, .creator_user, .creator_group,
			.mode, .size, .number_attached, .creator_process, .last_op_process,
			.last_change_time, .last_attach_time, .last_detach_time,
			(.owner_user as $u | .owner_user_name | named($u)),
			(.owner_group as $g | .owner_group_name | named($g))] |
			map(. // "" | tostring) | join(" ")' |
		while read -r key rest; do
			echo "$(printf '0x%08x' "$key") $rest"
		done | sed 's/  */ /g; s/ $//' | sort >"$tmp/ours"
	diff "$tmp/lsipc" "$tmp/ours" >"$tmp/out" 2>&1
	check 'lsipc: all fields the same' $? = 0
	release
	ipcrm --all=shm 2>/dev/null
}

# What one makes, the other shows, opens and removes.
test_each_others() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || ! command -v ipcmk ipcrm lsipc jq >/dev/null; then
		skip 'ipcmk and ipcrm' 'not installed, or other programs make segments meanwhile'
		return
	fi
	id=$(ipcmk -M 5000 -p 0640 | sed 's/.*: //')
	u show "sysv:id:$id" --json
	check 'ipcmk makes it, show shows it' "$(json '[.size, .mode] | @json')" = '[5000,"0640"]'
	echo hello | "$unishm" write "sysv:id:$id"
	u read "sysv:id:$id" --length 5
	check 'read and write' "$(out)" = hello
	u list -B sysv -b --noheadings -o id,rss,swap
	check 'rss and swap as the kernel has them' "$(out | tr -s ' ')" = \
		"$(awk 'NR > 1 { print $2, $15, $16 }' /proc/sysvipc/shm)"
	works 'remove' remove "sysv:id:$id"
	check 'ipcs shows it no more' "$(ipcs -m | grep -c 0x)" = 0
	"$unishm" create sysv:0x5c110001 64K -m u=rw,g=r >/dev/null
	check 'create makes it, lsipc shows it' "$(lsipc -m -J -b -P -o KEY,PERMS,SIZE,NATTCH |
		jq -r '.sharedmemory // .[] | .[0] | [.key, .perms, .size, .nattch] |
		map(tostring) | join(" ")')" = '0x5c110001 0640 65536 0'
	ipcrm -M 0x5c110001
	u list -B sysv --noheadings
	check 'ipcrm removes it, list shows it no more' "$status $(out)" = '0 '
	"$unishm" create sysv:0x5c110001 1 >/dev/null
	lsipc -m -r -b -o KEY,SIZE,NATTCH,PERMS | sed 1d >"$tmp/lsipc"
	u list -B sysv -r -b -o key,size,number_attached,mode --noheadings
	check 'lsipc --raw: the same but for the column names' "$(out)" = "$(cat "$tmp/lsipc")"
	"$unishm" remove sysv:0x5c110001
}

case $backends in *sysv*) test_same_as_ipcs; test_each_others ;; esac
