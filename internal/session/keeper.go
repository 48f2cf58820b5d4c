package session

import (
	"strconv"
	"time"
)

// keeper runs in the task. It ends when for $1 seconds, looking every $2, no session was there; the agent has a process for
// each, whose name begins with $3. Nothing but a shell and sleep is needed in the image.
const keeper = `idle=0
while [ "$idle" -lt "$1" ]; do
  sleep "$2"
  idle=$((idle + $2))
  for file in /proc/[0-9]*/comm; do
    { read -r name < "$file"; } 2>/dev/null || continue
    case $name in "$3"*) idle=0 ;; esac
  done
done`

// worker is what the agent's process for a session is called (SSMSessionWorkerName in its sources), as far as the system
// keeps names: 15 letters.
const worker = "ssm-session-wor"

// keeperCommand is what the task runs.
func keeperCommand(idle time.Duration) []string {
	step := min(5, max(1, int(idle.Seconds())/4))
	return []string{"sh", "-c", keeper, "plan-charge-session", strconv.Itoa(int(idle.Seconds())), strconv.Itoa(step), worker}
}
