#!/usr/bin/env bash
# Runs every fuzz target for the given time each (default 30s).
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rHo --include='*_test.go' 'func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*_test.go:func | |' | while read -r package target; do
  echo "== $package $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" "$package"
done
