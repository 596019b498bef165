#!/bin/sh
# Five lines, one a second. Each is sent when it is written, not when all is done.
set -eu

printf 'Content-Type: text/plain; charset=utf-8\nCache-Control: no-store\n\n'
for i in 1 2 3 4 5; do
	printf '%s  %s\n' "$i" "$(date -u +%H:%M:%S)"
	[ "$i" = 5 ] || sleep 1
done
