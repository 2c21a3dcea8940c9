/*
 * The writer goes through its tables a millisecond at a time between groups, up to five after long ones, and puts what a group
 * changes into the image as well; so when it has come to the end, the image is the memory of that moment, and no receipt waited
 * for more than that. A thread writes the file and waits for the disk. A copy of the process by fork() was measured and not taken:
 * 34 ms for the copy of the page tables of a gigabyte, and then 25 us for each page that the writer changes.
 */
#include "clearing/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "clearing/live.h"

#define PIECE_BYTES (1u << 20)
#define PIECES_MAX 64u		/* what groups change meanwhile must go somewhere; beyond it the disk is too slow and the image is given up */
#define PIECES_WALK 8u		/* the walk waits when so many wait for the disk */
#define STEP_NS 1000000u
#define STEP_NS_MAX 5000000u	/* after a group that took long: a tenth of its time, so that an image is made under any load */
#define PATIENCE 2u		/* times the taps that make an image due: so long a quiet moment is waited for */
#define STEP_PLACES 2048u	/* looked at between two looks at the clock */
#define PAUSE 4u		/* an image is begun so many times later as the one before took: at most a fifth of the time one is made */
#define SPARE_BYTES (256u << 20)	/* of the disk, left to the store */

struct piece { struct piece *next; size_t n; uint8_t p[PIECE_BYTES]; };
/* Rows of one thread, in their order, into pieces of their own: no row lies in two. */
struct strand { struct image_out out; struct checkpoint *of; struct piece *piece; };
struct checkpoint {
	char dir[PATH_MAX], path[PATH_MAX], temp[PATH_MAX];
	uint8_t identity[IMAGE_IDENTITY_BYTES];
	/* the writer's */
	bool making;
	struct strand writer, riders;	/* riders: the rater's while it has something in hand */
	struct live_walk walk;
	uint8_t *event;			/* where the digest of the event it stands at is to go; NULL: the walk is not at its end */
	uint64_t taps, seq;		/* taken when the last one was begun; event it stands at */
	uint64_t began_ns, writer_ns, step_ns;	/* step_ns: the longest one */
	/* shared */
	pthread_mutex_t lock;
	pthread_cond_t wake, done;	/* to the thread; to the writer */
	struct piece *full, **full_last, *free;
	unsigned waiting, made;		/* pieces in full; of all */
	bool busy, ending, cancelled, stopping;	/* busy: an image is begun and neither in place nor given up */
	uint64_t not_before_ns;
	const char *failed;		/* why the file cannot be written; NULL: it can */
	struct checkpoint_stat stat;
	/* the thread's */
	pthread_t thread; bool started;
	int fd;
	uint64_t bytes;
	XXH3_state_t *digest;
};

/* ---- open, close ------------------------------------------------------------------------------------------ */

/* What tells this store from any other; a restored copy has it too, and the digest of an event tells that one. */
static int identity_take(struct daemon *d, uint8_t identity[IMAGE_IDENTITY_BYTES])
{
	const void *val;
	struct txn t;
	size_t n;
	int ret = txn_begin(d->store, true, &t);

	if (ret != 0)
		return ret;
	if (!txn_get(&t, DB_META, "identity", 8, &val, &n)) {
		if (getrandom(identity, IMAGE_IDENTITY_BYTES, 0) != IMAGE_IDENTITY_BYTES)
			t.error = t.error != 0 ? t.error : -EIO;
		txn_put(&t, DB_META, "identity", 8, identity, IMAGE_IDENTITY_BYTES);
		return txn_commit(&t);
	}
	if (n == IMAGE_IDENTITY_BYTES)
		memcpy(identity, val, n);
	else
		ret = CLEARING_E_STORE;
	txn_abort(&t);
	return ret;
}

int checkpoint_open(struct daemon *d)
{
	struct checkpoint *c;
	int ret;

	if (d->conf.checkpoint_taps == 0)
		return 0;
	d->checkpoint = c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	pthread_cond_init(&c->done, NULL);
	c->full_last = &c->full;
	c->fd = -1;
	c->digest = XXH3_createState();
	snprintf(c->dir, sizeof(c->dir), "%s", d->conf.store);
	if (c->digest == NULL || snprintf(c->temp, sizeof(c->temp), "%s/live.image.new", d->conf.store) >= (int)sizeof(c->temp))
		ret = c->digest == NULL ? -ENOMEM : -ENAMETOOLONG;
	else
		ret = identity_take(d, c->identity);
	snprintf(c->path, sizeof(c->path), "%.*s", (int)strlen(c->temp) - 4, c->temp);
	if (ret == 0 && unlink(c->temp) != 0 && errno != ENOENT)
		ret = -errno;
	return ret;
}

