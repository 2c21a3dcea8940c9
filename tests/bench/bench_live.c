/*
 * bench_live - what the writer asks for a record whether it saw it before: marks of a day's taps of a thousand terminals in
 * the order of their batches, new and then again; and an image of them, walked, written to memory and read back. Medians of
 * five rounds, processor time.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "clearing/live.h"
#include "tests/bench/bench.h"

#define TAPS 1000000u
#define TERMINALS 1000u
#define BATCH 128u
#define ROUNDS 5
#define DAY 20395

static struct tap tap_of(uint32_t i)
{
	uint32_t batch = i / BATCH, terminal = batch % TERMINALS;
	struct tap t = { .terminal_serial = batch / TERMINALS * BATCH + i % BATCH, .time_ms = (int64_t)DAY * 86400000 + i };

	be16_put(t.terminal + 4, (uint16_t)terminal);
	return t;
}

static unsigned marks(struct seen *s)
{
	unsigned again = 0;

	for (uint32_t i = 0; i < TAPS; i++) {
		struct tap t = tap_of(i);
		struct seen_mark *m;

		if (i % BATCH == 0)
			must(seen_room(s, BATCH) == 0);
		m = seen_at(s, &t);
		again += m->used && m->content == i;
		m->used = true;
		m->content = i;
	}
	return again;
}

/* The cost of making the taps themselves is taken off. */
static double making(void)
{
	double start = cpu_now();
	unsigned sum = 0;

	for (uint32_t i = 0; i < TAPS; i++) {
		struct tap t = tap_of(i);

		__asm__ volatile("" : : "r"(&t) : "memory");
		sum += t.terminal_serial;
	}
	must(sum != 1);
	return cpu_now() - start;
}

static void bench_duplicates(void)
{
	double new[ROUNDS], known[ROUNDS], own = making(), start;
	struct seen *s;

	must(seen_new(&s) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		seen_reset(s);
		start = cpu_now();
		must(marks(s) == 0);
		new[i] = cpu_now() - start - own;
		start = cpu_now();
		must(marks(s) == TAPS);
		known[i] = cpu_now() - start - own;
	}
	line("duplicate-check-new", "ns/op", median(new, ROUNDS) * 1e9 / TAPS, median(new, ROUNDS), TAPS, "");
	line("duplicate-check-known", "ns/op", median(known, ROUNDS) * 1e9 / TAPS, median(known, ROUNDS), TAPS, "");
	seen_free(s);
}

struct file { struct image_out out; int fd; XXH3_state_t *digest; uint8_t p[1 << 20]; };

static bool file_more(struct image_out *o)
{
	struct file *f = (struct file *)(void *)o;

	XXH3_128bits_update(f->digest, o->p, o->n);
	must(write(f->fd, o->p, o->n) == (ssize_t)o->n);
	o->n = 0;
	return true;
}

/* Half as many riders as taps, each with a ride; l with an image in the making: all of it goes there as it comes. */
static void memory_fill(struct live *l)
{
	must(l->image != NULL || marks(l->seen) == 0);
	for (uint32_t i = 0; i < TAPS; i++) {
		uint64_t person = i * UINT64_C(2654435761) % (TAPS / 2) + 1;
		struct rider_state state = { .last_ms = (int64_t)DAY * 86400000 + i, .last_vehicle = i, .window_rule = 7, .window_ms = i };
		struct tap t = tap_of(i);
		struct counted c = { .used = 0 };
		bool new;

		be64_put(c.key, person);
		be32_put(c.key + 9, i);
		if (l->image != NULL) {
			image_mark(l->image, &t, &(struct seen_mark){ .content = i });
			image_counter(l->image, &c);
			image_rider(l->image, person, &state);
			continue;
		}
		must(riding_room(l->riding, 1) == 0 && table_room(&l->counted, 1) == 0);
		riding_put(l->riding, riding_key(l->riding, person), &state);
		table_at(&l->counted, c.key, &new);
	}
}

/* changes: nothing is there when the image is begun, and everything comes while it is made. */
static void image_written(struct live *l, struct file *f, bool changes)
{
	const struct image_head head = { .day = DAY };
	XXH128_canonical_t digest;
	struct live_walk w;

	must(ftruncate(f->fd, 0) == 0 && lseek(f->fd, 0, SEEK_SET) == 0);
	XXH3_128bits_reset(f->digest);
	f->out = (struct image_out){ .p = f->p, .n = IMAGE_HEAD_BYTES, .space = sizeof(f->p), .more = file_more, .day = DAY };
	image_head_put(&head, f->p);
	live_image_start(l, &f->out, &f->out, &w);
	if (changes)
		memory_fill(l);
	while (live_image_walk(l, &w, 4096))
		;
	must(live_image_end(l, 1) != NULL);
	live_image_stop(l);
	must(file_more(&f->out));
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(f->digest));
	must(write(f->fd, &digest, sizeof(digest)) == sizeof(digest));
}

static void image_read(struct file *f)
{
	uint8_t event[IMAGE_DIGEST_BYTES];
	struct image_head head;
	struct image_in *in = NULL;
	struct live *l = NULL;
	uint64_t seq = 0;

	must(lseek(f->fd, 0, SEEK_SET) == 0 && live_new(&l) == 0 && image_open(f->fd, &head, &in) == NULL);
	must(live_image_read(l, in, head.day, &seq, event) == NULL && seq == 1);
	image_close(in);
	live_free(l);
}

static void bench_image(const char *write_name, const char *read_name, bool changes)
{
	static struct file f;
	double written[ROUNDS], taken[ROUNDS], start;
	struct live *l;
	char more[64];

	must(live_new(&l) == 0 && (f.fd = memfd_create("image", MFD_CLOEXEC)) >= 0 && (f.digest = XXH3_createState()) != NULL);
	if (!changes)
		memory_fill(l);
	for (int i = 0; i < ROUNDS; i++) {
		start = cpu_now();
		image_written(l, &f, changes);
		written[i] = cpu_now() - start;
		start = cpu_now();
		image_read(&f);
		taken[i] = cpu_now() - start;
	}
	snprintf(more, sizeof(more), ",\"bytes_per_tap\":%lld", (long long)lseek(f.fd, 0, SEEK_END) / TAPS);
	line(write_name, "ns/tap", median(written, ROUNDS) * 1e9 / TAPS, median(written, ROUNDS), TAPS, more);
	line(read_name, "ns/tap", median(taken, ROUNDS) * 1e9 / TAPS, median(taken, ROUNDS), TAPS, more);
	XXH3_freeState(f.digest);
	close(f.fd);
	live_free(l);
}

int main(void)
{
	bench_duplicates();
	bench_image("image-write", "image-read", false);
	bench_image("image-write-changes", "image-read-changes", true);
	return 0;
}
