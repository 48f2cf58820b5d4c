package rights

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"*", "a/b:c", true},
		{"a*c", "abbc", true},
		{"a*c", "abb", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"role/x-*", "role/x-y", true},
		{"role/x-*", "role/xy", false},
		{"*:db:*", "arn:rds:db:one", true},
		{"a*b*c", "aXbYbZc", true},
		{"", "", true},
		{"", "a", false},
		{"abc", "abc", true},
		{"abc", "abcd", false},
	} {
		if got := Matches(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%q on %q: got %v", tc.pattern, tc.text, got)
		}
	}
}

// Wildcards mean what a regular expression says in other words, whatever is in the texts.
func FuzzMatches(f *testing.F) {
	f.Add("a*b?c", "aXXbYc")
	f.Add("**?", "x")
	f.Add("role/x-*", "role/x-y")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		for _, c := range pattern + text {
			if c >= 0x80 { // ARNs are ASCII
				t.Skip()
			}
		}
		quoted := strings.NewReplacer(`\*`, "(?s:.*)", `\?`, "(?s:.)").Replace(regexp.QuoteMeta(pattern))
		if got, want := Matches(pattern, text), regexp.MustCompile("^(?:"+quoted+")$").MatchString(text); got != want {
			t.Errorf("%q on %q: got %v, want %v", pattern, text, got, want)
		}
	})
}

// document is a policy of one allowing statement, and a denying one behind it.
const document = `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["rds:Describe*", "rds:ModifyDBInstance"], "Resource": "arn:aws:rds:r:1:db:mine-*"},
  {"Effect": "Allow", "Action": "ec2:DeleteVpc", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/Stack": ["one", "two"]}}},
  {"Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*", "Condition": {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:r:1:cluster/mine-*"}}},
  {"Effect": "Allow", "Action": "ssm:*", "Resource": "arn:aws:ssm:r:1:session/${aws:userid}-*"},
  {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:rds:r:1:db:mine-protected"}
]}`

func TestDecisions(t *testing.T) {
	policy, err := Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	type context = map[string]string
	for _, tc := range []struct {
		name             string
		action, resource string
		context          context
		want             Decision
	}{
		{"action and resource", "rds:ModifyDBInstance", "arn:aws:rds:r:1:db:mine-db", nil, Allowed},
		{"an action by its beginning, in any case", "RDS:describedbinstances", "arn:aws:rds:r:1:db:mine-db", nil, Allowed},
		{"another action", "rds:DeleteDBInstance", "arn:aws:rds:r:1:db:mine-db", nil, NotAllowed},
		{"another resource", "rds:ModifyDBInstance", "arn:aws:rds:r:1:db:other-db", nil, NotAllowed},
		{"denied in words", "rds:ModifyDBInstance", "arn:aws:rds:r:1:db:mine-protected", nil, Denied},
		{"a condition that holds", "ec2:DeleteVpc", "arn:aws:ec2:r:1:vpc/vpc-1", context{"aws:ResourceTag/Stack": "two"}, Allowed},
		{"a condition that does not", "ec2:DeleteVpc", "arn:aws:ec2:r:1:vpc/vpc-1", context{"aws:ResourceTag/Stack": "three"}, NotAllowed},
		{"a key that is not there", "ec2:DeleteVpc", "arn:aws:ec2:r:1:vpc/vpc-1", nil, NotAllowed},
		{"an ARN with a wildcard", "ecs:ListTasks", "*", context{"ecs:cluster": "arn:aws:ecs:r:1:cluster/mine-cluster"}, Allowed},
		{"one's own", "ssm:ResumeSession", "arn:aws:ssm:r:1:session/me-123", context{"aws:userid": "me"}, Allowed},
		{"somebody else's", "ssm:ResumeSession", "arn:aws:ssm:r:1:session/you-123", context{"aws:userid": "me"}, NotAllowed},
		{"of nobody known", "ssm:ResumeSession", "arn:aws:ssm:r:1:session/me-123", nil, NotAllowed},
	} {
		if got := Decide([]Document{policy}, Request{tc.action, tc.resource, tc.context}); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
	}
	if Decide(nil, Request{Action: "rds:ModifyDBInstance", Resource: "*"}) != NotAllowed {
		t.Error("without a policy everything is allowed")
	}
}

// What is not understood must not be enforced by half.
func TestAPolicyIsUnderstoodAsAWhole(t *testing.T) {
	for name, tc := range map[string]struct{ from, to, says string }{
		"an element":  {`"Action": "ssm:*"`, `"NotAction": "ssm:*"`, "NotAction"},
		"an operator": {"ArnEquals", "NumericEquals", "NumericEquals"},
		"an effect":   {`"Deny"`, `"Maybe"`, "statement 5"},
		"a version":   {"2012-10-17", "2008-10-17", "2008-10-17"},
		"a cut":       {"\n]}", "", "EOF"},
	} {
		if _, err := Parse([]byte(strings.Replace(document, tc.from, tc.to, 1))); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
