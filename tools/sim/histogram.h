/*
 * histogram - how often each waiting time came, in a fixed memory: 64 steps to each doubling, so a
 * percentile is right to one part in 64 from a microsecond to an hour. Shared by the simulators.
 */
#ifndef TOOLS_SIM_HISTOGRAM_H
#define TOOLS_SIM_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS	  64 /* to a doubling */
#define HISTOGRAM_BUCKETS (28 * HISTOGRAM_STEPS)
struct histogram {
	uint64_t count, max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};
void histogram_add(struct histogram *h, uint64_t us);
/* The time below or at which this share of all came; 0 when there was none. */
uint64_t histogram_at(const struct histogram *h, uint32_t per_10000);

#endif
