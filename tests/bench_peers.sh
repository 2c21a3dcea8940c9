#!/usr/bin/env bash
# The same taps into PostgreSQL 15, as a well-built database application would: COPY of batches into a
# staging table, then one INSERT ... SELECT ... ON CONFLICT with the joins, accumulators and ledger, committed
# durably; two connections. No TLS and no key checks there, both with us. One JSON line each; the last has ratio,
# ours over theirs in this run. Installs postgresql-15 when it is missing.
set -u
. "$(dirname "$0")/bench_lib.sh"
pg=/usr/lib/postgresql/15/bin
[ -x $pg/initdb ] || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-15 >/dev/null 2>&1
[ -x $pg/initdb ] || fail "postgresql-15 is not there"
batch_rows=${BENCH_PG_BATCH:-10000}
city_make sm4
as() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
mkdir "$work/pg" && chmod 755 "$work" && { [ "$(id -u)" -ne 0 ] || chown postgres "$work/pg"; }
as $pg/initdb -D "$work/pg/data" -A trust -E UTF8 --no-locale >"$work/pg.log" 2>&1 || fail initdb
pg_stop() { as $pg/pg_ctl -D "$work/pg/data" -m fast -w stop >/dev/null 2>&1; clean_up; }
trap pg_stop EXIT
cat >>"$work/pg/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work/pg'
shared_buffers = 2GB
work_mem = 64MB
max_wal_size = 16GB
checkpoint_timeout = 30min
synchronous_commit = on
wal_compression = on
CONF
as $pg/pg_ctl -D "$work/pg/data" -l "$work/pg/server.log" -w start >/dev/null || fail "pg_ctl start"
sql() { as $pg/psql -q -v ON_ERROR_STOP=1 -h "$work/pg" postgres "$@"; }

sql >"$work/schema.log" 2>&1 <<'SQL' || fail schema
create table terminal (terminal text primary key, operator bigint not null);
create table person (pan text primary key, person bigint not null, grp text, valid_to date);
create table tap (terminal text, serial bigint, time_ms bigint, pan text, counter int, kind int, medium int, line text, operator bigint,
	amount int, list int, before bigint, after bigint, tac text, device text, file_serial bigint, grp text, person bigint, settled_on date,
	primary key (terminal, serial, time_ms));
create table account (pan text, month int, rides int, fen bigint, primary key (pan, month));
create table ledger (settled_on date, operator bigint, line text, grp text, part int, taps bigint, fen bigint, primary key (settled_on, operator, line, grp, part));
SQL
"$B/qingfen" sim taps --city "$work/city" >"$work/taps.csv" || fail "sim taps"
tail -n +2 "$work/taps.csv" | split -l "$batch_rows" -d -a 5 - "$work/pg/part."
sed 1d "$work/city/terminals.csv" | cut -d , -f 1,4 >"$work/pg/terminal.csv"
sed 1d "$work/city/riders.csv" | awk -F , -v OFS=, '!seen[$1]++ { print $1, $2, $6, "2099-12-31" }' >"$work/pg/person.csv"
chmod -R a+rX "$work/pg"/*.csv "$work/pg"/part.*
head -1 "$work/city/terminals.csv" | cut -d , -f 1,4 | grep -q '^terminal,operator' || fail "terminals.csv has other columns"
sql -c "\\copy terminal from '$work/pg/terminal.csv' csv" -c "\\copy person from '$work/pg/person.csv' csv" -c analyze >>"$work/schema.log" 2>&1 || fail "reference data"

# One connection's script: its share of the batches.
script() { # first step
	echo "create temp table staging (device text, file_serial bigint, terminal text, serial bigint, time_ms bigint, pan text, counter int, kind int, medium int, line text, operator bigint, amount int, list int, before bigint, after bigint, tac text);"
	ls "$work/pg"/part.* | awk -v first="$1" 'NR % 2 == first' | while read -r part; do
		cat <<SQL
begin;
\\copy staging from '$part' csv
with fresh as (
	insert into tap select s.terminal, s.serial, s.time_ms, s.pan, s.counter, s.kind, s.medium, s.line, t.operator, s.amount, s.list, s.before, s.after,
		s.tac, s.device, s.file_serial, p.grp, p.person, date '2025-11-03'
	from staging s join terminal t on t.terminal = s.terminal left join person p on p.pan = s.pan and p.valid_to >= date '2025-11-03'
	where s.amount between 0 and 50000 and s.before - s.amount = s.after
	on conflict do nothing returning pan, amount, list, operator, line, coalesce(grp, '') grp),
cards as (
	insert into account select pan, 202511, count(*), sum(amount) from fresh group by pan order by pan
	on conflict (pan, month) do update set rides = account.rides + excluded.rides, fen = account.fen + excluded.fen)
insert into ledger select date '2025-11-03', operator, line, grp, $1, count(*), sum(amount) from fresh group by operator, line, grp
on conflict (settled_on, operator, line, grp, part) do update set taps = ledger.taps + excluded.taps, fen = ledger.fen + excluded.fen;
truncate staging;
commit;
SQL
	done
}
script 0 >"$work/pg/run0.sql"
script 1 >"$work/pg/run1.sql"
chmod a+r "$work/pg"/run*.sql
rows=$(($(wc -l <"$work/taps.csv") - 1))
start=$(date +%s%N)
sql -f "$work/pg/run0.sql" >"$work/run0.log" 2>&1 & one=$!
sql -f "$work/pg/run1.sql" >"$work/run1.log" 2>&1 || fail "PostgreSQL, second connection"
wait $one || fail "PostgreSQL, first connection"
pg_ms=$((($(date +%s%N) - start) / 1000000))
kept=$(sql -Atc "select count(*) from tap") counted=$(sql -Atc "select sum(taps) from ledger")
[ "$kept" = "$counted" ] || fail "PostgreSQL: $kept taps kept, $counted in the ledger"
pg_rate=$(sum %.0f "$rows * 1000 / $pg_ms")
line peer-postgresql-15 taps/s "$pg_rate" 0 "$rows" "\"kept\":$kept,\"connections\":2,\"batch\":$batch_rows"
as $pg/pg_ctl -D "$work/pg/data" -m fast -w stop >/dev/null 2>&1

for lanes in 0 1; do
	daemon_start "verify_lanes: $lanes"
	upload
	accepted=$(python3 -c 'import json, sys; v = json.load(open(sys.argv[1]))["verdicts"]; print(v["accepted"])' "$work/upload.json")
	[ "$accepted" = "$kept" ] || fail "we accepted $accepted taps, PostgreSQL kept $kept"
	line "ingest-beside-postgresql" taps/s "$rate" "$used" "$sent" "\"lanes\":$lanes,\"ratio\":$(sum %.2f "$rate / $pg_rate")"
	daemon_stop
done
