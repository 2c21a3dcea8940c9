/* An evidence pack of a stranger: every check is answered, and it holds only when all do. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/clearing.h"
#include "clearing/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	if (f == NULL)
		abort();
	(void)evidence_verify(p, n, NULL, f);
	fclose(f);
	assert(bytes > 0);
	free(text);
	return 0;
}
