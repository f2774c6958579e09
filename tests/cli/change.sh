# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm chmod, chown, lock and unlock, and what other users may.

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
		check 'changed owner and group' "$(json '.segments[] | select(.key == 1544617985) |
			[.owner_user, .owner_group] | @json')" \
			= '[65534,65533]'
		works 'chown of the group alone' chown :0 "$b:0x5c110001"
		u list -B "$b" --json
		check 'changed the group' "$(json '.segments[] | select(.key == 1544617985) |
			[.owner_user, .owner_group] | @json')" \
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

for_each_backend changes
