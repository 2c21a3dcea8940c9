/*
 * The generator's own random numbers: splitmix64, so that one seed gives one city on every machine.
 */
#include "city.h"

uint64_t city_random(struct city_rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t city_below(struct city_rng *r, uint32_t n)
{
	return (uint32_t)(((city_random(r) >> 32) * n) >> 32);
}

int32_t city_between(struct city_rng *r, int32_t from, int32_t to)
{
	return from + (int32_t)city_below(r, (uint32_t)(to - from) + 1);
}

bool city_chance(struct city_rng *r, uint32_t per_10000)
{
	return city_below(r, 10000) < per_10000;
}

void city_random_bytes(struct city_rng *r, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(city_random(r) >> 40);
}
