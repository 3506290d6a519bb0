set -eu
echo "$GREETING from $PLACE"
echo "the sensor warms up" >&2
sleep 600 &
echo $! > pid
