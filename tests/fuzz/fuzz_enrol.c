/* A request for a device's certificate, as a file or from the wire: read or refused, and what is read is bounded. */
#include <assert.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t code_key[ENROL_PROOF_BYTES];
	struct enrol_request r;

	if (enrol_request_read((const char *)p, n, &r) != NULL)
		return 0;
	assert(n <= ENROL_REQUEST_BYTES_MAX && strlen(r.device) >= 1 && strlen(r.device) <= DEVICE_BYTES_MAX && r.key != NULL && r.der != NULL);
	assert(!enrol_proved(&r, code_key) && !enrol_renews(&r, ""));
	enrol_request_done(&r);
	return 0;
}
