package drift

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/sandbox/report"
)

// hand changes something, as somebody does at night.
type hand func(*box)

// look tells how something is, without asking the program.
type look func(*box) string

// sql runs statements as the database's owner.
func sql(statements ...string) hand {
	return func(b *box) {
		b.t.Helper()
		conn := b.connect(context.Background())
		defer conn.Close(context.Background())
		for _, s := range statements {
			if _, err := conn.Exec(context.Background(), s); err != nil {
				b.t.Fatalf("%s: %v", s, err)
			}
		}
	}
}

// cut ends the app's connections, so that it has to log in again.
const cut = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plan_charge_app'`

// rows is what a query returns, one text a row.
func rows(query string) look {
	return func(b *box) string {
		conn := b.connect(context.Background())
		defer conn.Close(context.Background())
		found, err := conn.Query(context.Background(), query)
		if err != nil {
			return err.Error()
		}
		texts, err := pgx.CollectRows(found, pgx.RowTo[*string])
		if err != nil {
			return err.Error()
		}
		var all strings.Builder
		for _, text := range texts {
			if text == nil {
				all.WriteString("NULL\n")
			} else {
				all.WriteString(*text + "\n")
			}
		}
		return all.String()
	}
}

// serves is what users are told: by the health path, and when they log in with a token that is no good.
func serves(b *box) string {
	health := "no answer"
	if resp, err := b.site.Status.Get(context.Background(), "/health"); err == nil {
		health = resp.Status
	}
	_, login := b.site.Login(context.Background(), "", report.StructuredLogin)
	return health + ", login " + login
}

// aws makes a call. A parameter is NAME=VALUE, or the only one is JSON; <NAME> in it is the id of a resource of the stack.
func aws(service, action string, params ...string) hand {
	return func(b *box) {
		b.t.Helper()
		if _, err := b.call(service, action, params...); err != nil {
			b.t.Fatal(err)
		}
	}
}

// told is what a call answers, as far as it matches a pattern.
func told(pattern, service, action string, params ...string) look {
	return func(b *box) string {
		answer, err := b.call(service, action, params...)
		if err != nil {
			return err.Error()
		}
		return matches(pattern, answer)
	}
}

// matches is without order, which means nothing in AWS.
func matches(pattern, text string) string {
	all := regexp.MustCompile(pattern).FindAllString(text, -1)
	slices.Sort(all)
	return strings.Join(all, "\n")
}

var (
	// versions are those of the services that take forms.
	versions = map[string]string{"ec2": "2016-11-15", "elasticloadbalancing": "2015-12-01", "iam": "2010-05-08", "monitoring": "2010-08-01", "rds": "2014-10-31"}
	// targets are those of the services that take JSON.
	targets = map[string]string{
		"application-autoscaling": "AnyScaleFrontendService", "ecs": "AmazonEC2ContainerServiceV20141113", "logs": "Logs_20140328", "secretsmanager": "secretsmanager",
	}
	placeholder = regexp.MustCompile(`<[a-z0-9-]+>`)
)

// call is by hand, because the clients of all these services take minutes to compile.
func (b *box) call(service, action string, params ...string) (string, error) {
	header, body := http.Header{}, []byte("{}")
	params = slices.Clone(params)
	for i, p := range params {
		params[i] = placeholder.ReplaceAllStringFunc(p, func(name string) string { return b.id(strings.Trim(name, "<>")) })
	}
	if version, ok := versions[service]; ok {
		form := url.Values{"Action": {action}, "Version": {version}}
		for _, p := range params {
			name, value, _ := strings.Cut(p, "=")
			form.Set(name, value)
		}
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		body = []byte(form.Encode())
	} else {
		header.Set("Content-Type", "application/x-amz-json-1.1")
		header.Set("X-Amz-Target", targets[service]+"."+action)
		if len(params) > 0 {
			body = []byte(params[0])
		}
	}
	answer, _, err := b.send(service, http.MethodPost, "/", header, body)
	return answer, err
}

// send makes a call of any service. The emulator takes the service from the signature and does not look further.
func (b *box) send(service, method, path string, header http.Header, body []byte) (string, http.Header, error) {
	req, err := http.NewRequest(method, b.site.AWS+path, bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	req.Header = header
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-3/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s %s: %s %s", service, method, path, resp.Status, answer)
	}
	return string(answer), resp.Header, err
}

// distribution replaces what a pattern finds in the CDN's configuration.
func distribution(pattern, with string) hand {
	return func(b *box) {
		b.t.Helper()
		config, header := b.distribution()
		changed := regexp.MustCompile(pattern).ReplaceAllString(config, with)
		_, _, err := b.send("cloudfront", http.MethodPut, b.distributionPath(), http.Header{"If-Match": {header.Get("Etag")}, "Content-Type": {"text/xml"}}, []byte(changed))
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// cdn is what a pattern finds in the CDN's configuration.
func cdn(pattern string) look {
	return func(b *box) string {
		config, _ := b.distribution()
		return matches(pattern, config)
	}
}

func (b *box) distribution() (config string, header http.Header) {
	b.t.Helper()
	config, header, err := b.send("cloudfront", http.MethodGet, b.distributionPath(), http.Header{}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return config, header
}

func (b *box) distributionPath() string {
	return "/2020-05-31/distribution/" + b.id("cdn-distribution") + "/config"
}

// id is a resource's in the stack's state, by its name there.
func (b *box) id(name string) string {
	b.t.Helper()
	if id, ok := b.ids[name]; ok {
		return id
	}
	b.t.Fatalf("the state has no resource %s", name)
	return ""
}

// readIDs reads them again: a healed resource may be a new one.
func (b *box) readIDs() {
	b.t.Helper()
	state, err := report.Export(context.Background(), b.Sandbox.Box)
	if err != nil {
		b.t.Fatal(err)
	}
	var export struct {
		Deployment struct{ Resources []struct{ URN, ID string } }
	}
	if err := json.Unmarshal(state, &export); err != nil {
		b.t.Fatal(err)
	}
	b.ids = map[string]string{}
	for _, r := range export.Deployment.Resources {
		b.ids[r.URN[strings.LastIndex(r.URN, "::")+2:]] = r.ID
	}
}

// database stops or starts the database's process, behind RDS's back.
func database(what string) hand {
	return func(b *box) { b.Do(what, b.process) }
}

// connect opens the database as its owner, for a change or a look. One that was just started may need a moment.
func (b *box) connect(ctx context.Context) *pgx.Conn {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		conn, err := b.Box.Sandbox.Connect(ctx, b.url)
		if err == nil {
			return conn
		}
		if time.Now().After(deadline) {
			b.t.Fatal(err)
		}
	}
}
