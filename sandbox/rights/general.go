package rights

import (
	"regexp"
	"slices"
	"strings"
)

// Stack is a deployment: what of names and ARNs is its own. In policies its values are these fields' names in capitals.
type Stack struct{ Region, Account, Project, Stack string }

// Fill puts a stack's values into a policy.
func (s Stack) Fill(policy string) string {
	return strings.NewReplacer("REGION", s.Region, "ACCOUNT", s.Account, "PROJECT", s.Project, "STACK", s.Stack).Replace(policy)
}

// exact are the actions that are allowed on nothing but what was named: what they reach reaches further.
var exact = []string{"iam:PassRole", "ecs:RunTask"}

var (
	revision = regexp.MustCompile(`:\d+$`)
	newID    = regexp.MustCompile(`^(arn:aws:(?:ec2|cloudfront|application-autoscaling):[^/]*/).*$`)
	newName  = regexp.MustCompile(`(PROJECT-STACK[-/]).*$`)
	newDB    = regexp.MustCompile(`:db:db-[A-Z0-9]+$`)
	session  = regexp.MustCompile(`:session/.*$`)
)

// General is a right, as Request writes it, for any stack: placeholders in the place of its names, and a wildcard in that of
// what is named when it is made.
func (s Stack) General(right string) string {
	words := strings.Split(right, " ")
	for i, word := range words {
		word = strings.ReplaceAll(word, ":"+s.Region+":", ":REGION:")
		word = strings.ReplaceAll(word, ":"+s.Account+":", ":ACCOUNT:")
		word = strings.ReplaceAll(word, s.Project+"-"+s.Stack, "PROJECT-STACK")
		switch {
		case i > 1 && strings.Contains(word, "CreateAction="):
			word, _, _ = strings.Cut(word, "=")
			word += "=*" // whatever is made
		case strings.HasSuffix(word, "Tag/Project="+s.Project):
			word = strings.TrimSuffix(word, s.Project) + "PROJECT"
		case strings.HasSuffix(word, "Tag/Stack="+s.Stack):
			word = strings.TrimSuffix(word, s.Stack) + "STACK"
		case i == 1 && slices.Contains(exact, words[0]):
			word = revision.ReplaceAllString(word, ":*")
		case i == 1:
			word = newID.ReplaceAllString(word, "$1*")
			word = newName.ReplaceAllString(word, "$1*")
			word = newDB.ReplaceAllString(word, ":db:*")
			word = session.ReplaceAllString(word, ":session/$${aws:userid}-*")
		}
		words[i] = word
	}
	return strings.Join(words, " ")
}

// ParseRequest reads a right as Request writes it.
func ParseRequest(text string) Request {
	words := strings.Split(text, " ")
	r := Request{Action: words[0], Context: map[string]string{}}
	if len(words) > 1 {
		r.Resource = words[1]
		for _, word := range words[2:] {
			key, value, _ := strings.Cut(word, "=")
			r.Context[key] = value
		}
	}
	return r
}
