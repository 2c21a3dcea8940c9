#include "clearing/blocks.h"

#include <malloc.h>
#include <stdlib.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#define KINDS 2			/* a TLS record's buffer, a part of an event buffer that takes one in */
#define BLOCK_BYTES_MIN 16384u	/* smaller ones are the heap's */
#define KEPT_MAX 32		/* of a kind, by each thread: two megabytes */

static const size_t kind_bytes[KINDS] = { 18432, 36864 };
struct kept { void *block[KEPT_MAX]; unsigned count; };
static _Thread_local struct kept kept[KINDS];

static void *block_take(size_t bytes)
{
	unsigned kind = bytes > kind_bytes[0];

	if (bytes < BLOCK_BYTES_MIN || bytes > kind_bytes[1])
		return malloc(bytes);
	return kept[kind].count > 0 ? kept[kind].block[--kept[kind].count] : malloc(kind_bytes[kind]);
}

/* By what the heap says of its size: one from elsewhere is as good when it is as large. */
static void block_give(void *block)
{
	size_t bytes = block != NULL ? malloc_usable_size(block) : 0;
	unsigned kind = bytes >= kind_bytes[1];

	if (bytes < kind_bytes[0] || bytes >= 2 * kind_bytes[1] || kept[kind].count == KEPT_MAX)
		free(block);
	else
		kept[kind].block[kept[kind].count++] = block;
}

static void *crypto_take(size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return block_take(bytes);
}

static void *crypto_resize(void *block, size_t bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return realloc(block, bytes);
}

static void crypto_give(void *block, const char *file, int line)
{
	(void)file;
	(void)line;
	block_give(block);
}

void blocks_kept(void)
{
	CRYPTO_set_mem_functions(crypto_take, crypto_resize, crypto_give);
	event_set_mem_functions(block_take, realloc, block_give);
}

void blocks_drop(void)
{
	for (unsigned kind = 0; kind < KINDS; kind++)
		while (kept[kind].count > 0)
			free(kept[kind].block[--kept[kind].count]);
}
