/*
 * money - checked arithmetic on fen. Whatever divides says how it rounds and where the remainder goes; the
 * parts of a split always sum to the whole. Overflow cannot happen within the limits of a fare, so it is a
 * programmer error and stops the program.
 */
#include "tariffs/tariffs.h"

#include <assert.h>
#include <stdlib.h>

struct money money_add(struct money a, struct money b)
{
	int64_t sum;

	if (__builtin_add_overflow(a.fen, b.fen, &sum))
		abort();
	return money_of_fen(sum);
}

struct money money_sub(struct money a, struct money b)
{
	int64_t difference;

	if (__builtin_sub_overflow(a.fen, b.fen, &difference))
		abort();
	return money_of_fen(difference);
}

/* Is the quotient's amount one more? half: how the rest compares with half of the divisor. */
static inline bool rounds_up(enum money_round mode, bool negative, bool odd, int half, bool rest)
{
	switch (mode) {
	case ROUND_HALF_UP: return half >= 0;
	case ROUND_HALF_DOWN: return half > 0;
	case ROUND_HALF_EVEN: return half > 0 || (half == 0 && odd);
	case ROUND_FLOOR: return negative && rest;
	case ROUND_CEIL: return !negative && rest;
	}
	return false;
}

/* Quotient of a / b (b > 0) rounded by mode; halves of negative amounts mirror those of positive ones. */
static __int128 divide(__int128 a, __int128 b, enum money_round mode)
{
	bool negative = a < 0;
	__int128 n = negative ? -a : a, q = n / b, twice = (n % b) * 2;

	q += rounds_up(mode, negative, (q & 1) != 0, (twice > b) - (twice < b), twice != 0);
	return negative ? -q : q;
}

/* The same in 64 bits, for fares: a quarter of the time. b < 2^62. */
static int64_t divide_narrow(int64_t a, int64_t b, enum money_round mode)
{
	bool negative = a < 0;
	int64_t n = negative ? -a : a, q = n / b, twice = (n - q * b) * 2;

	q += rounds_up(mode, negative, (q & 1) != 0, (twice > b) - (twice < b), twice != 0);
	return negative ? -q : q;
}

static struct money scale_wide(struct money a, int64_t num, int64_t den, enum money_round mode, int64_t unit_fen)
{
	__int128 q = divide((__int128)a.fen * num, (__int128)den * unit_fen, mode) * unit_fen;

	if (q > INT64_MAX || q < INT64_MIN)
		abort();
	return money_of_fen((int64_t)q);
}

struct money money_scale(struct money a, int64_t num, int64_t den, enum money_round mode, int64_t unit_fen)
{
	int64_t top, bottom, fen;

	assert(den > 0 && unit_fen > 0);
	if (__builtin_mul_overflow(a.fen, num, &top) || __builtin_mul_overflow(den, unit_fen, &bottom) || bottom >= INT64_MAX / 2 || top == INT64_MIN)
		return scale_wide(a, num, den, mode, unit_fen);
	if (__builtin_mul_overflow(divide_narrow(top, bottom, mode), unit_fen, &fen))
		abort();
	return money_of_fen(fen);
}

#define SPLIT_PARTS_MAX 16

void money_split(struct money whole, const uint32_t *weight, size_t n, struct money *ret_part)
{
	uint64_t sum = 0, rest[SPLIT_PARTS_MAX];
	int64_t given = 0;

	assert(n > 0 && n <= SPLIT_PARTS_MAX && whole.fen >= 0);
	for (size_t i = 0; i < n; i++)
		sum += weight[i];
	assert(sum > 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t narrow;

		if (!__builtin_mul_overflow((uint64_t)whole.fen, (uint64_t)weight[i], &narrow)) {
			ret_part[i] = money_of_fen((int64_t)(narrow / sum));
			rest[i] = narrow % sum;
		} else {
			unsigned __int128 share = (unsigned __int128)whole.fen * weight[i];

			ret_part[i] = money_of_fen((int64_t)(share / sum));
			rest[i] = (uint64_t)(share % sum);
		}
		given += ret_part[i].fen;
	}
	for (; given < whole.fen; given++) {
		size_t largest = 0;

		for (size_t i = 1; i < n; i++)
			if (rest[i] > rest[largest])
				largest = i;
		ret_part[largest].fen++;
		rest[largest] = 0;
	}
}
