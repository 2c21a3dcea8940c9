/* One batch. Slices lie inside the input, and a sealed copy of what decoded passes its check. */
#include <assert.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct batch batch;
	static uint8_t out[BATCH_BYTES_MAX + 4096];
	int bytes;

	if (batch_decode(p, n, &batch) != 0)
		return 0;
	for (uint32_t i = 0; i < batch.count; i++)
		assert(batch.tap[i].p >= p && batch.tap[i].p + batch.tap[i].n <= p + n);
	if (batch_check(&batch) != 0 && batch_seal(&batch) != 0)
		return 0;
	assert(batch_check(&batch) == 0);
	bytes = batch_encode(&batch, out, sizeof(out));
	assert(bytes > 0);
	return 0;
}
