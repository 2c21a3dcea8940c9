#include "histogram.h"

/* Times below 128 have a bucket each; from there on each doubling is cut into 64 equal steps. */
static uint32_t bucket_of(uint64_t us)
{
	uint32_t shift = us < 2 * HISTOGRAM_STEPS ? 0 : (uint32_t)(57 - __builtin_clzll(us));
	uint64_t at = (uint64_t)shift * HISTOGRAM_STEPS + (us >> shift);

	return at < HISTOGRAM_BUCKETS ? (uint32_t)at : HISTOGRAM_BUCKETS - 1;
}

/* The largest time that falls into a bucket. */
static uint64_t bucket_last(uint32_t at)
{
	uint32_t shift = at < 2 * HISTOGRAM_STEPS ? 0 : at / HISTOGRAM_STEPS - 1;

	return ((uint64_t)(at - shift * HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
	h->bucket[bucket_of(us)]++;
	h->count++;
	if (us > h->max)
		h->max = us;
}

uint64_t histogram_at(const struct histogram *h, uint32_t per_10000)
{
	uint64_t wanted = (h->count * per_10000 + 9999) / 10000, sum = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && h->count > 0; i++) {
		sum += h->bucket[i];
		if (sum >= wanted && sum > 0)
			return i + 1 < HISTOGRAM_BUCKETS && bucket_last(i) < h->max ? bucket_last(i) : h->max;
	}
	return h->max;
}
