# SPDX-License-Identifier: MIT
# Completion of unishm(1) for fish. The command itself knows its options and segments.

function __unishm_candidates
	set -l words (commandline -opc)
	set -l typed (commandline -ct)
	set -l found (unishm __complete $words[2..-1] "$typed" 2>/dev/null)
	if test "$found[1]" = :files\t -o "$found[1]" = :files
		__fish_complete_path "$typed"
		return
	end
	for line in $found
		switch "$typed"
			case '--*=*'
				echo (string split -m 1 = -- $typed)[1]=$line
			case '*'
				echo $line
		end
	end
end

complete -c unishm -f -a '(__unishm_candidates)'
