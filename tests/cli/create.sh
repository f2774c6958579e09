# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm create and remove of what is named.

test_create_and_remove() {
	u create "$b:0x5c110001" 64K --mode 640
	check 'create says how the segment is spelled' "$status $(out)" = "0 $b:0x5c110001"
	u create "$b:0x5c110001" 64K
	check 'create of one that exists says so' "$status $(out) $(err)" \
		= "0 $b:0x5c110001 unishm: \
$b:0x5c110001 exists, mode rw-r-----, 64K; nothing changed"
	u create "$b:0x5c110001" 1 --mode 640
	check 'create of one that exists with the same mode' "$status $(out)" = "0 $b:0x5c110001"
	fails 'create of one that exists with another mode fails' 1 create "$b:0x5c110001" 1 -m 600
	check 'and says which' \
		"$(grep -c 'exists with mode rw-r-----, not rw-------; nothing changed' \
		"$tmp/err")" = 1
	fails 'create --exclusive of one that exists fails' 1 create -x "$b:0x5c110001" 64K
	fails 'create larger than what exists fails' 1 create "$b:0x5c110001" 65K
	check 'and says how large it is' \
		"$(grep -c 'has 65536 bytes, fewer than 66560' "$tmp/err")" = 1
	u create "$b:0x5c110002" 1
	u create "$b:0x5c110002" 2
	check 'one byte is no bytes' "$status $(grep -c 'has 1 byte, fewer' \
		"$tmp/err")" = '1 1'
	u remove "$b:0x5c110002"
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

test_sizes_and_modes() {
	for pair in 4KiB=4096 1.5M=1572864 3k=3072 2kib=2048 10B=10 1.000001K=1025 0.5m=524288; do
		u create "$b:0x5c110001" "${pair%=*}"
		cells size --bytes
		check "size ${pair%=*}" "$(out)" = "${pair#*=}"
		"$unishm" remove "$b:0x5c110001"
	done
	for pair in u=rw,g+r=rw-r----- g+rw=rw-rw---- o=r=rw----r-- a=r=r--r--r-- +x=rwx--x--x \
		ug=rw,u-w=r--rw---- g=u=rw-rw---- u=rwx,g=u-w,o=g=rwxr-xr-x u-o=rw-------; do
		u create "$b:0x5c110001" 1 --mode "${pair%=*}"
		cells mode
		check "mode ${pair%=*}" "$(out)" = "${pair##*=}"
		"$unishm" chmod 600 "$b:0x5c110001"
		"$unishm" remove "$b:0x5c110001"
	done
}

test_bad_arguments() {
	for size in 0 -1 '' 10E 10KB 1.5 1. 1.5X 1.5.5K .5K K 0x10 ' 1' 4KiBB 4iB \
		99999999999999999999 18446744073709551616 17179869184G
	do
		fails "size \"$size\" is a usage error" 2 create -- "$b:0x5c110001" "$size"
	done
	for segment in '' x id: id:x id:-1 id:99999999999 0x 0xg 010 4294967296 -2147483649 name \
		path:/ \
		path:/:x other:10 0x5c11zz ' 1' '1 '
	do
		fails "segment \"$segment\" is a usage error" 2 show -- "$b:$segment"
	done
	fails 'the key 0 names no segment' 2 show "$b:0"
	fails 'a path that is missing' 1 show "$b:path:/no/such/file:1"
	fails 'a missing key' 1 show "$b:0x5c1100ff"
	fails 'a missing id' 1 show "$b:id:2147483000"
	fails 'create by id' 2 create "$b:id:5" 1
	for mode in 8 1777 rwx -- '' u u+ u+z u=rw, g=ux 6u 0800; do
		fails "mode \"$mode\" is a usage error" 2 create --mode="$mode" "$b:0x5c110001" 1
	done
	if [ "$b" = sysv ] && [ "$(cat /proc/sys/vm/overcommit_memory 2>/dev/null)" != 1 ]; then
		u create "$b:0x5c110001" 40T
		check 'what cannot be reserved: the option of the command is named' \
			"$status $(grep -c 'or add --noreserve' "$tmp/err")" = '1 1'
	fi
	u create "$b:0x5c110001" 8000000T # 2: not even a number here
	check 'a size that no system has' "$((status == 1 || status == 2)) $(one_line)" = '1 yes'
	check 'and nothing is created' "$("$unishm" list -o key | grep -c 0x5c11)" = 0
}

# What is wrong is the directory, not a segment.
test_no_place() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || ! others_can_run; then
		skip 'a closed /dev/shm' 'needs namespaces and other users'
		return
	fi
	chmod 755 /dev/shm
	run as_nobody "$unishm" create posix:0x5c110001 1
	check 'create in a closed /dev/shm says so' "$status $(grep -c \
		'cannot create anything in /dev/shm: Permission denied' "$tmp/err")" = '1 1'
	chmod 700 /dev/shm
	for command in 'show posix:0x5c110001' 'list -B posix'; do
		# shellcheck disable=SC2086 # words
		run as_nobody "$unishm" $command
		check "$command in a closed /dev/shm blames the directory" "$status $(grep -c \
			'the directory /dev/shm, whose mode is rwx------' "$tmp/err")" = '1 1'
	done
	chmod 1777 /dev/shm
	"$unishm" create posix:0x5c110001 1 -m 000 >/dev/null
	"$unishm" chown 65534 posix:0x5c110001
	run as_nobody "$unishm" show posix:0x5c110001
	check 'an owner whom the mode refuses is not told to act as owner' "$status $(
		grep -c 'refuses this to its owner, this user; have root' "$tmp/err")" = '1 1'
	u remove posix:0x5c110001
	run unshare -m sh -c 'mount -t tmpfs tmpfs /dev; "$1" show posix:0x5c110001 2>&1
		"$1" list -B posix 2>&1' sh "$unishm"
	check 'a missing /dev/shm is said to be missing' \
		"$(grep -c 'there is no directory /dev/shm here' "$tmp/out")" = 2
	mount -o remount,ro /dev/shm
	u create posix:0x5c110001 1
	check 'create in a read-only /dev/shm says so' "$status $(grep -c \
		'cannot create anything in /dev/shm: Read-only' "$tmp/err")" = '1 1'
	mount -o remount,rw /dev/shm
}

# Why it failed is what the first call said, not what was looked at afterwards.
test_small_shmmax() {
	if [ -z "$UNISHM_TEST_INSIDE" ] || ! echo 10 2>/dev/null >/proc/sys/kernel/shmmax; then
		skip 'a small SHMMAX' 'cannot be set here'
		return
	fi
	u create sysv:0x5c110001 11
	check 'create beyond SHMMAX says so' "$status $(grep -c 'SHMMAX is less than 11 bytes' \
		"$tmp/err")" = '1 1'
	u doctor -B sysv
	check 'and so does doctor' "$status $(has 'SHMMAX is less than 4096 bytes') $(
		has 'a segment can have 10 bytes at most')" = '1 yes yes'
	echo 18446744073692774399 >/proc/sys/kernel/shmmax
}

for_each_backend create_and_remove sizes_and_modes bad_arguments
case $backends in *posix*) test_no_place ;; esac
case $backends in *sysv*) test_small_shmmax ;; esac
