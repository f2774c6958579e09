#!/bin/sh
# SPDX-License-Identifier: MIT
# The binary interface is that of the kept description, or grew as docs/abi.md allows;
# and what would break programs is found.
# shellcheck source=tests/packaging/common.sh
. "$TESTS/common.sh"
git clone --quiet "$SOURCE" copy
copy/scripts/abi || die 'the interface is not that of packaging/abi'

# edit EXPRESSION: a header like that
edit() {
	cp "$SOURCE/include/unishm.h" copy/include/unishm.h
	sed -i "$1" copy/include/unishm.h
	! cmp -s "$SOURCE/include/unishm.h" copy/include/unishm.h ||
		die "the header has changed: $1"
}

# grows: it is accepted, or the report shown
grows() {
	copy/scripts/abi >grown.log 2>&1 || {
		cat grown.log >&2
		return 1
	}
}

edit 's/^\tuint64_t reserved\[6\];/\tuint64_t more; uint64_t reserved[5];/'
grows || die 'a field out of the reserve is refused'
edit '/^struct unishm_options {/,/^};/s/^};/\tlong more; };/'
grows || die 'a choice at the end is refused'
sed -i '/^UNISHM_API key_t unishm_key_from_name/i UNISHM_API int unishm_more(void);' \
	copy/include/unishm.h
sed -i 's/^\tunishm_list;/&\n\tunishm_more;/' copy/core/unishm.map
echo 'int unishm_more(void) { return 0; }' >>copy/core/key.c
grows || die 'a new call is refused'
grep -q '1 Added function' grown.log
git -C copy checkout --quiet .
edit 's/^\tpid_t creator_process;/\tlong creator_process;/'
! copy/scripts/abi >broken.log 2>&1 || die 'it misses a field of another size'
edit 's/^\tbool locked; /\tint locked; /'
! copy/scripts/abi >broken.log 2>&1 || die 'it misses a field of another type'
edit 's/^\(\tint id;  *\/\* not negative\)/\tint before;\1/'
! copy/scripts/abi >broken.log 2>&1 || die 'it misses a field that moved'
edit 's/^\tuint64_t reserved\[6\];/&\n\tuint64_t more;/'
! copy/scripts/abi >broken.log 2>&1 || die 'it misses a struct that grew'
edit 's/^\tint oflag; /\tint before; &/'
! copy/scripts/abi >broken.log 2>&1 || die 'it misses a choice that moved'
cp "$SOURCE/include/unishm.h" copy/include/unishm.h
sed -i '/^\tunishm_sweep;/d' copy/core/unishm.map
! copy/scripts/abi >broken.log 2>&1 || die 'it misses a call that is gone'
echo 'ok: abi'
