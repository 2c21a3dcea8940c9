#include "clearing/image.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#define ORDER 0x01020304u	/* how this machine lays numbers */
#define ROW_HEAD_BYTES 4	/* kind u16 | bytes u16 */
#define READ_BYTES (1u << 20)
#define AHEAD_BYTES 4096u	/* some sixty rows: what memory needs to answer */

static const char magic[8] = "qfimage\n";

/* ---- writing ------------------------------------------------------------------------------------------------ */

uint8_t *image_row(struct image_out *o, enum image_kind kind, size_t bytes)
{
	const uint16_t head[2] = { (uint16_t)kind, (uint16_t)bytes };
	uint8_t *p;

	assert(bytes <= IMAGE_ROW_BYTES_MAX);
	if (o->failed)
		return NULL;
	if (o->space - o->n < ROW_HEAD_BYTES + bytes && !o->more(o)) {
		o->failed = true;
		return NULL;
	}
	assert(o->space - o->n >= ROW_HEAD_BYTES + bytes);
	p = o->p + o->n;
	memcpy(p, head, sizeof(head));
	o->n += ROW_HEAD_BYTES + bytes;
	return p + ROW_HEAD_BYTES;
}

void image_head_put(const struct image_head *h, uint8_t ret_bytes[IMAGE_HEAD_BYTES])
{
	const uint32_t number[4] = { IMAGE_FORMAT, ORDER, (uint32_t)h->day, 0 };

	memcpy(ret_bytes, magic, sizeof(magic));
	memcpy(ret_bytes + 8, number, sizeof(number));
	memcpy(ret_bytes + 24, h->identity, IMAGE_IDENTITY_BYTES);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

struct image_in {
	int fd;
	uint64_t bytes, left;		/* of the file; not yet read of what the digest is over */
	size_t at, n;			/* read and not taken yet: p[at..n) */
	size_t ahead;			/* looked at up to here by image_ahead */
	bool ended;
	XXH3_state_t *digest;
	uint8_t p[READ_BYTES];
};

static ssize_t read_whole(int fd, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, (uint8_t *)p + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* So many bytes together; NULL: the file ends before, or cannot be read. */
static const uint8_t *take(struct image_in *in, size_t bytes)
{
	size_t more;

	assert(bytes <= READ_BYTES);
	if (in->n - in->at < bytes) {
		memmove(in->p, in->p + in->at, in->n - in->at);
		in->n -= in->at;
		in->ahead -= in->ahead < in->at ? in->ahead : in->at;
		in->at = 0;
		more = in->left < READ_BYTES - in->n ? (size_t)in->left : READ_BYTES - in->n;
		if (in->n + more < bytes || read_whole(in->fd, in->p + in->n, more) < 0)
			return NULL;
		XXH3_128bits_update(in->digest, in->p + in->n, more);
		in->n += more;
		in->left -= more;
	}
	in->at += bytes;
	return in->p + in->at - bytes;
}

static const char *head_read(struct image_in *in, struct image_head *ret)
{
	const uint8_t *p = in->bytes > IMAGE_HEAD_BYTES + IMAGE_DIGEST_BYTES ? take(in, IMAGE_HEAD_BYTES) : NULL;
	uint32_t number[4];

	if (p == NULL)
		return "it is too short to be one";
	memcpy(number, p + 8, sizeof(number));
	if (memcmp(p, magic, sizeof(magic)) != 0)
		return "it is no image";
	if (number[1] != ORDER)
		return "it is of another kind of machine";
	if (number[0] != IMAGE_FORMAT || number[3] != 0)
		return "it is of another format";
	ret->day = (int32_t)number[2];
	memcpy(ret->identity, p + 24, IMAGE_IDENTITY_BYTES);
	return NULL;
}

const char *image_open(int fd, struct image_head *ret_head, struct image_in **ret_in)
{
	struct image_in *in = calloc(1, sizeof(*in));
	const char *why = NULL;
	struct stat st;

	if (in != NULL)
		in->digest = XXH3_createState();
	if (in == NULL || in->digest == NULL)
		why = "no memory";
	else if (XXH3_128bits_reset(in->digest) == XXH_ERROR || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		why = "it cannot be read";
	if (why == NULL) {
		in->fd = fd;
		in->bytes = (uint64_t)st.st_size;
		in->left = in->bytes > IMAGE_DIGEST_BYTES ? in->bytes - IMAGE_DIGEST_BYTES : 0;
		why = head_read(in, ret_head);
	}
	if (why != NULL)
		image_close(in);
	else
		*ret_in = in;
	return why;
}

void image_close(struct image_in *in)
{
	if (in == NULL)
		return;
	XXH3_freeState(in->digest);
	free(in);
}

uint64_t image_bytes(const struct image_in *in) { return in->bytes; }

static const char *digest_compare(struct image_in *in)
{
	XXH128_canonical_t now;
	uint8_t told[IMAGE_DIGEST_BYTES];

	static_assert(sizeof(now) == sizeof(told), "a digest is 128 bits");
	if (in->at != in->n || in->left != 0)
		return "something follows its end";
	if (read_whole(in->fd, told, sizeof(told)) < 0)
		return "it cannot be read";
	XXH128_canonicalFromHash(&now, XXH3_128bits_digest(in->digest));
	return memcmp(&now, told, sizeof(told)) == 0 ? NULL : "its digest is wrong";
}

int image_next(struct image_in *in, uint8_t *ret_kind, const uint8_t **ret_body, size_t *ret_bytes, const char **ret_why)
{
	const uint8_t *p = in->ended ? NULL : take(in, ROW_HEAD_BYTES);
	uint16_t head[2] = { 0 };

	if (in->ended) {
		*ret_why = digest_compare(in);
		return *ret_why == NULL ? 0 : -1;
	}
	*ret_why = "it is torn";
	if (p == NULL)
		return -1;
	memcpy(head, p, sizeof(head));
	if (head[0] < IMAGE_SIZES || head[0] > IMAGE_END || head[1] > IMAGE_ROW_BYTES_MAX) {
		*ret_why = "it has a row of no kind";
		return -1;
	}
	p = take(in, head[1]);
	if (p == NULL)
		return -1;
	in->ended = head[0] == IMAGE_END;
	*ret_kind = (uint8_t)head[0];
	*ret_body = p;
	*ret_bytes = head[1];
	*ret_why = NULL;
	return 1;
}

bool image_ahead_due(const struct image_in *in) { return in->ahead < in->at + AHEAD_BYTES / 2; }

bool image_ahead(struct image_in *in, uint8_t *ret_kind, const uint8_t **ret_body, size_t *ret_bytes)
{
	uint16_t head[2];

	if (in->ahead < in->at)
		in->ahead = in->at;
	if (in->ahead > in->at + AHEAD_BYTES || in->n - in->ahead < ROW_HEAD_BYTES)
		return false;
	memcpy(head, in->p + in->ahead, sizeof(head));
	if (head[1] > in->n - in->ahead - ROW_HEAD_BYTES)
		return false;
	*ret_kind = (uint8_t)head[0];
	*ret_body = in->p + in->ahead + ROW_HEAD_BYTES;
	*ret_bytes = head[1];
	in->ahead += ROW_HEAD_BYTES + head[1];
	return true;
}
