/*
 * store - one LMDB environment with named databases, one writing process.
 *
 * Durability is LMDB's default: a commit that returned is on disk. The unsafe modes are never used
 * (tests/layers.sh). A transaction remembers its first error, so a run of puts is straight code with one
 * look at the end. Keys are big-endian: iteration order is report order.
 */
#include "clearing/packed.h"
#include "clearing/rows.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_FORMAT 7		/* 1: rows lay one by one; 2: events that are no batches were not listed; 3: no batch was thin; 4: days sealed by their text;
				 * 5: persons' days lay by person; 6: and then each by itself */
#define STORE_FORMAT_TAKEN 2	/* the oldest that is brought to this one */
#define STORE_FORMAT_READ 3	/* the oldest that may be read as it is */
#define STORE_FORMAT_BY_DAY 6	/* the first with DB_PERSON_DAY and DB_PERSON_LAST */
#define DBI_ABSENT UINT_MAX	/* of a database that a store of an older format, only read, does not have: it has no row */
#define MAP_BYTES_DEFAULT (16ULL << 30)

static const char *const db_names[DB_COUNT_] = { "meta", "inbox", "day", "tapkey", "cleared", "person",
	"rider", "posting", "cube", "outbox", "file", "item", "adjust", "adjusted", "rerate",
	"holder", "touched", "waiting", "card", "code", "answer", "debit", "debited", "deny", "confirmed", "ridden", "contract", "other", "bundle",
	"person_day", "person_last" };

static_assert(DB_COUNT_ <= 64, "a bit each in txn.asked");

struct store {
	MDB_env *env;
	MDB_dbi dbi[DB_COUNT_];
	int lock_fd;
	bool read_only;
};

/* LMDB's own codes pass through; its positive errno is negated. */
static int store_code(int rc) { return rc > 0 ? -rc : rc; }

static int dir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return ret;
}

/* One writing process: LMDB would serialise two, but their memory state would not know of each other. */
static int writer_lock(struct store *s, const char *dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/writer.lock", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock_fd < 0)
		return -errno;
	return flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : CLEARING_E_BUSY;
}

static void format_put(struct txn *t)
{
	uint8_t format[4];

	be32_put(format, STORE_FORMAT);
	txn_put(t, DB_META, "format", 6, format, sizeof(format));
}

static int format_check(struct txn *t, uint32_t *ret_format)
{
	const void *val;
	size_t n;

	*ret_format = STORE_FORMAT;
	if (txn_get(t, DB_META, "format", 6, &val, &n)) {
		*ret_format = n == 4 ? be32_get(val) : 0;
		if (*ret_format == 0)
			return CLEARING_E_STORE;
		if (*ret_format > STORE_FORMAT)
			return CLEARING_E_NEWER;
		return *ret_format < (t->write ? STORE_FORMAT_TAKEN : STORE_FORMAT_READ) ? CLEARING_E_OLDER : 0;
	}
	if (!t->write)
		return CLEARING_E_STORE;
	format_put(t);
	return t->error;
}

/* From format 2: the events that are no batches, listed. Batches that are not thin are read for ever. */
static int format_raise(struct txn *t, uint32_t from)
{
	struct inbox_iter it;
	struct event e;

	if (from < 3) {
		inbox_open_heads(t, 1, UINT64_MAX, &it);
		while (inbox_next(&it, &e))
			inbox_list(t, e.seq, e.type);
		inbox_close(&it);
	}
	format_put(t);
	return t->error;
}

static int databases_open(struct store *s)
{
	uint32_t format = STORE_FORMAT;
	struct txn t;
	int ret = txn_begin(s, !s->read_only, &t);

	for (int i = 0; ret == 0 && i < DB_COUNT_; i++) {
		ret = store_code(mdb_dbi_open(t.mdb, db_names[i], s->read_only ? 0 : MDB_CREATE, &s->dbi[i]));
		if (ret == MDB_NOTFOUND && format < STORE_FORMAT_BY_DAY && i >= DB_PERSON_DAY) {
			s->dbi[i] = DBI_ABSENT;
			ret = 0;
		}
		if (ret == 0 && i == DB_META)
			ret = format_check(&t, &format);	/* a store of another version has other databases */
	}
	if (ret == 0 && format < STORE_FORMAT && !s->read_only)
		ret = format_raise(&t, format);
	if (ret != 0) {
		txn_abort(&t);
		return ret == MDB_NOTFOUND ? CLEARING_E_STORE : ret;
	}
	return txn_commit(&t);
}

