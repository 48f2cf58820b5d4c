package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"plan-charge/sandbox/rights"
)

const (
	// account is the one that the emulator has.
	account = "000000000000"
	// sessionName is how every caller's session is called, and so how ids of sessions of Systems Manager begin.
	sessionName = "sandbox"
)

// access decides who may make which call, and remembers which rights were needed when it is told to. Who calls is told by
// the key that signed; a key without policies may do everything.
type access struct {
	policiesFile, callsFile string
	cloud                   rights.Cloud
	log                     *slog.Logger

	mu       sync.Mutex
	policies map[string][]rights.Document // by access key
	calls    map[string]bool              // lines of the file; nil: nothing is remembered
}

func newAccess(dir string, api *awsAPI, log *slog.Logger) (*access, error) {
	a := &access{
		policiesFile: filepath.Join(dir, "policies.json"), callsFile: filepath.Join(dir, "calls.txt"), log: log,
		cloud: rights.Cloud{Region: api.region, Account: account, UserID: sessionName, Tags: api.tags, Roles: api.roles}, policies: map[string][]rights.Document{},
	}
	if err := readState(a.policiesFile, &a.policies); err != nil {
		return nil, err
	}
	switch told, err := os.ReadFile(a.callsFile); {
	case err == nil:
		a.calls = map[string]bool{}
		for line := range strings.Lines(string(told)) {
			a.calls[strings.TrimSpace(line)] = true
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return a, nil
}

// tags are those of something in EC2. An association of a route table has those of its table.
func (a *awsAPI) tags(ctx context.Context, id string) map[string]string {
	const version = "2016-11-15"
	if strings.HasPrefix(id, "rtbassoc-") {
		var tables struct {
			ID string `xml:"routeTableSet>item>routeTableId"`
		}
		form := url.Values{"Filter.1.Name": {"association.route-table-association-id"}, "Filter.1.Value.1": {id}}
		if err := a.query(ctx, "ec2", version, "DescribeRouteTables", form, &tables); err != nil {
			return nil
		}
		id = tables.ID
	}
	var out struct {
		Tags []struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		} `xml:"tagSet>item"`
	}
	form := url.Values{"Filter.1.Name": {"resource-id"}, "Filter.1.Value.1": {id}}
	if err := a.query(ctx, "ec2", version, "DescribeTags", form, &out); err != nil {
		return nil // without tags, nothing that asks for them is allowed
	}
	found := map[string]string{}
	for _, t := range out.Tags {
		found[t.Key] = t.Value
	}
	return found
}

// roles are those of a task definition, which whoever runs it passes on.
func (a *awsAPI) roles(ctx context.Context, definition string) []string {
	var out struct {
		TaskDefinition struct{ TaskRoleArn, ExecutionRoleArn string }
	}
	if err := a.ecs(ctx, "DescribeTaskDefinition", map[string]any{"taskDefinition": definition}, &out); err != nil {
		return nil // RunTask fails as well
	}
	return slices.DeleteFunc([]string{out.TaskDefinition.ExecutionRoleArn, out.TaskDefinition.TaskRoleArn}, func(arn string) bool { return arn == "" })
}

// refuse refuses a call that its caller's policies do not allow; nil lets it pass.
func (a *access) refuse(ctx context.Context, c *call) *response {
	a.mu.Lock()
	policies, held := a.policies[c.key]
	remembering := a.calls != nil
	a.mu.Unlock()
	if c.service == "" || !held && !remembering { // unsigned calls are the sandbox's own
		return nil
	}
	needs, known := rights.Needs(ctx, rights.Call{Service: c.service, Action: c.action, Value: c.values, Tags: c.tags()}, a.cloud)
	if remembering {
		a.remember(c, needs, known)
	}
	user := fmt.Sprintf("arn:aws:sts::%s:assumed-role/plan-charge-%s/%s", account, c.key, sessionName)
	switch {
	case !held:
		return nil
	case !known:
		return c.denied(fmt.Sprintf("the sandbox does not know which right %s %s needs, so that no policy allows it: add it to sandbox/rights/calls.go", c.service, c.action))
	}
	for _, need := range needs {
		need.Context = maps.Clone(need.Context)
		if need.Context == nil {
			need.Context = map[string]string{}
		}
		need.Context["aws:userid"] = sessionName
		why := "because no identity-based policy allows the " + need.Action + " action"
		switch rights.Decide(policies, need) {
		case rights.Allowed:
			continue
		case rights.Denied:
			why = "with an explicit deny in an identity-based policy"
		case rights.NotAllowed:
		}
		a.log.Info("refused", "key", c.key, "right", need.String())
		return c.denied(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", user, need.Action, need.Resource, why))
	}
	return nil
}

// denied is how the call's service says that it is not allowed.
func (c *call) denied(message string) *response {
	switch c.protocol {
	case jsonProtocol:
		return c.failure(http.StatusBadRequest, "AccessDeniedException", message)
	case ec2Protocol:
		return c.failure(http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation. "+message)
	default:
		return c.failure(http.StatusForbidden, "AccessDenied", message)
	}
}

// remember writes down which rights a call needed.
func (a *access) remember(c *call, needs []rights.Request, known bool) {
	var lines []string
	if !known {
		lines = append(lines, fmt.Sprintf("%s unknown %s %s", c.key, c.service, c.action))
	}
	for _, need := range needs {
		lines = append(lines, c.key+" "+need.String())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	file, err := os.OpenFile(a.callsFile, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.log.Error("remember calls", "error", err)
		return
	}
	defer file.Close()
	for _, line := range lines {
		if a.calls != nil && !a.calls[line] {
			a.calls[line] = true
			fmt.Fprintln(file, line)
		}
	}
}

// admin answers what is asked under /_sandbox/rights/KEY and /_sandbox/calls.
func (a *access) admin(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, rightsPath)
	var err error
	switch {
	case r.URL.Path == callsPath && r.Method == http.MethodPut:
		a.calls = map[string]bool{}
		err = os.WriteFile(a.callsFile, nil, 0o600)
	case r.URL.Path == callsPath && r.Method == http.MethodDelete:
		a.calls = nil
		os.Remove(a.callsFile)
	case r.URL.Path == callsPath && r.Method == http.MethodGet:
		for _, line := range slices.Sorted(maps.Keys(a.calls)) {
			fmt.Fprintln(w, line)
		}
		return
	case key != r.URL.Path && key != "" && r.Method == http.MethodPut:
		if a.policies[key], err = readPolicies(r); err == nil {
			err = writeState(a.policiesFile, a.policies)
		}
	case key != r.URL.Path && key != "" && r.Method == http.MethodDelete:
		delete(a.policies, key)
		err = writeState(a.policiesFile, a.policies)
	default:
		err = fmt.Errorf("offered are PUT and DELETE %sKEY, and PUT, GET and DELETE %s", rightsPath, callsPath)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Where policies are given, by access key, and where is asked what was needed.
const (
	rightsPath = "/_sandbox/rights/"
	callsPath  = "/_sandbox/calls"
)

// readPolicies reads a list of policies.
func readPolicies(r *http.Request) ([]rights.Document, error) {
	var texts []json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&texts); err != nil {
		return nil, fmt.Errorf("a list of policies is wanted: %w", err)
	}
	policies := []rights.Document{}
	for _, text := range texts {
		d, err := rights.Parse(text)
		if err != nil {
			return nil, err
		}
		policies = append(policies, d)
	}
	return policies, nil
}

// values are those of one of the call's parameters.
func (c *call) values(name string) []string {
	if list, ok := c.query[name]; ok {
		return list
	}
	if c.protocol == jsonProtocol {
		switch value := c.in()[name].(type) {
		case string:
			return []string{value}
		case []any:
			var list []string
			for _, item := range value {
				if text, ok := item.(string); ok {
					list = append(list, text)
				}
			}
			return list
		}
		return nil
	}
	if one := c.form[name]; len(one) > 0 && one[0] != "" {
		return one
	}
	var list []string
	for _, key := range slices.Sorted(maps.Keys(c.form)) {
		if rest, ok := strings.CutPrefix(key, name+"."); ok && listed.MatchString(rest) {
			list = append(list, c.form.Get(key))
		}
	}
	return list
}

var (
	listed = regexp.MustCompile(`^(\w+\.)?\d+$`)
	tagKey = regexp.MustCompile(`(^|\.)Tags?\.(\w+\.)?\d+\.Key$`)
)

// tags are those that the call sets.
func (c *call) tags() map[string]string {
	found := map[string]string{}
	for key := range c.form {
		if tagKey.MatchString(key) {
			found[c.form.Get(key)] = c.form.Get(strings.TrimSuffix(key, "Key") + "Value")
		}
	}
	if c.protocol != jsonProtocol {
		return found
	}
	for _, name := range []string{"tags", "Tags"} {
		switch value := c.in()[name].(type) {
		case map[string]any:
			for key, text := range value {
				found[key] = fmt.Sprint(text)
			}
		case []any:
			for _, item := range value {
				one, _ := item.(map[string]any)
				for _, names := range [][2]string{{"key", "value"}, {"Key", "Value"}} {
					if key, ok := one[names[0]].(string); ok {
						found[key] = fmt.Sprint(one[names[1]])
					}
				}
			}
		}
	}
	return found
}
