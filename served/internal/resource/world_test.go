package resource_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/awsquery"
	"plan-charge/internal/verify"
	"plan-charge/served/internal/contract"
	"plan-charge/served/internal/resource"
)

const (
	verificationURN = presource.URN("urn:pulumi:test::test::" + contract.Verification + "::verification")
	rolloutURN      = presource.URN("urn:pulumi:test::test::" + contract.Rollout + "::rollout")
	strangersURN    = presource.URN("urn:pulumi:test::test::" + contract.Strangers + "::strangers")
	capacityURN     = presource.URN("urn:pulumi:test::test::" + contract.Capacity + "::capacity")
	definition      = "arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:7"
	targetGroup     = "arn:aws:elasticloadbalancing:eu-west-3:123456789012:targetgroup/backend/1"
	earlier         = "arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:6"
)

// world is a site, an AWS account with one service, and a provider that knows both.
type world struct {
	verify.ECS // what is not asked
	t          *testing.T
	server     integration.Server

	mu               sync.Mutex
	login            int // status of the login's answer
	asked            []string
	definition       string
	port             int32 // of the tasks, to which requests go
	desired, running int32
	broken           bool   // tasks do not come up
	refuses          string // the definition that ECS takes back, or ""
	first            bool   // there is nothing to go back to
	deployed         []string
	err              error
	opened           []awsclient.Settings

	rules     []int // ports of sg-1 that are open to everybody
	current   string
	described int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, login: 400, definition: definition, port: 8000, desired: 2, running: 2}
	site := httptest.NewServer(http.HandlerFunc(w.answer))
	t.Cleanup(site.Close)
	open := func(_ context.Context, s awsclient.Settings) (resource.Clients, error) {
		w.opened = append(w.opened, s)
		return resource.Clients{Clients: verify.Clients{ECS: w, CloudFront: distribution{}}, Scaler: w, Query: w, Versions: w}, nil
	}
	var err error
	w.server, err = integration.NewServer(t.Context(), contract.Name, semver.MustParse(contract.Version), integration.WithProvider(resource.New(open, site.URL)))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// change changes the world while nobody looks.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) answer(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r.Method+" "+r.URL.Path)
	status := map[string]int{"GET": 200, "POST": w.login, "PUT": 204}[r.Method]
	if w.running == 0 {
		status = 503
	}
	out.WriteHeader(status)
}

func (w *world) DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	if !w.broken {
		w.running = max(w.running, w.desired)
	}
	primary := types.Deployment{
		Status: aws.String("PRIMARY"), TaskDefinition: aws.String(w.definition), RolloutState: types.DeploymentRolloutStateCompleted,
		DesiredCount: w.desired, RunningCount: w.running,
	}
	if w.definition == w.refuses { // and goes back
		primary.RolloutState, primary.RolloutStateReason = types.DeploymentRolloutStateFailed, aws.String("tasks failed to start")
		if !w.first {
			w.definition = earlier
		}
	}
	return &ecs.DescribeServicesOutput{Services: []types.Service{{
		Status: aws.String("ACTIVE"), DesiredCount: w.desired, RunningCount: w.running, Deployments: []types.Deployment{primary},
		LoadBalancers: []types.LoadBalancer{{TargetGroupArn: aws.String(targetGroup), ContainerName: aws.String("backend"), ContainerPort: &w.port}},
	}}}, nil
}

func (w *world) DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error) {
	return &ecs.DescribeTaskDefinitionOutput{TaskDefinition: &types.TaskDefinition{}}, nil
}

func (w *world) UpdateService(_ context.Context, in *ecs.UpdateServiceInput, _ ...func(*ecs.Options)) (*ecs.UpdateServiceOutput, error) {
	w.change(func() {
		if in.DesiredCount != nil {
			w.desired = *in.DesiredCount
		}
		for _, b := range in.LoadBalancers {
			w.port = *b.ContainerPort
		}
		if in.TaskDefinition != nil {
			w.definition = *in.TaskDefinition
			if in.ForceNewDeployment {
				w.refuses = ""
			}
			w.deployed = append(w.deployed, w.definition)
		}
	})
	return &ecs.UpdateServiceOutput{}, nil
}

// Call knows the rules of one security group.
func (w *world) Call(_ context.Context, _ awsquery.Service, action string, form url.Values, out any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if action == "RevokeSecurityGroupIngress" {
		w.rules = slices.DeleteFunc(w.rules, func(port int) bool { return fmt.Sprint(port) == form.Get("SecurityGroupRuleId.1") })
		return nil
	}
	text := "<R><securityGroupRuleSet>"
	for _, port := range w.rules {
		text += fmt.Sprintf("<item><securityGroupRuleId>%[1]d</securityGroupRuleId><groupId>sg-1</groupId><ipProtocol>tcp</ipProtocol><fromPort>%[1]d</fromPort><toPort>%[1]d</toPort><cidrIpv4>0.0.0.0/0</cidrIpv4></item>", port)
	}
	return xml.Unmarshal([]byte(text+"</securityGroupRuleSet></R>"), out)
}