int store_open(const char *dir, bool read_only, size_t map_bytes, struct store **ret_store)
{
	struct store *s = calloc(1, sizeof(*s));
	int ret = 0, fd;

	if (s == NULL)
		return -ENOMEM;
	s->lock_fd = -1;
	s->read_only = read_only;
	if (!read_only && mkdir(dir, 0750) != 0 && errno != EEXIST)
		ret = -errno;
	if (ret == 0 && !read_only)
		ret = writer_lock(s, dir);
	if (ret == 0)
		ret = store_code(mdb_env_create(&s->env));
	if (ret == 0)
		ret = store_code(mdb_env_set_mapsize(s->env, map_bytes != 0 ? map_bytes : MAP_BYTES_DEFAULT));
	if (ret == 0)
		ret = store_code(mdb_env_set_maxdbs(s->env, DB_COUNT_));
	if (ret == 0)
		ret = store_code(mdb_env_open(s->env, dir, MDB_NOTLS | (read_only ? MDB_RDONLY : 0), 0640));
	if (ret == 0 && mdb_env_get_fd(s->env, &fd) == 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (ret == 0)
		ret = databases_open(s);
	if (ret == 0 && !read_only)
		ret = dir_sync(dir);
	if (ret != 0) {
		store_close(s);
		return ret;
	}
	*ret_store = s;
	return 0;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->env != NULL)
		mdb_env_close(s->env);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

const char *store_path(const struct store *s)
{
	const char *dir = NULL;

	mdb_env_get_path(s->env, &dir);
	return dir;
}

int store_copy(struct store *s, const char *dir) { return store_code(mdb_env_copy2(s->env, dir, MDB_CP_COMPACT)); }

uint64_t store_used_bytes(struct store *s)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &stat) != 0)
		return 0;
	return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

size_t store_page_bytes(struct store *s)
{
	MDB_stat stat;

	return mdb_env_stat(s->env, &stat) == 0 ? stat.ms_psize : 4096;
}

/* LMDB's list of free pages is the database 0: by transaction, how many and which. */
uint64_t store_free_bytes(struct store *s)
{
	MDB_val k, v;
	MDB_cursor *cursor;
	MDB_stat stat;
	struct txn t;
	uint64_t pages = 0;

	if (mdb_env_stat(s->env, &stat) != 0 || txn_begin(s, false, &t) != 0)
		return 0;
	if (mdb_cursor_open(t.mdb, 0, &cursor) == 0) {
		while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
			size_t n = 0;

			if (v.mv_size >= sizeof(n))
				memcpy(&n, v.mv_data, sizeof(n));
			pages += n;
		}
		mdb_cursor_close(cursor);
	}
	txn_abort(&t);
	return pages * stat.ms_psize;
}

int txn_begin(struct store *s, bool write, struct txn *ret_txn)
{
	struct txn t = { .store = s, .write = write };
	int ret = store_code(mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &t.mdb));

	if (ret == 0)
		*ret_txn = t;
	return ret;
}

/* Where txn_get_last_at() stands: the last entry found, and the one above it, on which the cursor is; NULL: there is none. misses: how often it was
 * more than a few entries to the next, one after the other. */
struct last_at { MDB_cursor *cursor; bool known; unsigned misses; MDB_val key, val, above, above_val; struct entry_note note; };
#define LAST_MISSES 8
#define LAST_STEPS 4

/* What was made of what was read. */
static void read_drop(struct txn *t)
{
	row_block_free(t->block);
	unpacked_free(t->unpacked);
	wholes_free(t->wholes);
	t->block = NULL;
	t->unpacked = NULL;
	t->wholes = NULL;
}

int txn_commit(struct txn *t)
{
	MDB_txn *mdb = t->mdb;

	t->mdb = NULL;
	t->next_at = NULL;
	read_drop(t);
	if (t->error != 0) {
		mdb_txn_abort(mdb);
		return t->error;
	}
	return store_code(mdb_txn_commit(mdb));
}

