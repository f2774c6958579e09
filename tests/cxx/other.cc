/* SPDX-License-Identifier: MIT */
#include "other.h"

unsigned long other_number_attached(const unishm::segment &seg)
{
	return seg.number_attached();
}
