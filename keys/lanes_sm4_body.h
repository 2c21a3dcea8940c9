/*
 * The rounds of SM4 for one kind of register; included once for each by lanes_sm4.c, which defines NAME, TARGET, V,
 * LANES, ALL, XOR, ROTL and the S-box. Two registers of lanes are worked on side by side, since a round waits for
 * the one before it.
 */
#define PAIR 2		/* registers side by side */

struct NAME(block) { V w[4][PAIR]; };
struct NAME(rounds) { V key[32][PAIR]; };

TARGET static inline V NAME(sbox_of)(V x) { return NAME(sbox)(x); }

/* Round i of encryption: w[i % 4] takes in the other three and the round key. */
TARGET static inline void NAME(round)(struct NAME(block) *b, unsigned i, const V key[PAIR])
{
	for (unsigned g = 0; g < PAIR; g++) {
		V t = XOR(XOR(b->w[(i + 1) & 3][g], b->w[(i + 2) & 3][g]), XOR(b->w[(i + 3) & 3][g], key[g]));

		t = NAME(sbox_of)(t);
		t = XOR(XOR(XOR(t, ROTL(t, 2)), XOR(ROTL(t, 10), ROTL(t, 18))), ROTL(t, 24));
		b->w[i & 3][g] = XOR(b->w[i & 3][g], t);
	}
}

/* In place; the words of the result stand in reverse, as SM4 puts them out. */
TARGET static void NAME(encrypt)(struct NAME(block) *b, const struct NAME(rounds) *r)
{
	struct NAME(block) out;

	for (unsigned i = 0; i < 32; i++)
		NAME(round)(b, i, r->key[i]);
	for (unsigned w = 0; w < 4; w++)
		memcpy(out.w[w], b->w[3 - w], sizeof(out.w[w]));
	*b = out;
}

/* Round keys from key words; the key words are used up. */
TARGET static void NAME(schedule)(struct NAME(block) *k, struct NAME(rounds) *ret)
{
	static const uint32_t fk[4] = { FK0, FK1, FK2, FK3 };

	for (unsigned w = 0; w < 4; w++)
		for (unsigned g = 0; g < PAIR; g++)
			k->w[w][g] = XOR(k->w[w][g], ALL(fk[w]));
	for (unsigned i = 0; i < 32; i++)
		for (unsigned g = 0; g < PAIR; g++) {
			V t = XOR(XOR(k->w[(i + 1) & 3][g], k->w[(i + 2) & 3][g]), XOR(k->w[(i + 3) & 3][g], ALL(ck(i))));

			t = NAME(sbox_of)(t);
			t = XOR(t, XOR(ROTL(t, 13), ROTL(t, 23)));
			k->w[i & 3][g] = XOR(k->w[i & 3][g], t);
			ret->key[i][g] = k->w[i & 3][g];
		}
}

/* One word of each record into its lane. */
TARGET static void NAME(gather)(V ret[PAIR], const uint32_t *word, size_t stride, size_t n)
{
	uint32_t lane[PAIR * LANES] = { 0 };

	for (size_t i = 0; i < n; i++)
		lane[i] = word[i * stride];
	memcpy(ret, lane, sizeof(lane));
}

TARGET static void NAME(group)(const struct NAME(rounds) *parent, struct NAME(rounds) *card, const struct lane *lane, size_t n, uint8_t *ret_good)
{
	const size_t stride = sizeof(struct lane) / sizeof(uint32_t);
	uint32_t differs[PAIR * LANES];
	struct NAME(block) b;
	V want[PAIR], more[2][PAIR];

	for (unsigned w = 0; w < 2; w++) {
		NAME(gather)(b.w[w], &lane->factor[w], stride, n);
		for (unsigned g = 0; g < PAIR; g++)
			b.w[2 + w][g] = XOR(b.w[w][g], ALL(0xFFFFFFFFu));
		NAME(gather)(more[w], &lane->text[4 + w], stride, n);
	}
	NAME(encrypt)(&b, parent);
	NAME(schedule)(&b, card);
	for (unsigned w = 0; w < 4; w++)
		NAME(gather)(b.w[w], &lane->text[w], stride, n);
	NAME(encrypt)(&b, card);
	for (unsigned w = 0; w < 2; w++)
		for (unsigned g = 0; g < PAIR; g++)
			b.w[w][g] = XOR(b.w[w][g], more[w][g]);
	NAME(encrypt)(&b, card);
	NAME(gather)(want, &lane->tac, stride, n);
	for (unsigned g = 0; g < PAIR; g++)
		want[g] = XOR(want[g], b.w[0][g]);
	memcpy(differs, want, sizeof(differs));
	for (size_t i = 0; i < n; i++)
		ret_good[i] = differs[i] == 0;
}

TARGET static void NAME(tacs)(const uint8_t parent[16], const struct lane *lane, size_t n, uint8_t *ret_good)
{
	struct NAME(rounds) issuer, card;
	struct NAME(block) k;

	for (unsigned w = 0; w < 4; w++)
		for (unsigned g = 0; g < PAIR; g++)
			k.w[w][g] = ALL(be32(parent + 4 * w));
	NAME(schedule)(&k, &issuer);
	for (size_t i = 0; i < n; i += PAIR * LANES)
		NAME(group)(&issuer, &card, lane + i, n - i < PAIR * LANES ? n - i : PAIR * LANES, ret_good + i);
	OPENSSL_cleanse(&issuer, sizeof(issuer));
	OPENSSL_cleanse(&card, sizeof(card));
	OPENSSL_cleanse(&k, sizeof(k));
}

#undef NAME
#undef TARGET
#undef V
#undef LANES
#undef ALL
#undef XOR
#undef ROTL
#undef PAIR