void txn_abort(struct txn *t)
{
	for (size_t i = 0; i < 2 * (DB_COUNT_ + DAYS_KEPT); i++) {
		struct last_at **place = &t->last_at[i % 2][i / 2];

		if (*place != NULL)
			mdb_cursor_close((*place)->cursor);
		free(*place);
		*place = NULL;
	}
	if (t->mdb != NULL)
		mdb_txn_abort(t->mdb);
	t->mdb = NULL;
	t->next_at = NULL;
	read_drop(t);
}

static MDB_val val_of(const void *p, size_t n) { return (MDB_val){ .mv_size = n, .mv_data = (void *)(uintptr_t)p }; }

static void put(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes, unsigned flags)
{
	MDB_val k = val_of(key, key_bytes), v = val_of(val, val_bytes);

	if (t->error == 0)
		t->error = store_code(mdb_put(t->mdb, t->store->dbi[db], &k, &v, flags));
}

void txn_put(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	put(t, db, key, key_bytes, val, val_bytes, 0);
}

/* Whether what follows goes behind all there is. The transaction's end closes the cursor. */
static int next_open(struct txn *t, enum db db, const MDB_val *key)
{
	MDB_val last, val;
	int rc;

	if (t->next_at != NULL)
		mdb_cursor_close(t->next_at);
	t->next_at = NULL;
	t->next_db = db;
	rc = mdb_cursor_open(t->mdb, t->store->dbi[db], &t->next_at);
	if (rc == 0)
		rc = mdb_cursor_get(t->next_at, &last, &val, MDB_LAST);
	t->next_flags = rc == MDB_NOTFOUND || (rc == 0 && mdb_cmp(t->mdb, t->store->dbi[db], key, &last) > 0) ? MDB_APPEND : 0;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

void txn_put_next(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	MDB_val k = val_of(key, key_bytes), v = val_of(val, val_bytes);
	int rc = 0;

	if (t->error != 0)
		return;
	if (t->next_at == NULL || t->next_db != db)
		rc = next_open(t, db, &k);
	if (rc == 0)
		rc = mdb_cursor_put(t->next_at, &k, &v, t->next_flags);
	if (rc == MDB_KEYEXIST && t->next_flags == MDB_APPEND) {	/* the keys do not rise */
		t->next_flags = 0;
		rc = mdb_cursor_put(t->next_at, &k, &v, 0);
	}
	t->error = store_code(rc);
}

void txn_append(struct txn *t, enum db db, const void *key, size_t key_bytes, const void *val, size_t val_bytes)
{
	put(t, db, key, key_bytes, val, val_bytes, MDB_APPEND);
}

void *txn_reserve_append(struct txn *t, enum db db, const void *key, size_t key_bytes, size_t val_bytes)
{
	MDB_val k = val_of(key, key_bytes), v = val_of(NULL, val_bytes);

	if (t->error == 0)
		t->error = store_code(mdb_put(t->mdb, t->store->dbi[db], &k, &v, MDB_APPEND | MDB_RESERVE));
	return t->error == 0 ? v.mv_data : NULL;
}

void txn_del(struct txn *t, enum db db, const void *key, size_t key_bytes)
{
	MDB_val k = val_of(key, key_bytes);
	int rc;

	if (t->error != 0)
		return;
	rc = mdb_del(t->mdb, t->store->dbi[db], &k, NULL);
	if (rc != MDB_NOTFOUND)
		t->error = store_code(rc);
}

uint64_t txn_rows(struct txn *t, enum db db)
{
	MDB_stat stat;

	if (t->error == 0 && !t->write && t->rows_db == (int)db + 1)
		return t->rows;
	if (t->error != 0 || mdb_stat(t->mdb, t->store->dbi[db], &stat) != 0)
		return 0;
	t->rows = stat.ms_entries;
	t->rows_db = (int)db + 1;
	return t->rows;
}

bool txn_get(struct txn *t, enum db db, const void *key, size_t key_bytes, const void **ret_val, size_t *ret_bytes)
{
	MDB_val k = val_of(key, key_bytes), v;
	int rc;

	if (t->error != 0)
		return false;
	rc = mdb_get(t->mdb, t->store->dbi[db], &k, &v);
	if (rc != 0) {
		if (rc != MDB_NOTFOUND)
			t->error = store_code(rc);
		return false;
	}
	*ret_val = v.mv_data;
	*ret_bytes = v.mv_size;
	return true;
}

bool txn_any(struct txn *t, enum db db)
{
	const uint64_t bit = UINT64_C(1) << db;
	MDB_stat stat;

	if (t->store->dbi[db] == DBI_ABSENT)
		return false;
	if (t->error == 0 && !t->write && (t->asked & bit) != 0)
		return (t->any & bit) != 0;
	if (t->error == 0)
		t->error = store_code(mdb_stat(t->mdb, t->store->dbi[db], &stat));
	if (t->error != 0)
		return false;
	t->asked |= bit;
	t->any = stat.ms_entries > 0 ? t->any | bit : t->any & ~bit;
	return stat.ms_entries > 0;
}

void iter_open(struct txn *t, enum db db, const void *prefix, size_t prefix_bytes, struct iter *ret_iter)
{
	*ret_iter = (struct iter){ .txn = t, .prefix_bytes = prefix_bytes };
	assert(prefix_bytes <= sizeof(ret_iter->prefix));
	if (prefix_bytes > 0)
		memcpy(ret_iter->prefix, prefix, prefix_bytes);
	if (t->error == 0)
		t->error = store_code(mdb_cursor_open(t->mdb, t->store->dbi[db], &ret_iter->cursor));
}

bool iter_next(struct iter *it)
{
	MDB_val k = val_of(it->prefix, it->prefix_bytes), v;
	int rc;

	if (it->txn->error != 0 || it->cursor == NULL)
		return false;
	if (it->on)
		rc = mdb_cursor_get(it->cursor, &k, &v, MDB_NEXT);
	else
		rc = mdb_cursor_get(it->cursor, &k, &v, it->prefix_bytes > 0 ? MDB_SET_RANGE : MDB_FIRST);
	it->on = true;
	if (rc != 0) {
		if (rc != MDB_NOTFOUND)
			it->txn->error = store_code(rc);
		return false;
	}
	if (k.mv_size < it->prefix_bytes || memcmp(k.mv_data, it->prefix, it->prefix_bytes) != 0)
		return false;
	it->key = k.mv_data;
	it->key_bytes = k.mv_size;
	it->val = v.mv_data;
	it->val_bytes = v.mv_size;
	return true;
}

bool iter_seek(struct iter *it, const void *key, size_t key_bytes)
{
	MDB_val k = val_of(key, key_bytes), v;
	int rc;

	if (it->txn->error != 0 || it->cursor == NULL)
		return false;
	rc = mdb_cursor_get(it->cursor, &k, &v, MDB_SET_RANGE);
	it->on = true;
	if (rc != 0 && rc != MDB_NOTFOUND)
		it->txn->error = store_code(rc);
	if (rc != 0 || k.mv_size < it->prefix_bytes || memcmp(k.mv_data, it->prefix, it->prefix_bytes) != 0)
		return false;
	it->key = k.mv_data;
	it->key_bytes = k.mv_size;
	it->val = v.mv_data;
	it->val_bytes = v.mv_size;
	return true;
}

void iter_close(struct iter *it)
{
	if (it->cursor != NULL)
		mdb_cursor_close(it->cursor);
	it->cursor = NULL;
}

/* The last entry that is not above the key; *ret_key NULL: none. */
static int last_seek(MDB_cursor *cursor, const MDB_val *key, MDB_val *ret_key, MDB_val *ret_val)
{
	int rc;

	*ret_key = *key;
	rc = mdb_cursor_get(cursor, ret_key, ret_val, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, ret_key, ret_val, MDB_LAST);
	else if (rc == 0 && (ret_key->mv_size != key->mv_size || memcmp(ret_key->mv_data, key->mv_data, key->mv_size) != 0))
		rc = mdb_cursor_get(cursor, ret_key, ret_val, MDB_PREV);
	if (rc == MDB_NOTFOUND)
		*ret_key = (MDB_val){ 0 };
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* As memcmp(); most keys differ in their first eight bytes. */
static int bytes_order(const void *a, const void *b, size_t n)
{
	uint64_t x = n >= 8 ? be64_get(a) : 0, y = n >= 8 ? be64_get(b) : 0;

	return x != y ? (x < y ? -1 : 1) : memcmp(a, b, n);
}

static int key_order(const MDB_val *a, const MDB_val *b)
{
	int order = bytes_order(a->mv_data, b->mv_data, a->mv_size < b->mv_size ? a->mv_size : b->mv_size);

	return order != 0 ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static bool is_below(const MDB_val *key, const MDB_val *above) { return above->mv_data == NULL || key_order(key, above) < 0; }

/* The cursor moves on to the first entry above the one found. */
static int above_read(struct last_at *l, MDB_cursor_op op)
{
	int rc = mdb_cursor_get(l->cursor, &l->above, &l->above_val, op);

	if (rc == MDB_NOTFOUND)
		l->above = (MDB_val){ 0 };
	l->known = rc == 0 || rc == MDB_NOTFOUND;
	return l->known ? 0 : rc;
}

static bool walk_pays(const struct last_at *l) { return l->misses < LAST_MISSES || l->misses % LAST_MISSES == 0; }

/* Keys that rise by little find what they ask a few entries further on, in a page that is at hand, where a search begins at the root. Where
 * that fails again and again keys rise by more, and it is tried only now and then. */
static int last_walk(struct last_at *l, const MDB_val *key, bool *ret_found)
{
	unsigned steps = walk_pays(l) ? LAST_STEPS : 0;
	int rc = 0;

	*ret_found = false;
	if (!l->known || (l->key.mv_data != NULL && key_order(&l->key, key) > 0))
		return 0;
	for (; rc == 0 && steps > 0 && !is_below(key, &l->above); steps--) {
		l->key = l->above;
		l->val = l->above_val;
		l->note = (struct entry_note){ 0 };
		rc = above_read(l, MDB_NEXT);
	}
	*ret_found = rc == 0 && is_below(key, &l->above);
	l->misses = *ret_found ? 0 : l->misses + 1;
	return rc;
}

static int last_open(struct txn *t, enum db db, struct last_at **ret)
{
	struct last_at *l = calloc(1, sizeof(*l));
	int rc = l == NULL ? ENOMEM : mdb_cursor_open(t->mdb, t->store->dbi[db], &l->cursor);

	if (rc != 0) {
		free(l);
		return rc;
	}
	*ret = l;
	return 0;
}

/* Persons rise; apart from the others those who are registered, whose handles begin with a set bit, and each day's rows by themselves. */
static struct last_at **last_place(struct txn *t, enum db db, const MDB_val *key)
{
	const uint8_t *k = key->mv_data;

	if (db == DB_PERSON_DAY)
		return &t->last_at[k[4] >> 7][DB_COUNT_ + be32_get(k) % DAYS_KEPT];
	return &t->last_at[(db == DB_PERSON_LAST || db == DB_RIDDEN) && k[0] >> 7 != 0][db];
}

static int last_kept(struct txn *t, enum db db, const MDB_val *key, struct last_at **place)
{
	bool found = false;
	int rc = *place == NULL ? last_open(t, db, place) : last_walk(*place, key, &found);
	struct last_at *l = *place;

	if (rc != 0 || found)
		return rc;
	l->known = false;
	l->note = (struct entry_note){ 0 };
	rc = last_seek(l->cursor, key, &l->key, &l->val);
	return rc == 0 ? above_read(l, l->key.mv_data != NULL ? MDB_NEXT : MDB_FIRST) : rc;
}

bool txn_get_last_at(struct txn *t, enum db db, const void *key, size_t key_bytes, size_t prefix_bytes, const uint8_t **ret_key,
		     const void **ret_val, size_t *ret_bytes)
{
	MDB_val asked = val_of(key, key_bytes);
	struct last_at once = { 0 };
	const struct last_at *l = &once;
	int rc;

	if (t->error != 0)
		return false;
	t->once = (struct entry_note){ 0 };
	t->note = &t->once;
	if (t->rising && !t->write) {
		struct last_at **place = last_place(t, db, &asked);

		rc = last_kept(t, db, &asked, place);
		l = *place;
		if (l != NULL)
			t->note = &(*place)->note;
	} else if ((rc = mdb_cursor_open(t->mdb, t->store->dbi[db], &once.cursor)) == 0) {
		rc = last_seek(once.cursor, &asked, &once.key, &once.val);
		mdb_cursor_close(once.cursor);
	}
	if (rc != 0) {
		t->error = store_code(rc);
		return false;
	}
	if (l->key.mv_data == NULL || l->key.mv_size < prefix_bytes || bytes_order(l->key.mv_data, key, prefix_bytes) != 0)
		return false;
	*ret_key = l->key.mv_data;
	*ret_val = l->val.mv_data;
	*ret_bytes = l->val.mv_size;
	return true;
}
