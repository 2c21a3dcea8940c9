/*
 * frame - where one message ends and the next begins: length, type, body. The one parser that faces the
 * network first; it believes no length beyond FRAME_BYTES_MAX.
 */
#include "validator/validator.h"

int frame_next(const uint8_t *p, size_t n, struct frame *ret_frame, size_t *ret_used)
{
	uint32_t length;

	if (n < 4)
		return 0;
	length = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	if (length < 1 || length > FRAME_BYTES_MAX)
		return TAP_E_FRAME;
	if (n >= FRAME_HEAD_BYTES && (p[4] < FRAME_HELLO || p[4] > FRAME_SAID))
		return TAP_E_FRAME;
	if (n < 4 + (size_t)length)
		return 0;
	*ret_frame = (struct frame){ .type = p[4], .body = p + FRAME_HEAD_BYTES, .bytes = length - 1 };
	*ret_used = 4 + (size_t)length;
	return 1;
}

void frame_head(uint8_t type, uint32_t body_bytes, uint8_t ret_head[FRAME_HEAD_BYTES])
{
	uint32_t length = body_bytes + 1;

	ret_head[0] = (uint8_t)(length >> 24);
	ret_head[1] = (uint8_t)(length >> 16);
	ret_head[2] = (uint8_t)(length >> 8);
	ret_head[3] = (uint8_t)length;
	ret_head[4] = type;
}
