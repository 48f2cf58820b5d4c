package testbed

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

	"plan-charge/sandbox/report"
)

// Console is where somebody changes the stack by hand: calls of AWS beside the program. They are written by hand, because
// the clients of all these services take minutes to compile.
type Console struct {
	box *Box
	aws string            // URL of the API
	ids map[string]string // of the stack's resources, by name
}

// Console opens one. The names in calls are those of the stack's resources as they are now.
func (b *Box) Console(s Site) *Console {
	b.t.Helper()
	c := &Console{box: b, aws: s.AWS}
	c.Look()
	return c
}

// With is the console in a part of the test.
func (c *Console) With(b *Box) *Console { return &Console{b, c.aws, c.ids} }

// Look reads the resources' ids again: a healed resource may be a new one.
func (c *Console) Look() {
	c.box.t.Helper()
	state, err := report.Export(context.Background(), c.box.Box)
	if err != nil {
		c.box.t.Fatal(err)
	}
	var export struct {
		Deployment struct{ Resources []struct{ URN, ID string } }
	}
	if err := json.Unmarshal(state, &export); err != nil {
		c.box.t.Fatal(err)
	}
	c.ids = map[string]string{}
	for _, r := range export.Deployment.Resources {
		c.ids[r.URN[strings.LastIndex(r.URN, "::")+2:]] = r.ID
	}
}

// ID is a resource's in the stack's state, by its name there.
func (c *Console) ID(name string) string {
	c.box.t.Helper()
	id, ok := c.ids[name]
	if !ok {
		c.box.t.Fatalf("the state has no resource %s", name)
	}
	return id
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

// Call makes a call. A parameter is NAME=VALUE, or the only one is JSON; <NAME> in it is the id of a resource of the stack.
func (c *Console) Call(service, action string, params ...string) (string, error) {
	header, body := http.Header{}, []byte("{}")
	params = slices.Clone(params)
	for i, p := range params {
		params[i] = placeholder.ReplaceAllStringFunc(p, func(name string) string { return c.ID(strings.Trim(name, "<>")) })
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
	answer, _, err := c.Send(service, http.MethodPost, "/", header, body)
	return answer, err
}

// Send makes a call of any service. The emulator takes the service from the signature and does not look further.
func (c *Console) Send(service, method, path string, header http.Header, body []byte) (string, http.Header, error) {
	req, err := http.NewRequest(method, c.aws+path, bytes.NewReader(body))
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

// Distribution is the CDN's configuration.
func (c *Console) Distribution() (config string, header http.Header) {
	c.box.t.Helper()
	config, header, err := c.Send("cloudfront", http.MethodGet, c.distribution(), http.Header{}, nil)
	if err != nil {
		c.box.t.Fatal(err)
	}
	return config, header
}

// ChangeDistribution replaces what a pattern finds in the CDN's configuration.
func (c *Console) ChangeDistribution(pattern, with string) {
	c.box.t.Helper()
	config, header := c.Distribution()
	changed := regexp.MustCompile(pattern).ReplaceAllString(config, with)
	header = http.Header{"If-Match": {header.Get("Etag")}, "Content-Type": {"text/xml"}}
	if _, _, err := c.Send("cloudfront", http.MethodPut, c.distribution(), header, []byte(changed)); err != nil {
		c.box.t.Fatal(err)
	}
}

func (c *Console) distribution() string {
	return "/2020-05-31/distribution/" + c.ID("cdn-distribution") + "/config"
}
