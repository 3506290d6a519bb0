set -eu
kill "$(cat pid)"
echo "good night"
