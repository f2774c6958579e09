# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm remove by filters.

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
		check 'remove --all-mine leaves what is attached' "$status $(out)$(one_line)" = '0 yes'
		check 'and says how many' "$(grep -c '1 attached segment was not chosen' "$tmp/err")" = 1
		u remove -B "$b" --all-mine --attached --yes
		check 'remove --all-mine --attached' \
			"$status $(grep -c 'removed .*0x5c110002' "$tmp/out")" = '0 1'
	fi
	release
	sweep
}

for_each_backend bulk
