#!/usr/bin/env bash
# bench_memory.sh: memory of the daemon, its own pages and not the store's, after a day of taps: by tap (twice the taps of the same
# cards) and by active card (twice the cards beside as many taps), as slopes between runs, so that what it takes anyway is not in
# them. Memory is taken in chunks of 16 MiB a table: days of less than a million taps tell little.
set -u
. "$(dirname "$0")/bench_lib.sh"
many=$taps some=$cards memory_ready=0
resident() { # TAPS CARDS: its anonymous bytes, and how many taps there were
	taps=$1 cards=$2
	city_make sm4
	daemon_start "checkpoint_taps: 0"
	upload
	bytes=$(($(anon_kb $pid) * 1024))
	daemon_stop
	rm -rf "$work/city"
}
resident $((many / 2)) $((some / 2)); small=$bytes small_taps=$sent
resident "$many" $((some / 2)); more=$bytes more_taps=$sent
resident "$many" "$some"; wide=$bytes
line memory-tap bytes/tap "$(sum %.0f "($more - $small) / ($more_taps - $small_taps)")" 0 "$more_taps" "\"cards\":$((some / 2)),\"anon_mb\":$((more >> 20)),\"half_the_taps_mb\":$((small >> 20))"
line memory-card bytes/card "$(sum %.0f "($wide - $more) / ($some - $some / 2)")" 0 "$some" "\"taps\":$sent,\"anon_mb\":$((wide >> 20)),\"half_the_cards_mb\":$((more >> 20))"
