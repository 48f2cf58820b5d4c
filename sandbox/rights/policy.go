// Package rights is AWS's way of deciding who may do what, as far as this project needs it: identity policies, which rights
// a call needs, and the policies that are written from calls that were made.
package rights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Document is an identity policy.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement is one statement of a policy.
type Statement struct {
	Sid       string `json:",omitempty"`
	Effect    string
	Action    List
	Resource  List
	Condition map[string]map[string]List `json:",omitempty"`
}

// List is a text or a list of them, as policies have both.
type List []string

// UnmarshalJSON takes either.
func (l *List) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = List{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

// MarshalJSON writes one text without a list.
func (l List) MarshalJSON() ([]byte, error) {
	if len(l) == 1 {
		return json.Marshal(l[0])
	}
	return json.Marshal([]string(l))
}

// Request is one right that a call needs: an action on a resource, and what conditions may ask of it.
type Request struct {
	Action   string            // such as rds:ModifyDBInstance
	Resource string            // an ARN, or * where the action takes none
	Context  map[string]string // by condition key
}

// operators are those that conditions may use. All compare texts, those of ARNs and Like with wildcards.
var operators = map[string]func(pattern, text string) bool{
	"StringEquals": func(pattern, text string) bool { return pattern == text },
	"StringLike":   Matches,
	"ArnEquals":    Matches,
	"ArnLike":      Matches,
}

// Parse reads a policy. What is not understood is an error, so that nothing is enforced by half.
func Parse(data []byte) (Document, error) {
	var d Document
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, fmt.Errorf("the policy: %w", err)
	}
	if d.Version != "2012-10-17" {
		return d, fmt.Errorf("the policy's Version is %q, allowed is 2012-10-17", d.Version)
	}
	for i, s := range d.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action) == 0 || len(s.Resource) == 0 {
			return d, fmt.Errorf("statement %d of the policy: Effect (Allow or Deny), Action and Resource are needed", i+1)
		}
		for operator := range s.Condition {
			if operators[operator] == nil {
				return d, fmt.Errorf("statement %d of the policy: the sandbox does not know the operator %s", i+1, operator)
			}
		}
	}
	return d, nil
}

// Decision is what policies say of a request.
type Decision int

// What is not allowed is denied; a denial in words counts more than any allowance.
const (
	NotAllowed Decision = iota
	Allowed
	Denied
)

// Decide asks policies for a request.
func Decide(policies []Document, r Request) Decision {
	decision := NotAllowed
	for _, d := range policies {
		for _, s := range d.Statement {
			switch {
			case !s.Covers(r):
			case s.Effect == "Deny":
				return Denied
			default:
				decision = Allowed
			}
		}
	}
	return decision
}

// Covers tells whether a statement is about a request.
func (s Statement) Covers(r Request) bool {
	about := func(patterns List, text string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return Matches(r.fill(pattern), text) })
	}
	if !about(lower(s.Action), strings.ToLower(r.Action)) || !about(s.Resource, r.Resource) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			found, has := r.Context[key]
			if !has || !slices.ContainsFunc(values, func(value string) bool { return operators[operator](r.fill(value), found) }) {
				return false
			}
		}
	}
	return true
}

func lower(list List) List {
	var out List
	for _, text := range list {
		out = append(out, strings.ToLower(text))
	}
	return out
}

var variable = regexp.MustCompile(`\$\{([^}]+)\}`)

// fill puts in a policy's variables. One that is not known stays, and so matches nothing.
func (r Request) fill(pattern string) string {
	return variable.ReplaceAllStringFunc(pattern, func(name string) string {
		if value, ok := r.Context[name[2:len(name)-1]]; ok {
			return value
		}
		return name
	})
}

// Matches tells whether a text is what a pattern says: * stands for any characters, / too, and ? for one.
func Matches(pattern, text string) bool {
	star, resume := -1, 0
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, resume = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == text[j]):
			i++
			j++
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