static void pieces_free(struct piece *piece)
{
	while (piece != NULL) {
		struct piece *next = piece->next;

		free(piece);
		piece = next;
	}
}

void checkpoint_close(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;

	if (c == NULL)
		return;
	pieces_free(c->full);
	pieces_free(c->free);
	free(c->writer.piece);
	free(c->riders.piece);
	XXH3_freeState(c->digest);
	free(c);
	d->checkpoint = NULL;
}

void checkpoint_told(struct daemon *d, struct checkpoint_stat *ret)
{
	struct checkpoint *c = d->checkpoint;

	*ret = (struct checkpoint_stat){ 0 };
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	*ret = c->stat;
	pthread_mutex_unlock(&c->lock);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* So that a history that went another way after a copy was put back is told from this one: the event has the time it came. */
static bool event_digest(struct txn *t, uint64_t seq, uint8_t ret[IMAGE_DIGEST_BYTES])
{
	uint8_t told[9 + sizeof(XXH128_canonical_t)];
	XXH128_canonical_t digest;
	struct event e = { .body = told };

	if (seq != 0 && !inbox_get(t, seq, &e))
		return false;
	told[0] = e.type;
	be64_put(told + 1, (uint64_t)e.received_ms);
	XXH128_canonicalFromHash(&digest, XXH3_128bits(e.body, e.bytes));
	memcpy(told + 9, &digest, sizeof(digest));
	XXH128_canonicalFromHash(&digest, XXH3_128bits(told, sizeof(told)));
	memcpy(ret, &digest, IMAGE_DIGEST_BYTES);
	return true;
}

static const char *image_load(struct daemon *d, struct txn *t, int fd, uint64_t oldest, uint64_t *ret_seq, int32_t *ret_day)
{
	uint8_t told[IMAGE_DIGEST_BYTES], now[IMAGE_DIGEST_BYTES];
	struct image_head head;
	struct image_in *in;
	struct day_row row;
	const char *why = image_open(fd, &head, &in);

	if (why != NULL)
		return why;
	if (memcmp(head.identity, d->checkpoint->identity, sizeof(head.identity)) != 0)
		why = "it is of another store";
	if (why == NULL)
		why = live_image_read(d->live, in, head.day, ret_seq, told);
	image_close(in);
	if (why != NULL)
		return why;
	if (*ret_seq > inbox_last(t))
		return "it is ahead of the inbox";
	if (*ret_seq < oldest)
		return "it is older than what a start without it reads";
	if (!event_digest(t, *ret_seq, now) || memcmp(now, told, sizeof(now)) != 0)
		return "the inbox has another history";
	if (!day_get(t, head.day, &row) || *ret_seq < row.first_seq || (row.state != DAY_OPEN && *ret_seq >= row.cut_seq))
		return "its day is another";
	*ret_day = head.day;
	return NULL;
}

int checkpoint_load(struct daemon *d, struct txn *t, uint64_t oldest, uint64_t *ret_seq, int32_t *ret_day)
{
	struct checkpoint *c = d->checkpoint;
	uint64_t start = clock_ns(), seq = 0;
	const char *why;
	struct stat st = { 0 };
	int32_t day = 0;
	int fd, ret;

	if (c == NULL)
		return 0;
	fd = open(c->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	why = fd < 0 ? "it cannot be opened" : image_load(d, t, fd, oldest, &seq, &day);
	if (fd >= 0 && fstat(fd, &st) == 0)
		c->stat.taken_ms = (int64_t)st.st_mtim.tv_sec * 1000;
	if (fd >= 0)
		close(fd);
	if (why == NULL) {
		c->stat.bytes = (uint64_t)st.st_size;
		*ret_seq = c->seq = c->stat.seq = c->stat.loaded_seq = seq;
		*ret_day = day;
		c->stat.loaded_ns = clock_ns() - start;
		return t->error;
	}
	log_event("checkpoint-refused", "file=%s reason=\"%s\" action=\"the inbox is read instead\"", c->path, why);
	live_free(d->live);
	d->live = NULL;
	ret = live_new(&d->live);
	return ret != 0 ? ret : t->error;
}

/* ---- the thread: the file ------------------------------------------------------------------------------------- */

static bool write_whole(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

static const char *piece_write(struct checkpoint *c, const struct piece *piece)
{
	if (c->fd < 0) {
		c->fd = open(c->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
		c->bytes = 0;
		if (c->fd < 0 || XXH3_128bits_reset(c->digest) == XXH_ERROR)
			return "the file cannot be made";
	}
	XXH3_128bits_update(c->digest, piece->p, piece->n);
	if (!write_whole(c->fd, piece->p, piece->n))
		return errno == ENOSPC ? "the disk is full" : "the file cannot be written";
	sync_file_range(c->fd, (off_t)c->bytes, (off_t)piece->n, SYNC_FILE_RANGE_WRITE);	/* now, and not all of it at the end before a commit's sync */
	c->bytes += piece->n;
	return NULL;
}

static const char *file_end(struct checkpoint *c)
{
	XXH128_canonical_t digest;
	int dir;
	bool good;

	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(c->digest));
	if (!write_whole(c->fd, digest.digest, sizeof(digest.digest)) || fdatasync(c->fd) != 0)
		return "the file cannot be written";
	c->bytes += sizeof(digest.digest);
	if (rename(c->temp, c->path) != 0)
		return "the file cannot be put in place";
	dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good = dir >= 0 && fsync(dir) == 0;
	if (dir >= 0)
		close(dir);
	return good ? NULL : "the folder cannot be synced";
}

static void image_done(struct checkpoint *c, const char *why)
{
	uint64_t now = clock_ns();

	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (why != NULL) {
		unlink(c->temp);
		c->stat.failures++;
		log_event("checkpoint-failed", "reason=\"%s\" note=\"the image before stays\"", why);
	} else {
		c->stat.seq = c->seq;
		c->stat.taken_ms = clock_ms();
		c->stat.bytes = c->bytes;
		c->stat.ns = now - c->began_ns;
		c->stat.writer_ns = c->writer_ns;
		c->stat.step_ns = c->step_ns;
		c->stat.count++;
		log_event("checkpoint", "seq=%llu bytes=%llu ms=%llu writer_ms=%llu step_us_max=%llu", (unsigned long long)c->seq, (unsigned long long)c->bytes,
			  (unsigned long long)(c->stat.ns / 1000000), (unsigned long long)(c->writer_ns / 1000000), (unsigned long long)(c->step_ns / 1000));
	}
	c->not_before_ns = now + PAUSE * (now - c->began_ns);
	c->failed = NULL;
	c->ending = c->cancelled = c->busy = false;
	pthread_cond_broadcast(&c->done);
}

static void piece_give(struct checkpoint *c, struct piece *piece)
{
	piece->next = c->free;
	c->free = piece;
	pthread_cond_broadcast(&c->done);
}

static struct piece *full_take(struct checkpoint *c)
{
	struct piece *piece = c->full;

	c->full = piece->next;
	if (c->full == NULL)
		c->full_last = &c->full;
	c->waiting--;
	return piece;
}

static void piece_run(struct checkpoint *c)
{
	struct piece *piece = full_take(c);
	const char *why = c->failed;

	if (why == NULL && !c->cancelled) {
		pthread_mutex_unlock(&c->lock);
		why = piece_write(c, piece);
		pthread_mutex_lock(&c->lock);
	}
	if (c->failed == NULL)
		c->failed = why;
	piece_give(c, piece);
}

static void *thread_main(void *arg)
{
	struct checkpoint *c = arg;
	const char *why;

	pthread_mutex_lock(&c->lock);
	while (!c->stopping || c->busy) {
		if (c->full != NULL) {
			piece_run(c);
		} else if (c->busy && (c->cancelled || (c->ending && c->failed != NULL))) {
			image_done(c, c->failed != NULL ? c->failed : "it was given up");
		} else if (c->busy && c->ending) {
			pthread_mutex_unlock(&c->lock);
			why = file_end(c);
			pthread_mutex_lock(&c->lock);
			image_done(c, why);
		} else {
			pthread_cond_wait(&c->wake, &c->lock);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int checkpoint_start(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;
	int ret = c != NULL ? -pthread_create(&c->thread, NULL, thread_main, c) : 0;

	if (c != NULL)
		c->started = ret == 0;
	return ret;
}

/* ---- the writer ------------------------------------------------------------------------------------------------ */

static struct piece *piece_take(struct checkpoint *c)
{
	struct piece *piece = c->free;

	if (piece != NULL) {
		c->free = piece->next;
	} else if (c->made < PIECES_MAX) {
		piece = malloc(sizeof(*piece));
		c->made += piece != NULL;
	}
	return piece;
}

static void piece_hand(struct strand *s)
{
	struct checkpoint *c = s->of;

	s->piece->next = NULL;
	s->piece->n = s->out.n;
	*c->full_last = s->piece;
	c->full_last = &s->piece->next;
	s->piece = NULL;
	c->waiting++;
	pthread_cond_signal(&c->wake);
}

static bool piece_more(struct image_out *o)
{
	struct strand *s = (struct strand *)(void *)((char *)o - offsetof(struct strand, out));
	struct checkpoint *c = s->of;
	struct piece *piece;

	pthread_mutex_lock(&c->lock);
	piece = c->failed == NULL ? piece_take(c) : NULL;
	if (piece != NULL)
		piece_hand(s);
	else if (c->failed == NULL)
		c->failed = "the disk is slower than what comes in";
	pthread_mutex_unlock(&c->lock);
	if (piece == NULL)
		return false;
	s->piece = piece;
	o->p = piece->p;
	o->n = 0;
	return true;
}

/* Under lock. False: no memory. */
static bool strand_open(struct checkpoint *c, struct strand *s, int32_t day)
{
	s->of = c;
	s->piece = s->piece != NULL ? s->piece : piece_take(c);
	if (s->piece != NULL)
		s->out = (struct image_out){ .p = s->piece->p, .space = PIECE_BYTES, .more = piece_more, .day = day };
	return s->piece != NULL;
}

static bool space_left(const struct checkpoint *c)
{
	struct statvfs fs;

	return statvfs(c->dir, &fs) != 0 || (uint64_t)fs.f_bavail * fs.f_frsize > c->stat.bytes * 3 + SPARE_BYTES;
}

static uint64_t taps_taken(const struct daemon *d) { return d->stages.taps + d->stat.replay_taps; }

/* While batches wait, an image would only make them wait longer. */
static bool due(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;
	uint64_t taps = taps_taken(d) - c->taps, enough = (uint64_t)d->conf.checkpoint_taps;
	bool idle;

	if (taps < enough || (taps / PATIENCE < enough && queue_count(&d->queue) != 0))
		return false;
	pthread_mutex_lock(&c->lock);
	idle = !c->busy && clock_ns() >= c->not_before_ns;
	pthread_mutex_unlock(&c->lock);
	return idle;
}

static void begin(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;
	struct image_head head = { .day = d->open_day };
	bool memory;

	pthread_mutex_lock(&c->lock);
	c->began_ns = clock_ns();
	c->busy = true;
	memory = strand_open(c, &c->writer, head.day) && strand_open(c, &c->riders, head.day);
	if (!memory || !space_left(c)) {
		image_done(c, memory ? "the disk is nearly full" : "no memory");
		c->not_before_ns = c->began_ns + 60u * 1000000000u;
		pthread_mutex_unlock(&c->lock);
		return;
	}
	pthread_mutex_unlock(&c->lock);
	memcpy(head.identity, c->identity, sizeof(head.identity));
	image_head_put(&head, c->writer.out.p);
	c->writer.out.n = IMAGE_HEAD_BYTES;
	c->writer.out.failed = !piece_more(&c->writer.out);	/* the head is a piece of its own, before any of the riders' */
	c->taps = taps_taken(d);
	c->writer_ns = c->step_ns = 0;
	c->making = true;
	live_image_start(d->live, &c->writer.out, &c->riders.out, &c->walk);
}

void checkpoint_cancel(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;

	if (c == NULL || !c->making)
		return;
	live_image_stop(d->live);
	c->making = false;
	c->event = NULL;
	pthread_mutex_lock(&c->lock);
	c->cancelled = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

/* All of the memory is in the image: it stands at the event that was judged last, which may not be durable yet. */
static void seal(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;

	c->seq = d->seq;
	c->event = live_image_end(d->live, c->seq);
	live_image_stop(d->live);
	if (c->event == NULL || c->riders.out.failed) {
		checkpoint_cancel(d);
		return;
	}
	pthread_mutex_lock(&c->lock);
	piece_hand(&c->riders);
	pthread_mutex_unlock(&c->lock);
}

/* Once that event is in the inbox the rest is the thread's. Before, it may still be sent back: then the memory is made anew. */
static void end(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;
	struct txn t;
	bool durable;

	if (txn_begin(d->store, false, &t) != 0)
		return;
	durable = inbox_last(&t) >= c->seq && event_digest(&t, c->seq, c->event);
	txn_abort(&t);
	if (!durable)
		return;
	c->making = false;
	c->event = NULL;
	pthread_mutex_lock(&c->lock);
	piece_hand(&c->writer);
	c->ending = true;
	pthread_mutex_unlock(&c->lock);
}

/* How many pieces wait for the disk; the file cannot be written: none more can. */
static unsigned waiting(struct checkpoint *c, bool *ret_failed)
{
	unsigned n;

	pthread_mutex_lock(&c->lock);
	n = c->waiting;
	*ret_failed = c->failed != NULL;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* A day that was cut meanwhile has emptied the memory: what is in the file is of the day before. */
static void walk(struct daemon *d, uint64_t ns)
{
	struct checkpoint *c = d->checkpoint;
	uint64_t start = clock_ns(), now = start;
	bool more = true, failed;

	if (c->event != NULL) {
		end(d);
		return;
	}
	waiting(c, &failed);
	if (failed || c->writer.out.failed || c->writer.out.day != d->open_day) {
		checkpoint_cancel(d);
		return;
	}
	while (more && now - start < ns && waiting(c, &failed) < PIECES_WALK) {
		more = live_image_walk(d->live, &c->walk, STEP_PLACES);
		now = clock_ns();
	}
	c->writer_ns += now - start;
	c->step_ns = now - start > c->step_ns ? now - start : c->step_ns;
	if (!more)
		seal(d);
}

void checkpoint_step(struct daemon *d, uint64_t group_ns)
{
	struct checkpoint *c = d->checkpoint;
	uint64_t ns = group_ns / 10;

	if (c == NULL || !c->started)
		return;
	if (!c->making && due(d))
		begin(d);
	if (c->making)
		walk(d, ns < STEP_NS ? STEP_NS : ns > STEP_NS_MAX ? STEP_NS_MAX : ns);
}

/* A millisecond for the disk, or until it is ready; for the event that is not durable yet, too. */
static void disk_wait(struct checkpoint *c)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += STEP_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&c->lock);
	if (c->waiting >= PIECES_WALK || c->event != NULL)
		pthread_cond_timedwait(&c->done, &c->lock, &until);
	pthread_mutex_unlock(&c->lock);
}

bool checkpoint_idle(struct daemon *d)
{
	checkpoint_step(d, 0);
	if (d->checkpoint == NULL || !d->checkpoint->making || append_failed(d))
		return false;
	disk_wait(d->checkpoint);
	return true;
}

static uint64_t seq_now(struct daemon *d)
{
	struct txn t;
	uint64_t seq;

	if (txn_begin(d->store, false, &t) != 0)
		return 0;
	seq = inbox_last(&t);
	txn_abort(&t);
	return seq;
}

static void busy_wait(struct checkpoint *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->busy && !c->making)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void checkpoint_stop(struct daemon *d)
{
	struct checkpoint *c = d->checkpoint;

	if (c == NULL || !c->started)
		return;
	busy_wait(c);
	if (seq_now(d) != d->seq)
		checkpoint_cancel(d);	/* what the memory is ahead of the inbox was sent back */
	else if (!c->making && d->seq != c->stat.seq)
		begin(d);
	while (c->making) {
		walk(d, UINT64_MAX);
		disk_wait(c);
	}
	busy_wait(c);
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	c->started = false;
}
