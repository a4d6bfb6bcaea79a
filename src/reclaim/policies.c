/* SPDX-License-Identifier: MIT */
/*
 * reclaim/policies.c: the registry of replacement policies. A new policy is one file and two lines here.
 */
#include "reclaim/policies.h"

#include <string.h>

const struct pg_policy_ops *const pg_policies[] = {
	&pg_policy_clock,
	&pg_policy_fifo,
	&pg_policy_random,
	&pg_policy_nru,
	&pg_policy_aging,
	&pg_policy_twolist,
	&pg_policy_mglru,
	&pg_policy_twoq,
	&pg_policy_car,
	&pg_policy_clockpro,
	&pg_policy_s3fifo,
	&pg_policy_sieve,
	&pg_policy_example,
	NULL,
};

const struct pg_policy_ops *pg_policy_find(const char *text, const char **args)
{
	size_t n = strcspn(text, ":");

	for (int i = 0; pg_policies[i]; i++) {
		if (strlen(pg_policies[i]->name) == n && !memcmp(pg_policies[i]->name, text, n)) {
			*args = text + n + (text[n] == ':');
			return pg_policies[i];
		}
	}
	return NULL;
}