func (w *world) DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.described++
	return &secretsmanager.DescribeSecretOutput{VersionIdsToStages: map[string][]string{w.current: {"AWSCURRENT"}}}, w.err
}

func (w *world) ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	return &ecs.ListTasksOutput{}, nil
}

// distribution caches no errors.
type distribution struct{ verify.CloudFront }

func (distribution) GetDistributionConfig(context.Context, *cloudfront.GetDistributionConfigInput, ...func(*cloudfront.Options)) (*cloudfront.GetDistributionConfigOutput, error) {
	items := &cftypes.CustomErrorResponses{}
	for _, code := range []int32{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504} {
		items.Items = append(items.Items, cftypes.CustomErrorResponse{ErrorCode: &code, ErrorCachingMinTTL: aws.Int64(0)})
	}
	return &cloudfront.GetDistributionConfigOutput{DistributionConfig: &cftypes.DistributionConfig{CustomErrorResponses: items}}, nil
}

// state is a resource as the engine keeps it.
type state struct {
	urn           presource.URN
	id            string
	inputs, state property.Map
}

func (w *world) check(urn presource.URN, inputs property.Map) property.Map {
	w.t.Helper()
	resp, err := w.server.Check(p.CheckRequest{Urn: urn, Inputs: inputs})
	if err != nil || len(resp.Failures) > 0 {
		w.t.Fatal(err, resp.Failures)
	}
	return resp.Inputs
}

func (w *world) create(urn presource.URN, inputs property.Map) (state, error) {
	w.t.Helper()
	checked := w.check(urn, inputs)
	resp, err := w.server.Create(p.CreateRequest{Urn: urn, Properties: checked})
	return state{urn, resp.ID, checked, resp.Properties}, withReasons(err, resp.PartialState)
}

func (w *world) update(s state, inputs property.Map) (state, error) {
	w.t.Helper()
	checked := w.check(s.urn, inputs)
	resp, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: s.urn, State: s.state, OldInputs: s.inputs, Inputs: checked})
	return state{s.urn, s.id, checked, resp.Properties}, withReasons(err, resp.PartialState)
}

// withReasons is the error as the engine shows it.
func withReasons(err error, failed *p.InitializationFailed) error {
	if failed == nil {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.Join(failed.Reasons, "; "))
}

// refresh returns the new state and the paths that the engine would show.
func (w *world) refresh(s state) (state, string) {
	w.t.Helper()
	resp, err := w.server.Read(p.ReadRequest{ID: s.id, Urn: s.urn, Properties: s.state, Inputs: s.inputs})
	if err != nil || resp.ID != s.id {
		w.t.Fatal(err, resp)
	}
	live := state{s.urn, resp.ID, resp.Inputs, resp.Properties}
	return live, w.diff(live, s.inputs)
}

func (w *world) diff(s state, inputs property.Map) string {
	w.t.Helper()
	resp, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: s.urn, State: s.state, OldInputs: s.inputs, Inputs: inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	for path, d := range resp.DetailedDiff {
		if d.Kind != p.Update && !strings.HasPrefix(path, "found") {
			w.t.Errorf("%s: %s", path, d.Kind)
		}
	}
	if resp.HasChanges != (len(resp.DetailedDiff) > 0) {
		w.t.Errorf("HasChanges is %v with %d paths", resp.HasChanges, len(resp.DetailedDiff))
	}
	return strings.Join(slices.Sorted(maps.Keys(resp.DetailedDiff)), " ")
}

// output is one output as JSON or text.
func (s state) output(key string) string {
	v := s.state.Get(key)
	if v.IsString() {
		return v.AsString()
	}
	plain := map[string]string{}
	for name, value := range v.AsMap().All {
		plain[name] = value.AsString()
	}
	text, _ := json.Marshal(plain)
	return string(text)
}

// list is one output that is a list, in one line.
func (s state) list(key string) string {
	var items []string
	for _, item := range s.state.Get(key).AsArray().All {
		items = append(items, item.AsString())
	}
	return strings.Join(items, ", ")
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got: %s\nwant: %s", what, got, want)
	}
}

// obj makes properties of texts and numbers.
func obj(values map[string]any) property.Map {
	return presource.FromResourcePropertyValue(presource.NewProperty(presource.NewPropertyMapFromMap(values))).AsMap()
}
