package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A task's role has to allow all that its agent does, on every resource and unconditionally.
func TestWhatAnAgentLacks(t *testing.T) {
	const all = `"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"`
	allow := func(actions, rest string) string {
		return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [` + actions + `], ` + rest + `}]}`
	}
	for name, tc := range map[string]struct{ document, lacks string }{
		"nothing":             {allow(all, `"Resource": "*"`), ""},
		"nothing, by *":       {allow(`"ssmmessages:*"`, `"Resource": "*"`), ""},
		"one":                 {allow(strings.Replace(all, `"ssmmessages:CreateDataChannel", `, "", 1), `"Resource": "*"`), "ssmmessages:CreateDataChannel"},
		"all, on one thing":   {allow(all, `"Resource": "arn:aws:s3:::bucket"`), strings.ReplaceAll(all, `"`, "")},
		"all, on a condition": {allow(all, `"Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/x": "y"}}`), strings.ReplaceAll(all, `"`, "")},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.ParseForm(); r.Form.Get("Action") {
				case "ListRolePolicies":
					fmt.Fprint(w, `<R><ListRolePoliciesResult><PolicyNames><member>one</member></PolicyNames></ListRolePoliciesResult></R>`)
				case "GetRolePolicy":
					fmt.Fprintf(w, `<R><GetRolePolicyResult><PolicyDocument>%s</PolicyDocument></GetRolePolicyResult></R>`, url.QueryEscape(tc.document))
				default:
					fmt.Fprint(w, `{"taskDefinition": {"taskRoleArn": "arn:aws:iam::000000000000:role/task"}}`)
				}
			}))
			defer upstream.Close()
			s := newSessions(&awsAPI{upstream: upstream.URL, region: "eu-west-3", client: upstream.Client()}, nil, nil, slog.New(slog.DiscardHandler))
			want := ""
			if tc.lacks != "" {
				want = "AccessDeniedException: the task role may not " + tc.lacks
			}
			if got := s.missing(t.Context(), "d"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
