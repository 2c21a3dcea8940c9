/* The URI that binds a certificate to a terminal. What is read is written back the same. */
#include <assert.h>
#include <string.h>

#include "clearing/clearing.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t terminal[6], psam[6];
	char uri[DEVICE_URI_BYTES + 1];

	if (!device_uri_parse(p, n, terminal, psam))
		return 0;
	device_uri_format(terminal, psam, uri);
	assert(n == DEVICE_URI_BYTES && memcmp(uri, p, n) == 0);
	return 0;
}
