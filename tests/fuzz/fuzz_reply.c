/* What a code platform answers to /ask: JSON of a stranger. What is taken is plain and bounded: it goes into files of lines. */
#include <assert.h>
#include <string.h>

#include "clearing/code_route.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void plain(const char *text, size_t most)
{
	assert(strlen(text) <= most);
	for (; *text != '\0'; text++)
		assert(*text >= ' ' && *text <= '~' && *text != '"');
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct code_reply *reply = NULL;

	if (code_reply_open(p, n, &reply) != 0) {
		assert(reply == NULL);
		return 0;
	}
	for (size_t i = 0; i < code_reply_count(reply); i++) {
		struct code_answer back, a = { .key = { 1 } };
		uint8_t row[CODE_ANSWER_BYTES];
		struct code_said said;

		if (!code_reply_row(reply, i, &said))
			continue;
		plain(said.id, CODE_ID_BYTES - 1);
		plain(said.reference, sizeof(said.reference) - 1);
		plain(said.reason, sizeof(said.reason) - 1);
		a.result = said.result;
		a.amount_fen = said.amount_fen;
		memcpy(a.reference, said.reference, sizeof(a.reference));
		code_answer_put(&a, row);
		assert(code_answer_get(row, sizeof(row), &back) && back.amount_fen == said.amount_fen && strcmp(back.reference, said.reference) == 0);
	}
	code_reply_close(reply);
	return 0;
}
