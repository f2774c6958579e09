#!/bin/sh
# SPDX-License-Identifier: MIT
# The command and the tools of the system, side by side, on System V segments: each sees
# and removes what the other made. Usage: beside.sh UNISHM
set -eu
unishm=$1
for tool in unshare ipcs ipcmk ipcrm lsipc jq; do
	command -v $tool >/dev/null || { echo "skipped: needs $tool"; exit 77; }
done
for inside in -mi -rmi; do # as root, or as root of a user namespace
	if [ -z "${UNISHM_TEST_INSIDE-}" ] && unshare $inside true 2>/dev/null; then
		export UNISHM_TEST_INSIDE=$inside
		exec unshare $inside sh "$0" "$@"
	fi
done
[ -n "${UNISHM_TEST_INSIDE-}" ] || { echo 'skipped: needs an IPC namespace of its own'; exit 77; }
export LC_ALL=C UNISHM_BACKEND=sysv

theirs() { # id mode size attached, of each segment
	ipcs -m | awk '/^0x/ { print $2, $4 + 0, $5, $6 }' | sort
}
ours() {
	"$unishm" list --json | jq -r '.segments[] | select(.backend == "sysv") |
		"\(.id) \(.mode | ltrimstr("0")) \(.size) \(.number_attached)"' | sort
}
same() { # NUMBER WHAT
	if [ "$(theirs)" != "$(ours)" ] || [ "$(ours | grep -c .)" != "$1" ]; then
		printf 'not ok: %s\nipcs:\n%s\nunishm:\n%s\n' "$2" "$(theirs)" "$(ours)"
		exit 1
	fi
	echo "ok: $2"
}

"$unishm" create -m 640 0x5c110001 65536 >/dev/null
same 1 'ipcs sees what unishm made'
[ "$(lsipc -m -b -J | jq -r '.sharedmemory[0].size')" = 65536 ]
echo 'ok: lsipc says the same size'
ipcmk -M 4096 -p 600 >/dev/null
same 2 'unishm sees what ipcmk made'
ipcrm -M 0x5c110001
same 1 'unishm sees that ipcrm removed'
key=$(ipcs -m | awk '/^0x/ { print $1 }')
"$unishm" show "sysv:$key" >/dev/null
"$unishm" remove "sysv:$key"
[ -z "$(theirs)" ]
echo 'ok: ipcs sees that unishm removed'
