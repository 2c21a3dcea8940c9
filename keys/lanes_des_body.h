/*
 * Bitsliced DES for one kind of register; included once for each by lanes_des.c, which defines NAME, TARGET, V,
 * GROUPS (of 64 records), XOR, OR, ALL, CHOOSE and THREE. Bits of a block or key are counted from the leftmost.
 */
#define RECORDS (64 * GROUPS)

struct NAME(bits) { V bit[64]; };	/* a block or a key of each record */
struct NAME(halves) { V half[2][32]; };

#define LEAF(f) THREE(x3, x4, x5, f)
#define BOX_BIT(i, f0, f1, f2, f3, f4, f5, f6, f7) \
	out[i] = CHOOSE(x0, CHOOSE(x1, CHOOSE(x2, LEAF(f7), LEAF(f6)), CHOOSE(x2, LEAF(f5), LEAF(f4))), \
			CHOOSE(x1, CHOOSE(x2, LEAF(f3), LEAF(f2)), CHOOSE(x2, LEAF(f1), LEAF(f0))));
/* Box n reads six bits of the half around its four, wrapping at the ends, each with its key bit. */
#define BOX(n) \
	{ \
		V x0 = XOR(from[(4 * n + 27) & 31], key->bit[at[6 * n - 6]]), x1 = XOR(from[4 * n - 4], key->bit[at[6 * n - 5]]), \
		  x2 = XOR(from[4 * n - 3], key->bit[at[6 * n - 4]]), x3 = XOR(from[4 * n - 2], key->bit[at[6 * n - 3]]), \
		  x4 = XOR(from[4 * n - 1], key->bit[at[6 * n - 2]]), x5 = XOR(from[(4 * n) & 31], key->bit[at[6 * n - 1]]), out[4]; \
		DES_BOX_##n(BOX_BIT) \
		for (unsigned i = 0; i < 4; i++) \
			into[des_place[4 * n - 4 + i]] = XOR(into[des_place[4 * n - 4 + i]], out[i]); \
	}

TARGET static void NAME(round)(V into[32], const V from[32], const struct NAME(bits) *key, const uint8_t at[48])
{
	BOX(1) BOX(2) BOX(3) BOX(4) BOX(5) BOX(6) BOX(7) BOX(8)
}

/* Sixteen rounds between the permutations; backward with the keys from the last. The halves end exchanged. */
TARGET static void NAME(rounds)(struct NAME(halves) *h, const struct NAME(bits) *key, bool backward)
{
	V swap[32];

	for (unsigned i = 0; i < 16; i += 2) {
		NAME(round)(h->half[0], h->half[1], key, des_key_bit[backward ? 15 - i : i]);
		NAME(round)(h->half[1], h->half[0], key, des_key_bit[backward ? 14 - i : i + 1]);
	}
	memcpy(swap, h->half[0], sizeof(swap));
	memcpy(h->half[0], h->half[1], sizeof(swap));
	memcpy(h->half[1], swap, sizeof(swap));
}

TARGET static void NAME(enter)(const struct NAME(bits) *block, struct NAME(halves) *ret)
{
	for (unsigned i = 0; i < 64; i++)
		ret->half[i / 32][i % 32] = block->bit[des_initial[i]];
}

TARGET static void NAME(leave)(const struct NAME(halves) *h, struct NAME(bits) *ret)
{
	for (unsigned i = 0; i < 64; i++)
		ret->bit[des_initial[i]] = h->half[i / 32][i % 32];
}

/* The leaving and entering permutations between three DES cancel each other. */
TARGET static void NAME(triple)(const struct NAME(bits) key[2], const struct NAME(bits) *block, struct NAME(bits) *ret)
{
	struct NAME(halves) h;

	NAME(enter)(block, &h);
	NAME(rounds)(&h, &key[0], false);
	NAME(rounds)(&h, &key[1], true);
	NAME(rounds)(&h, &key[0], false);
	NAME(leave)(&h, ret);
}

TARGET static void NAME(single)(const struct NAME(bits) *key, struct NAME(bits) *block)
{
	struct NAME(halves) h;

	NAME(enter)(block, &h);
	NAME(rounds)(&h, key, false);
	NAME(leave)(&h, block);
}

/* Two words of each record into the lanes; missing records are zero. */
TARGET static void NAME(gather)(const uint32_t *word, size_t stride, size_t n, struct NAME(bits) *ret)
{
	uint64_t bit[64][GROUPS], row[64];

	for (unsigned g = 0; g < GROUPS; g++) {
		for (unsigned i = 0; i < 64; i++)
			row[i] = 64 * g + i < n ? pair(word + (64 * g + i) * stride) : 0;
		transpose(row);
		for (unsigned i = 0; i < 64; i++)
			bit[i][g] = row[i];
	}
	memcpy(ret->bit, bit, sizeof(bit));
}

TARGET static void NAME(fold)(const struct NAME(bits) *left, const struct NAME(bits) *right, struct NAME(bits) *ret)
{
	for (unsigned i = 0; i < 64; i++)
		ret->bit[i] = XOR(left->bit[i], right->bit[i]);
}

TARGET static void NAME(group)(const struct NAME(bits) parent[2], struct NAME(bits) work[3], const struct lane *lane, size_t n, uint8_t *ret_good)
{
	const size_t stride = sizeof(struct lane) / sizeof(uint32_t);
	struct NAME(bits) *factor = &work[0], *left = &work[1], *key = &work[2], *mac = &work[0], *block = &work[1];
	V differs = ALL(0);
	uint64_t wrong[GROUPS];

	NAME(gather)(lane->factor, stride, n, factor);
	NAME(triple)(parent, factor, left);
	for (unsigned i = 0; i < 64; i++)
		factor->bit[i] = XOR(factor->bit[i], ALL(-1));
	NAME(triple)(parent, factor, key);
	NAME(fold)(left, key, key);
	NAME(gather)(lane->text, stride, n, mac);
	NAME(single)(key, mac);
	for (unsigned b = 1; b < 3; b++) {
		NAME(gather)(lane->text + 2 * b, stride, n, block);
		NAME(fold)(mac, block, mac);
		NAME(single)(key, mac);
	}
	/* the word before the code is read with it and not looked at */
	NAME(gather)(&lane->text[5], stride, n, block);
	for (unsigned i = 0; i < 32; i++)
		differs = OR(differs, XOR(mac->bit[i], block->bit[32 + i]));
	memcpy(wrong, &differs, sizeof(wrong));
	for (size_t i = 0; i < n; i++)
		ret_good[i] = (wrong[i / 64] >> i % 64 & 1) == 0;
}

TARGET static void NAME(tacs)(const uint8_t parent[16], const struct lane *lane, size_t n, uint8_t *ret_good)
{
	struct NAME(bits) key[2], work[3];

	for (unsigned i = 0; i < 128; i++)
		key[i / 64].bit[i % 64] = ALL(-(parent[i / 8] >> (7 - i % 8) & 1));
	for (size_t i = 0; i < n; i += RECORDS)
		NAME(group)(key, work, lane + i, n - i < RECORDS ? n - i : RECORDS, ret_good + i);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(work, sizeof(work));
}

#undef NAME
#undef TARGET
#undef V
#undef GROUPS
#undef XOR
#undef OR
#undef ALL
#undef CHOOSE
#undef THREE
#undef RECORDS
#undef LEAF
#undef BOX_BIT
#undef BOX
