/*
 * reader_pcsc - a contactless reader or a SAM slot behind pcsc-lite, as the reader interface. One card at a time; a
 * card that leaves the field in the middle is -EIO, which the gate takes for a torn tap.
 *
 * Every call may block for as long as the reader does, a second at most with the readers known; the owner calls from
 * its loop between other work.
 */
#include "validator/validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <winscard.h>

#define NAMES_BYTES_MAX 2048

struct pcsc_reader {
	struct reader reader;
	SCARDCONTEXT context;
	SCARDHANDLE card;
	DWORD protocol;
	bool connected;
	char name[MAX_READERNAME + 1];
};

static int transmit_once(struct pcsc_reader *r, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	SCARD_IO_REQUEST send = { .dwProtocol = r->protocol, .cbPciLength = sizeof(send) };
	DWORD got = (DWORD)ret_bytes;
	LONG code = SCardTransmit(r->card, &send, apdu, (DWORD)n, NULL, ret, &got);

	return code == SCARD_S_SUCCESS ? (int)got : -EIO;
}

/* Commands come as header, length and data. A card that answers asks for a length of its answer too (case 4 of
 * ISO/IEC 7816-3); one that says 61 or 6C wants to be asked again. */
static int transmit(struct reader *reader, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct pcsc_reader *r = (struct pcsc_reader *)(void *)reader;
	uint8_t out[264], again[5] = { 0x00, 0xC0, 0x00, 0x00, 0x00 };
	int got;

	if (!r->connected || n < 5 || n + 1 > sizeof(out))
		return r->connected ? -EINVAL : -EIO;
	memcpy(out, apdu, n);
	if (n > 5 && r->protocol != SCARD_PROTOCOL_T0)
		out[n++] = 0x00;
	got = transmit_once(r, out, n, ret, ret_bytes);
	if (got == 2 && ret[0] == 0x6C && n == 5) {
		out[4] = ret[1];
		got = transmit_once(r, out, n, ret, ret_bytes);
	} else if (got == 2 && ret[0] == 0x61) {
		again[4] = ret[1];
		got = transmit_once(r, again, sizeof(again), ret, ret_bytes);
	}
	if (got < 0)
		r->connected = false;
	return got;
}

/* The first reader whose name contains this. */
static bool name_find(struct pcsc_reader *r, const char *part)
{
	char names[NAMES_BYTES_MAX];
	DWORD n = sizeof(names);

	if (SCardListReaders(r->context, NULL, names, &n) != SCARD_S_SUCCESS)
		return false;
	for (const char *p = names; *p != '\0'; p += strlen(p) + 1)
		if (strstr(p, part) != NULL && strlen(p) < sizeof(r->name)) {
			strcpy(r->name, p);
			return true;
		}
	return false;
}

int pcsc_reader_open(const char *name_part, struct pcsc_reader **ret_reader)
{
	struct pcsc_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->reader.transmit = transmit;
	if (SCardEstablishContext(SCARD_SCOPE_SYSTEM, NULL, NULL, &r->context) != SCARD_S_SUCCESS) {
		free(r);
		return -ECONNREFUSED;
	}
	if (!name_find(r, name_part)) {
		pcsc_reader_close(r);
		return -ENODEV;
	}
	*ret_reader = r;
	return 0;
}

void pcsc_reader_close(struct pcsc_reader *r)
{
	if (r == NULL)
		return;
	pcsc_reader_release(r);
	SCardReleaseContext(r->context);
	free(r);
}

#define SLICE_MS 100

enum seen { SEEN_NONE, SEEN_CARD, SEEN_MUTE };	/* mute: something is there and does not answer */

/* One look; -ENODEV when there is no reader any more. */
static int look(struct pcsc_reader *r)
{
	SCARD_READERSTATE state = { .szReader = r->name };
	LONG code = SCardGetStatusChange(r->context, 0, &state, 1);

	if (code != SCARD_S_SUCCESS || (state.dwEventState & (SCARD_STATE_UNKNOWN | SCARD_STATE_UNAVAILABLE)) != 0)
		return code == (LONG)SCARD_E_TIMEOUT ? SEEN_NONE : -ENODEV;
	if ((state.dwEventState & SCARD_STATE_PRESENT) == 0)
		return SEEN_NONE;
	return (state.dwEventState & SCARD_STATE_MUTE) != 0 ? SEEN_MUTE : SEEN_CARD;
}

/* Sleep until something changes at the reader, a slice at most. */
static void slice(struct pcsc_reader *r)
{
	SCARD_READERSTATE state = { .szReader = r->name };

	if (SCardGetStatusChange(r->context, 0, &state, 1) != SCARD_S_SUCCESS)
		return;
	state.dwCurrentState = state.dwEventState;
	SCardGetStatusChange(r->context, SLICE_MS, &state, 1);
}

int pcsc_reader_wait(struct pcsc_reader *r, uint32_t wait_ms)
{
	for (uint32_t waited = 0;; waited += SLICE_MS) {
		int here = look(r);

		if (here < 0)
			return here;
		if (here == SEEN_CARD) {
			pcsc_reader_release(r);
			r->connected = SCardConnect(r->context, r->name, SCARD_SHARE_EXCLUSIVE, SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &r->card, &r->protocol) ==
				       SCARD_S_SUCCESS;
			if (r->connected)
				return 1;
		}
		if (waited >= wait_ms)
			return 0;
		slice(r);
	}
}

bool pcsc_reader_gone(struct pcsc_reader *r, uint32_t wait_ms)
{
	for (uint32_t waited = 0; look(r) > SEEN_NONE; waited += SLICE_MS) {
		if (waited >= wait_ms)
			return false;
		slice(r);
	}
	return true;
}

void pcsc_reader_release(struct pcsc_reader *r)
{
	if (r->card != 0)
		SCardDisconnect(r->card, SCARD_UNPOWER_CARD);
	r->card = 0;
	r->connected = false;
}

struct reader *pcsc_reader_of(struct pcsc_reader *r) { return &r->reader; }
