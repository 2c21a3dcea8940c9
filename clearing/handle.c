/*
 * handle - the pseudonym of a person: SM3-HMAC of the identity number with a key only the bureaus' side holds. The
 * same person has the same handle at every bureau of the city; without the key nobody can try numbers against it.
 */
#include "clearing/clearing.h"

#include <ctype.h>
#include <string.h>

static char check_digit(const char *digits)
{
	static const uint8_t weight[17] = { 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2 };
	unsigned sum = 0;

	for (int i = 0; i < 17; i++)
		sum += weight[i] * (unsigned)(digits[i] - '0');
	return "10X98765432"[sum % 11];		/* GB 11643 */
}

bool identity_normal(const char *text, char ret_identity[19])
{
	size_t n = strlen(text), digits = strspn(text, "0123456789");
	char id[19];

	if (n == 15 && digits == 15)
		snprintf(id, sizeof(id), "%.6s19%.9s", text, text + 6);
	else if (n == 18 && digits >= 17)
		snprintf(id, sizeof(id), "%.17s", text);
	else
		return false;
	id[17] = check_digit(id);
	id[18] = '\0';
	if (n == 18 && toupper((unsigned char)text[17]) != id[17])
		return false;
	memcpy(ret_identity, id, sizeof(id));
	return true;
}

int handle_make(const uint8_t key[32], const char *identity, uint64_t *ret_handle)
{
	uint8_t mac[DIGEST_BYTES];
	uint64_t handle;
	int ret = hmac_sm3(key, 32, identity, strlen(identity), mac);

	if (ret != 0)
		return ret;
	handle = be64_get(mac) & ~(1ULL << 63);		/* the top bit tells registered persons from cards nobody registered */
	*ret_handle = handle != 0 ? handle : 1;
	return 0;
}

void handle_format(uint64_t handle, char ret_text[17])
{
	uint8_t bytes[8];

	be64_put(bytes, handle);
	hex_encode(bytes, 8, ret_text);
}

bool handle_parse(const char *text, uint64_t *ret_handle)
{
	uint8_t bytes[8];

	if (strlen(text) != 16 || !hex_decode(text, bytes, 8) || bytes[0] >= 0x80 || be64_get(bytes) == 0)
		return false;
	*ret_handle = be64_get(bytes);
	return true;
}
