package tasklog

import (
	"fmt"
	"regexp"
)

const (
	// foldedFrom is how many lines are read for each that is shown.
	foldedFrom = 25
	// few is how many answers to the same request are worth their lines.
	few = 3
)

var (
	// answered is a request as web servers log it, with the status of its answer, such as `"GET /health HTTP/1.1" 200 OK`.
	answered = regexp.MustCompile(`\b(?:GET|HEAD) (/\S*)(?: HTTP/[\d.]+)?["']?[ ,]+(?:status=)?(2\d\d)\b`)
	// passing is what differs between two lines that say the same: times, a client's port, durations, ids of requests.
	passing = regexp.MustCompile(`(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?` +
		`|(?:\d{1,3}\.){3}\d{1,3}:\d+|\b\d+(?:\.\d+)? ?ms\b|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`)
)

// request is a path with the status that it was answered with.
type request struct{ path, status string }

// Fold leaves out what tells nothing of a failure: answers 200 to 299 to the same GET, as of health checks, where they
// are more than a few, and lines that only repeat the one before them. It says how many there were of each.
func Fold(lines []string) []string {
	var folded []string
	count, told := map[request]int{}, map[request]bool{}
	for _, line := range lines {
		if r, ok := requestOf(line); ok {
			count[r]++
		}
	}
	last, times := "", 0
	repeated := func() {
		if times > 1 {
			folded[len(folded)-1] += fmt.Sprintf(" (%d times)", times)
		}
	}
	for _, line := range lines {
		if r, ok := requestOf(line); ok && count[r] > few {
			if !told[r] {
				repeated()
				folded, told[r] = append(folded, fmt.Sprintf("… %d requests of %s answered %s left out", count[r], r.path, r.status)), true
				last, times = "", 0
			}
			continue
		}
		if key := sayingOf(line); key == last && times > 0 {
			times++
			continue
		}
		repeated()
		folded = append(folded, line)
		last, times = sayingOf(line), 1
	}
	repeated()
	return folded
}

func requestOf(line string) (request, bool) {
	m := answered.FindStringSubmatch(line)
	if m == nil {
		return request{}, false
	}
	return request{m[1], m[2]}, true
}

// sayingOf is a line without what differs each time.
func sayingOf(line string) string { return passing.ReplaceAllString(line, "#") }
