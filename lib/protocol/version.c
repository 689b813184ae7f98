/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* The versions of the protocol and the features of its newest one. control-plane.md 3 */
#include "message.h"

static const uint32_t version_list[] = {
	VMB_V0_13, VMB_V1_1, VMB_V2_4, VMB_V3_0, VMB_V4_0, VMB_V4_1, VMB_V5_0, VMB_V5_1, VMB_V5_2, VMB_V5_3, VMB_V6_0,
};

#define VERSION_COUNT (sizeof version_list / sizeof *version_list)

uint32_t vmb_version_at(uint32_t index)
{
	return index < VERSION_COUNT ? version_list[index] : 0;
}

int vmbi_version_known(uint32_t version)
{
	for (uint32_t i = 0; i < VERSION_COUNT; i++)
		if (version_list[i] == version)
			return 1;
	return 0;
}

static const char version_features[][24] = { /* in the order of their bits */
	"SIGNAL_PARAMETERS", "REDIRECT", "MODIFY_CONNECTION", "CLIENT_ID", "CONFIDENTIAL", "PAUSE", "SERVER_MONITOR", "PINNING",
};

const char *vmb_feature_name(uint32_t bit)
{
	for (uint32_t i = 0; i < sizeof version_features / sizeof *version_features; i++)
		if (bit == 1u << i)
			return version_features[i];
	return "?";
}

int vmb_version(void)
{
	return (int)VMB_VERSION;
}
