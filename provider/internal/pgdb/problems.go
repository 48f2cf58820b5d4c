package pgdb

import (
	"strings"
)

var _ error = (*ProblemsError)(nil)

// Problem is one reason why rows cannot be written. Row and Column are "" where it concerns all of them.
type Problem struct {
	Row, Column, Reason string
}

// ProblemsError holds everything that was found wrong before anything was written.
type ProblemsError struct {
	Table    string
	Problems []Problem
}

func (e *ProblemsError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		where := e.Table
		if p.Row != "" {
			where += ", row " + p.Row
		}
		if p.Column != "" {
			where += ", column " + p.Column
		}
		lines[i] = where + ": " + p.Reason
	}
	return "nothing was written:\n  " + strings.Join(lines, "\n  ")
}

// maxProblems bounds how many values are reported in one go.
const maxProblems = 20
