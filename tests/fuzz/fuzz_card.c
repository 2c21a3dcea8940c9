/* Files of a card, each reader over the same bytes: an answer of any length is read or refused with a reason. */
#include <assert.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *reason = NULL;
	struct card_transit transit;
	struct card_info info = { 0 };
	struct card_journey journey;
	struct card_holder holder;
	struct card_ssse ssse = { 0 };
	struct card_log entry;
	struct card_fci fci;

	if (card_parse_15(p, n, &info, &reason) != 0)
		assert(reason != NULL);
	reason = NULL;
	if (card_parse_17(p, n, &info, &reason) != 0)
		assert(reason != NULL);
	reason = NULL;
	if (card_parse_18(p, n, &entry, &reason) != 0)
		assert(reason != NULL);
	reason = NULL;
	if (card_parse_1e(p, n, &transit, &reason) != 0)
		assert(reason != NULL);
	reason = NULL;
	if (card_parse_16(p, n, &holder, &reason) != 0)
		assert(reason != NULL);
	reason = NULL;
	if (card_parse_1a(p, n, &journey, &reason) != 0)
		assert(reason != NULL);
	reason = NULL;
	if (card_parse_fci(p, n, &fci, &reason) != 0)
		assert(reason != NULL);
	else
		assert(fci.issuer_data_bytes == 0 || (fci.issuer_data > p && fci.issuer_data + fci.issuer_data_bytes <= p + n));
	for (unsigned record = 0; record < 9; record++) {
		reason = NULL;
		if (card_parse_ssse(record, p, n, &ssse, &reason) != 0)
			assert(reason != NULL);
	}
	return 0;
}
