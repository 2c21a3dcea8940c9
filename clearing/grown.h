/* grown - memory of a list that may have to be larger. Private to clearing/. */
#ifndef CLEARING_GROWN_H
#define CLEARING_GROWN_H

#include <stddef.h>
#include <stdlib.h>

/* The list with room for count elements, at least one, of so many bytes; when it moves, for twice as many as before or more, and
 * *space says how many. NULL: no memory, and the list is what it was. */
static inline void *grown(void *list, size_t *space, size_t count, size_t bytes)
{
	size_t wide = *space > 0 ? *space : 16;
	void *moved;

	if (count <= *space)
		return list;
	while (wide < count)
		wide *= 2;
	moved = realloc(list, wide * bytes);
	if (moved != NULL)
		*space = wide;
	return moved;
}

#endif
