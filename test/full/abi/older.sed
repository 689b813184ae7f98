# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
# vmbus.h as an older release could have had it: what the library does not demand of a caller is away. The ends are those that lib/ gives as the
# least size: signal_budget in both configs, fate in vmb_bus_info, bytes_sent in vmb_channel_info.
/^struct vmb_guest_config {/,/^};/{
	/From here on a struct of an older caller may end/,/^	void (\*trace)/d
}
/^struct vmb_host_config {/,/^};/{
	/The same as in the guest/,/^	void (\*trace)/d
}
/^struct vmb_bus_info {/,/^};/{
	/^	uint64_t fate\[/,/^	uint32_t reserved;/d
}
/^struct vmb_channel_info {/,/^};/{
	/^	uint64_t bytes_sent/,/^	uint32_t over;/d
}
