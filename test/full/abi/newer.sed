# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# vmbus.h as a newer release could have it: each struct that begins with `size` has one more field at its end.
/^struct vmb_[a-z_]* {/h
/^	uint32_t size;/{
	x
	s/$/ sized/
	x
}
/^};/{
	x
	/ sized$/{
		s/.*//
		x
		i\
	uint64_t later;
		x
	}
	x
}
