package resource

import "strings"

// notSeenKey is the output of rows that says why they could not be looked at.
const notSeenKey = "notSeen"

const unseenPrefix = "not seen: "

// notSeen words why a refresh could not look. It is part of the state, so that a refresh shows a change and the next
// update looks again, until somebody could.
func notSeen(err error) string { return unseenPrefix + oneLine(err.Error()) }

func isUnseen(drift string) bool { return strings.HasPrefix(drift, unseenPrefix) }
