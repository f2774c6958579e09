# SPDX-License-Identifier: MIT
# Completion of unishm(1) for fish.

set -l commands list show create remove chmod chown lock unlock read write watch doctor
set -l with_segment show remove chmod chown lock unlock read write watch
set -l columns segment backend id key owner_user owner_group creator_user creator_group mode size \
	number_attached creator_process last_op_process last_attach_time last_detach_time \
	last_change_time locked removed emulated inexact name

function __unishm_using
	set -l words (commandline -opc)
	test (count $words) -ge 2; and contains -- $words[2] $argv
end

function __unishm_segments
	unishm list --noheadings --output segment 2>/dev/null
end

complete -c unishm -f
complete -c unishm -s h -l help -d 'Help'
complete -c unishm -s V -l version -d 'Version'
complete -c unishm -n "__unishm_using $commands" -s B -l backend -x -a 'posix sysv' -d 'Backend'
complete -c unishm -n "__unishm_using $with_segment" -a '(__unishm_segments)'

complete -c unishm -n __fish_use_subcommand -a list -d 'List the segments of both backends'
complete -c unishm -n __fish_use_subcommand -a show -d 'Show all that is known of a segment'
complete -c unishm -n __fish_use_subcommand -a create -d 'Create a segment'
complete -c unishm -n __fish_use_subcommand -a remove -d 'Remove segments'
complete -c unishm -n __fish_use_subcommand -a chmod -d 'Change permission bits'
complete -c unishm -n __fish_use_subcommand -a chown -d 'Change owner and group'
complete -c unishm -n __fish_use_subcommand -a lock -d 'Keep segments in RAM'
complete -c unishm -n __fish_use_subcommand -a unlock -d 'Let segments be paged out again'
complete -c unishm -n __fish_use_subcommand -a read -d 'Copy bytes to standard output'
complete -c unishm -n __fish_use_subcommand -a write -d 'Copy standard input into a segment'
complete -c unishm -n __fish_use_subcommand -a watch -d 'Show what changes'
complete -c unishm -n __fish_use_subcommand -a doctor -d 'Look for what is wrong'

complete -c unishm -n '__unishm_using list' -s o -l output -x -a "$columns" -d 'Columns'
complete -c unishm -n '__unishm_using list' -s s -l sort -x -a "$columns" -d 'Order'
complete -c unishm -n '__unishm_using list show doctor' -s j -l json -d 'JSON'
complete -c unishm -n '__unishm_using list' -l bytes -d 'Sizes in bytes'
complete -c unishm -n '__unishm_using list' -l noheadings -d 'No line of headings'
complete -c unishm -n '__unishm_using list' -l mine -d 'Only what I own'
complete -c unishm -n '__unishm_using list remove' -l unattached -d 'What no process attaches'
complete -c unishm -n '__unishm_using list remove' -l dead-creator -d 'Whose creator is gone'
complete -c unishm -n '__unishm_using list' -l foreign -d 'Also what is not of this library'

complete -c unishm -n '__unishm_using create' -s m -l mode -x -d 'Permission bits, octal'
complete -c unishm -n '__unishm_using create' -s x -l exclusive -d 'Fail if it exists'
complete -c unishm -n '__unishm_using create' -s f -l from -r -F -d 'Fill it from a file'
complete -c unishm -n '__unishm_using create' -l noreserve -d 'Set no memory aside'
complete -c unishm -n '__unishm_using create' -l hugetlb -d 'Huge pages'

complete -c unishm -n '__unishm_using remove' -l all-mine -d 'All that I own'
complete -c unishm -n '__unishm_using remove doctor' -l older-than -x -d 'Unused for so long'
complete -c unishm -n '__unishm_using remove' -s n -l dry-run -d 'Remove nothing'
complete -c unishm -n '__unishm_using remove' -s y -l yes -d 'Do not ask'

complete -c unishm -n '__unishm_using lock' -l hold -d 'Until interrupted'
complete -c unishm -n '__unishm_using read write' -l offset -x -d 'Start here'
complete -c unishm -n '__unishm_using read write' -l length -x -d 'So many bytes'
complete -c unishm -n '__unishm_using read' -s x -l hex -d 'Dump in hexadecimal'
complete -c unishm -n '__unishm_using read' -l force -d 'Bytes that are no text, too'
complete -c unishm -n '__unishm_using watch' -s i -l interval -x -d 'Seconds'
complete -c unishm -n '__unishm_using watch' -s c -l count -x -d 'End after so many looks'
