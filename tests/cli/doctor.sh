# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# unishm doctor.

test_doctor_posix() {
	u doctor
	check 'doctor: a small /dev/shm' "$status $(has 'it has only 48M')" = '1 yes'
	u doctor --json
	check 'doctor --json: a problem' \
		"$status $(json '[.findings[].level] | unique | join(" ")' |
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

# One cause is told by few findings, none of them on stderr, where --json has no place for it.
test_doctor_closed() {
	mount -o remount,size=256m /dev/shm
	chmod 700 /dev/shm
	run as_nobody "$unishm" doctor
	check 'doctor: a closed /dev/shm' "$status $(err) $(has 'not all users can use it') $(
		has 'cannot list the posix segments: this user may not')" = '1  yes yes'
	check 'doctor: and no mode of a segment is blamed' "$(grep -c 'such right' "$tmp/out")" = 0
	run as_nobody "$unishm" doctor --json
	check 'doctor --json: the same' "$status $(err) $(json '[.findings[] | select(.level ==
		"problem" and .subject == "segments")] | length')" = '1  1'
	chmod 777 /dev/shm
	u doctor
	check 'doctor: a /dev/shm without the sticky bit' \
		"$status $(has 'each user can remove the segments of others')" = '1 yes'
	chmod 1777 /dev/shm
}

test_doctor_sysv() {
	u doctor
	check 'doctor: limits' "$(has kernel.shmmax) $(has kernel.shmmni) $(has kernel.shmall)" \
		= 'yes yes yes'
	check 'doctor: unlimited is called so' \
		"$(has 'is unlimited (kernel.shmmax)') $(has '15E')" = 'yes '
	if echo 1 2>/dev/null >/proc/sys/kernel/shm_rmid_forced; then
		u doctor
		check 'doctor: shm_rmid_forced' "$status $(has shm_rmid_forced)" = '1 yes'
		echo 0 >/proc/sys/kernel/shm_rmid_forced
	fi
	if echo 1 2>/dev/null >/proc/sys/kernel/shmmni; then
		ipcmk -M 1 >/dev/null
		u doctor
		check 'doctor: no segment left' "$status $(has '1 of 1 possible segments')" \
			= '1 yes'
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
	case $backends in *posix*) others_can_run && test_doctor_closed ;; esac
	u doctor
	check 'doctor: nothing wrong' "$status $(has 'No problem found;') $(has RLIMIT_MEMLOCK)" \
		= '0 yes yes'
	u doctor --json
	check 'doctor --json' \
		"$status $(json '[.findings[].level] | index("ok")') $(json .problems)" = '0 0 0'
	if readlink /proc/1/ns/ipc >/dev/null; then
		u doctor
		check 'doctor: namespaces' "$(has 'namespace than process 1')" = yes
	else
		skip 'doctor: namespaces' 'process 1 may not be looked into'
	fi
	for b in $backends; do
		"$unishm" create "$b:0x5c110001" 4K >/dev/null
		u doctor
		check "doctor: a young left-over of $b is a note" \
			"$status $(has "note    $b: $b:0x5c110001")" = '0 yes'
		sleep 1
		u doctor --older-than 1s
		check "doctor: an old left-over of $b is a problem" \
			"$status $(has "problem $b: $b:0x5c110001")" = '1 yes'
		"$unishm" remove "$b:0x5c110001"
	done
	if mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc; then
		mkdir -p /run/systemd/system /etc/systemd/logind.conf.d
		u doctor
		check 'doctor: RemoveIPC by default' "$(has 'RemoveIPC is on (the default)')" = yes
		if others_can_run; then
			run as_nobody "$unishm" doctor
			check 'doctor: RemoveIPC is a problem for a user' \
				"$status $(has 'problem systemd')" = '1 yes'
		fi
		echo 'RemoveIPC=no' >/etc/systemd/logind.conf
		u doctor
		check 'doctor: RemoveIPC=no' "$(has RemoveIPC)" = ''
		echo ' RemoveIPC = yes' >/etc/systemd/logind.conf.d/9.conf
		u doctor
		check 'doctor: a drop-in overrides' \
			"$(has 'RemoveIPC is on (/etc/systemd/logind.conf.d/9.conf)')" = yes
		umount /etc /run
	fi
}

test_objects() {
	[ -n "$UNISHM_TEST_INSIDE" ] || return
	: >/dev/shm/ushm.5c1100aa
	echo damaged >/dev/shm/ushm.5c1100bb
	echo damaged >/dev/shm/ushp.5c1100cc
	echo foreign >/dev/shm/foreign
	ls -l /dev/shm >"$tmp/before"
	u doctor
	for name in ushm.5c1100bb ushp.5c1100cc; do
		check "doctor: an object under our name, $name" \
			"$(grep -c "/dev/shm/$name (8) has a name of this library" "$tmp/out")" = 1
	done
	check 'doctor: objects of other programs' "$(grep -c '1 object of other programs holds 4K' \
		"$tmp/out")" = 1
	ls -l /dev/shm | cmp -s - "$tmp/before"
	check 'doctor removes nothing' $? = 0
	rm /dev/shm/ushm.5c1100aa /dev/shm/ushm.5c1100bb /dev/shm/ushp.5c1100cc /dev/shm/foreign
	u doctor
	check 'doctor: a summary' "$(tail -1 "$tmp/out" | grep -Ec \
		'(No problem|[0-9]+ problems?) found; [0-9]+ notes?; [0-9]+ checks? passed\.$')" = 1
	if others_can_run; then
		"$unishm" create posix:0x5c110001 1 >/dev/null
		run as_nobody "$unishm" doctor
		check 'doctor: what cannot be read' "$(has '1 segment was not examined')" = yes
		"$unishm" remove posix:0x5c110001
	fi
}

test_interrupted() {
	leaves_nothing doctor "$b" doctor --backend "$b"
}

test_doctor
for_each_backend interrupted
case $backends in *posix*) test_objects ;; esac
